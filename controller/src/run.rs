//! The controller as a whole: watches in, the push, statuses and admission out.
//!
//! One loop owns the order of things: a batch of the watches is translated, what differs is published, and what is wrong
//! is told. Who leads decides whether anything leaves the process; everything else is the same in every controller.

mod admin;
mod metrics;
mod told;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kube::Client;
use routing::ObjectName;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::authenticate::TokenReviews;
use crate::cluster::{self, Batch, Scope};
use crate::publish::{self, Publisher};
use crate::status::{self, StatusWriter, View};
use crate::table::Translator;
use crate::{certs, lead, translate, webhook};
use metrics::Metrics;
use told::Told;

/// Batches that wait for the loop: one is translated while the next is collected.
const BATCHES_MAX: usize = 1;
/// For giving the Lease up.
const RESIGN_MAX: Duration = Duration::from_secs(5);
/// Streams go on this long after the last push, so that data planes confirm what they have.
const LINGER: Duration = Duration::from_millis(200);
/// Reviews are answered this long after the end began: until every node knows that they are to go elsewhere.
const REVIEWS_LINGER: Duration = Duration::from_secs(5);

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
    /// What statuses say.
    pub status: status::Options,
    /// Where the push is served.
    pub push: SocketAddr,
    /// Where admission is served; none: nowhere.
    pub webhook: Option<SocketAddr>,
    /// Where probes and scrapers are answered.
    pub admin: SocketAddr,
    /// What a data plane's token must have.
    pub audience: String,
    /// Whose tokens are good.
    pub service_accounts: Vec<ObjectName>,
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
    table: Arc<RwLock<Translator>>,
    publisher: Publisher,
    metrics: Metrics,
    writes: status::Metrics,
    stats: Arc<cluster::Stats>,
    certificates: watch::Receiver<Option<certs::Served>>,
    /// Everything has been listed and translated once.
    listed: watch::Sender<bool>,
    /// The end has begun.
    ending: watch::Sender<bool>,
}

impl Shared {
    /// Why there is nothing to serve to data planes yet.
    fn unready(&self) -> Option<String> {
        if *self.ending.borrow() {
            return Some("shutting down".into());
        }
        if !*self.listed.borrow() {
            let waits = self.stats.waits();
            return Some(match waits.is_empty() {
                true => "the API server has not been reached".into(),
                false => format!("not everything is listed: {}", waits.join("; ")),
            });
        }
        self.certificates.borrow().is_none().then(|| "there is no certificate for the push".into())
    }

    /// Waits until it could serve data planes.
    async fn servable(&self) {
        told_to(self.listed.subscribe()).await;
        let _ = self.certificates.clone().wait_for(Option::is_some).await;
    }

    /// TLS for one of the servers, once there is a certificate.
    async fn tls(&self, pick: fn(&certs::Served) -> Arc<ServerConfig>) -> watch::Receiver<Arc<ServerConfig>> {
        let mut certificates = self.certificates.clone();
        // The sender lives as long as the process.
        let first = certificates.wait_for(Option::is_some).await.ok().and_then(|served| served.as_ref().map(pick));
        let (out, tls) = watch::channel(first.expect("waited until there is one"));
        tokio::spawn(async move {
            while certificates.changed().await.is_ok() {
                if let Some(served) = certificates.borrow_and_update().as_ref() {
                    out.send_replace(pick(served));
                }
            }
        });
        tls
    }
}

/// Runs until `stop`.
pub async fn run(client: Client, options: Options, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let (certificates_out, certificates) = watch::channel(None);
    let shared = Arc::new(Shared {
        table: Arc::new(RwLock::new(Translator::new(options.translate.clone()))),
        publisher: Publisher::new(publish::Options::default()),
        metrics: Metrics::default(),
        writes: status::Metrics::default(),
        stats: Arc::default(),
        certificates,
        listed: watch::Sender::new(false),
        ending: watch::Sender::new(false),
    });
    let (admin, push) = (listen(options.admin).await?, listen(options.push).await?);
    let webhook = match options.webhook {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    tell(&admin, &push, webhook.as_ref());
    tokio::spawn(admin::serve(admin, shared.clone()));
    tokio::spawn(certs::keep(client.clone(), options.certificates, certificates_out));
    let (end, ended) = watch::channel(false);
    let tokens = TokenReviews::new(client.clone(), options.audience, &options.service_accounts);
    let pushing = tokio::spawn(serve_push(shared.clone(), push, tokens, ended));
    let (end_reviews, reviews_ended) = watch::channel(false);
    let reviewing = webhook.map(|listener| tokio::spawn(serve_webhook(shared.clone(), listener, reviews_ended)));
    let status = StatusWriter::spawn(client.clone(), options.status, shared.publisher.planes(), shared.writes.clone());
    let status = Arc::new(status);
    let (batches_out, batches) = mpsc::channel(BATCHES_MAX);
    tokio::spawn(cluster::watch(client.clone(), options.scope, shared.stats.clone(), batches_out));
    let (term_out, term) = watch::channel(None);
    let (resign, resigned) = watch::channel(false);
    let election = tokio::spawn(stand(shared.clone(), client, options.lead, term_out, resigned));
    // A task of its own: a large batch must not delay the end of a lead.
    let mut obeying = tokio::spawn(obey(shared.clone(), status.clone(), term));
    tokio::select! {
        () = follow(&shared, &status, batches) => error!("the watches ended"),
        _ = &mut obeying => error!("the election ended"),
        () = stop => info!("ending"),
    }
    let ending = Instant::now();
    shared.ending.send_replace(true);
    // What is taken out of statuses is taken out while nobody else leads.
    obeying.abort();
    status.close().await;
    shared.publisher.stand_by();
    resign.send_replace(true);
    if tokio::time::timeout(RESIGN_MAX, election).await.is_err() {
        warn!("ending without having given up the Lease; it ends by itself");
    }
    tokio::time::sleep(LINGER).await;
    end.send_replace(true);
    let _ = tokio::time::timeout(RESIGN_MAX, pushing).await;
    if let Some(reviewing) = reviewing {
        tokio::time::sleep(REVIEWS_LINGER.saturating_sub(ending.elapsed())).await;
        end_reviews.send_replace(true);
        let _ = tokio::time::timeout(RESIGN_MAX, reviewing).await;
    }
    Ok(())
}

/// Stands for election, once it could serve data planes: one that cannot would keep the Lease from those who can.
async fn stand(
    shared: Arc<Shared>,
    client: Client,
    options: lead::Options,
    term: watch::Sender<Option<u64>>,
    resigned: watch::Receiver<bool>,
) {
    tokio::select! {
        () = shared.servable() => lead::elect(client, options, term, told_to(resigned)).await,
        () = told_to(resigned.clone()) => {}
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|e| Error::Listen(address, e))
}

/// Where it listens, also where any port was asked for.
fn tell(admin: &TcpListener, push: &TcpListener, webhook: Option<&TcpListener>) {
    let at = |listener: &TcpListener| listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string());
    let webhook = webhook.map_or("none".into(), at);
    info!(admin = at(admin), push = at(push), webhook, "listening");
}

async fn told_to(mut flag: watch::Receiver<bool>) {
    // Without a sender nobody will ever say otherwise.
    let _ = flag.wait_for(|told| *told).await;
}

/// Standbys serve too: their streams are warm when they take over.
async fn serve_push(shared: Arc<Shared>, listener: TcpListener, tokens: TokenReviews, ended: watch::Receiver<bool>) {
    let tls = tokio::select! {
        tls = shared.tls(|served| served.push.clone()) => tls,
        () = told_to(ended.clone()) => return,
    };
    shared.publisher.clone().serve(listener, tls, tokens, told_to(ended)).await;
}

/// Only once everything is listed: before that, what objects name would be said to be missing.
async fn serve_webhook(shared: Arc<Shared>, listener: TcpListener, ended: watch::Receiver<bool>) {
    let ready = async {
        told_to(shared.listed.subscribe()).await;
        shared.tls(|served| served.webhook.clone()).await
    };
    let tls = tokio::select! {
        tls = ready => tls,
        () = told_to(ended.clone()) => return,
    };
    webhook::serve(listener, tls, shared.table.clone(), told_to(ended)).await;
}

/// Takes and loses the lead. Apart from the batches: a large one must not delay the end of a lead.
async fn obey(shared: Arc<Shared>, status: Arc<StatusWriter>, mut term: watch::Receiver<Option<u64>>) {
    while term.changed().await.is_ok() {
        let now = *term.borrow_and_update();
        match now {
            Some(term) => shared.publisher.lead(term),
            None => shared.publisher.stand_by(),
        }
        status.lead(now.is_some());
        shared.metrics.leading(now);
    }
}

/// Takes batches in order.
async fn follow(shared: &Shared, status: &StatusWriter, mut batches: mpsc::Receiver<Batch>) {
    let mut told = Told::default();
    while let Some(batch) = batches.recv().await {
        take(shared, status, batch, &mut told);
    }
}

fn take(shared: &Shared, status: &StatusWriter, batch: Batch, told: &mut Told) {
    let begun = Instant::now();
    let Batch { updates, versions, reached, metas, malformed, since, events: _ } = batch;
    let objects = updates.len();
    // A panic in translation would be a bug; what the others read then is still a whole table.
    let mut table = shared.table.write().unwrap_or_else(PoisonError::into_inner);
    let step = table.change(updates);
    drop(table);
    let took = begun.elapsed();
    let changes = step.changes.iter().chain(&step.retold).cloned().collect();
    let committed = shared.publisher.commit(changes, &step.stand_ins, versions, reached);
    shared.metrics.step(&step, took, since.map(|since| since.elapsed()));
    for problem in &committed.problems {
        error!("{}: {}; what it was before goes on being used", problem.key, problem.message);
    }
    told.tell(&step, &malformed);
    let table = shared.table.read().unwrap_or_else(PoisonError::into_inner);
    let view = View::after(&table, &step, metas);
    drop(table);
    status.observe(view.with_malformed(malformed));
    shared.listed.send_replace(true);
    if !step.changes.is_empty() {
        let (changes, derived, ms) = (step.changes.len(), step.derived, took.as_millis());
        info!(objects, changes, derived, ms, "translated");
    }
}
