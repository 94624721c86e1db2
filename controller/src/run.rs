//! The controller as a whole: watches in, the push, statuses and admission out.
//!
//! One loop owns the order of things: a batch of the watches is translated, what differs is published, and what is wrong
//! is told. Who leads decides whether anything leaves the process; everything else is the same in every controller.

mod admin;
mod metrics;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::cluster::{self, Batch, Scope};
use crate::problem::{Problem, Severity};
use crate::store::ObjectId;
use crate::table::{Step, Translator};
use crate::{certs, lead, translate};
use metrics::Metrics;

/// Batches that wait for the loop: one is translated while the next is collected.
const BATCHES_MAX: usize = 1;
/// For giving the Lease up, and what else is written on the way out.
const EXIT_MAX: Duration = Duration::from_secs(25);

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of translation.
    pub translate: translate::Options,
    /// What is watched.
    pub scope: Scope,
    /// Who stands for election, where.
    pub lead: lead::Options,
    /// Where certificates come from.
    pub certificates: certs::Origin,
    /// Where the push is served.
    pub push: SocketAddr,
    /// Where admission is served; none: nowhere.
    pub webhook: Option<SocketAddr>,
    /// Where probes and scrapers are answered.
    pub admin: SocketAddr,
    /// What a data plane's token must have.
    pub audience: String,
    /// Whose tokens are good.
    pub service_accounts: Vec<routing::ObjectName>,
}

/// Why the controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is not to be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// What the parts share.
struct Shared {
    /// The store and the table.
    table: RwLock<Translator>,
    metrics: Metrics,
    stats: Arc<cluster::Stats>,
    certificates: watch::Receiver<Option<certs::Served>>,
    /// Everything has been listed and translated once.
    listed: AtomicBool,
}

impl Shared {
    /// Why there is nothing to serve to data planes yet.
    fn unready(&self) -> Option<String> {
        if !self.listed.load(Relaxed) {
            let waits = self.stats.waits();
            return Some(match waits.is_empty() {
                true => "the API server has not been reached".into(),
                false => format!("not everything is listed: {}", waits.join("; ")),
            });
        }
        self.certificates.borrow().is_none().then(|| "there is no certificate for the push".into())
    }
}

/// Runs until `stop`.
pub async fn run(client: Client, options: Options, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let (certificates_out, certificates) = watch::channel(None);
    let (term_out, term) = watch::channel(None);
    let shared = Arc::new(Shared {
        table: RwLock::new(Translator::new(options.translate.clone())),
        metrics: Metrics::default(),
        stats: Arc::default(),
        certificates,
        listed: AtomicBool::new(false),
    });
    let admin = listen(options.admin).await?;
    info!(admin = %options.admin, "answering probes");
    tokio::spawn(admin::serve(admin, shared.clone()));
    tokio::spawn(certs::keep(client.clone(), options.certificates.clone(), certificates_out));
    let (batches_out, batches) = mpsc::channel(BATCHES_MAX);
    let watching = cluster::watch(client.clone(), options.scope.clone(), shared.stats.clone(), batches_out);
    tokio::spawn(watching);
    let (resign, resigned) = watch::channel(false);
    let election = lead::elect(client, options.lead.clone(), term_out, asked(resigned));
    let election = tokio::spawn(election);
    tokio::select! {
        () = follow(&shared, batches, term) => error!("the watches ended"),
        () = stop => info!("ending"),
    }
    resign.send_replace(true);
    if tokio::time::timeout(EXIT_MAX, election).await.is_err() {
        warn!("ending without having given up the Lease; it ends by itself");
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|e| Error::Listen(address, e))
}

async fn asked(mut flag: watch::Receiver<bool>) {
    // Without a sender nobody will ever ask otherwise.
    let _ = flag.wait_for(|asked| *asked).await;
}

/// Takes batches, and takes and loses the lead, in order.
async fn follow(shared: &Shared, mut batches: mpsc::Receiver<Batch>, mut term: watch::Receiver<Option<u64>>) {
    let mut told = Told::default();
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some(batch) => take(shared, batch, &mut told),
                None => return,
            },
            Ok(()) = term.changed() => {
                let now = *term.borrow_and_update();
                shared.metrics.leading(now);
            }
        }
    }
}

fn take(shared: &Shared, batch: Batch, told: &mut Told) {
    let begun = Instant::now();
    let Batch { updates, versions: _, reached: _, metas: _, malformed, since, events: _ } = batch;
    let count = updates.len();
    // A panic in translation would be a bug; what the others read then is still a whole table.
    let mut table = shared.table.write().unwrap_or_else(PoisonError::into_inner);
    let step = table.change(updates);
    drop(table);
    told.tell(&step, &malformed);
    shared.metrics.step(&step, begun.elapsed(), since.map(|since| since.elapsed()));
    shared.listed.store(true, Relaxed);
    if !step.changes.is_empty() {
        info!(
            objects = count,
            changes = step.changes.len(),
            derived = step.derived,
            ms = begun.elapsed().as_millis(),
            "translated"
        );
    }
}

/// The problems that were told in the log.
#[derive(Default)]
struct Told {
    problems: BTreeMap<crate::ObjectRef, Vec<Problem>>,
}

impl Told {
    fn tell(&mut self, step: &Step, malformed: &[(ObjectId, Option<Problem>)]) {
        for (object, now) in &step.problems {
            self.tell_of(object, now.clone());
        }
        for (_, problem) in malformed {
            if let Some(problem) = problem {
                error!("{problem}");
            }
        }
    }

    fn tell_of(&mut self, object: &crate::ObjectRef, now: Vec<Problem>) {
        let before = self.problems.remove(object).unwrap_or_default();
        for problem in now.iter().filter(|problem| !before.contains(problem)) {
            match problem.severity {
                Severity::Error => error!("{problem}"),
                Severity::Warning => warn!("{problem}"),
            }
        }
        before.iter().filter(|problem| !now.contains(problem)).for_each(|problem| info!("solved: {problem}"));
        if !now.is_empty() {
            self.problems.insert(object.clone(), now);
        }
    }
}
