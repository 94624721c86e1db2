//! The process's data plane: its workers, its table, its end.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use routing::{Commit, KeyProblem};

use crate::table::compile::Compiler;
use crate::worker::{Shared, Stage};

mod threads;

/// Where and how a data plane listens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTPS.
    pub https: Vec<SocketAddr>,
    /// `/live`, `/ready`, `/metrics`.
    pub admin: Option<SocketAddr>,
    /// Worker threads; 0: one per CPU that the cgroup's quota grants.
    pub workers: usize,
}

/// Why a data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket, a thread, or the self-signed certificate.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Where a running data plane listens: ports that were given as 0 are filled in.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTPS.
    pub https: Vec<SocketAddr>,
    /// The admin endpoint.
    pub admin: Option<SocketAddr>,
}

/// What the admin endpoint and the server share.
pub struct State {
    /// The workers' shared part.
    pub shared: Arc<Shared>,
    first_table: AtomicBool,
    problems: Mutex<Vec<KeyProblem>>,
    busy_workers: AtomicUsize,
}

impl State {
    /// Why the process should get no traffic; none: it is ready.
    pub fn unready(&self) -> Option<String> {
        if *self.shared.stage.borrow() != Stage::Serving {
            return Some("shutting down".into());
        }
        if !self.first_table.load(Ordering::Acquire) {
            return Some("no table yet".into());
        }
        let snapshot = self.shared.snapshot.load();
        for (host, h) in &snapshot.hosts {
            if let Some(name) = h.certificate.as_ref().filter(|name| !snapshot.certificates.contains_key(*name)) {
                return Some(format!("the certificate {name} of {host} is missing"));
            }
        }
        None
    }

    /// Keys that keep an earlier value, and the last failure of every plugin, one a line.
    pub fn problems(&self) -> String {
        let mut out = String::new();
        for p in self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            out.push_str(&format!("{}: {}\n", p.key, p.message));
        }
        for (plugin, message) in self.shared.failures.all() {
            out.push_str(&format!("last failure of {plugin}: {message}\n"));
        }
        out
    }
}

/// A running data plane.
pub struct Server {
    state: Arc<State>,
    compiler: Compiler,
    addresses: Addresses,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds every socket and starts the workers. It answers 404 until a table is applied, and is not ready.
    ///
    /// # Errors
    /// A socket that cannot be bound, by its address; a thread that cannot be started.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let n = if options.workers == 0 { threads::default_workers() } else { options.workers };
        let shared = Arc::new(Shared::new(n));
        let state = Arc::new(State {
            shared: shared.clone(),
            first_table: AtomicBool::new(false),
            problems: Mutex::default(),
            busy_workers: AtomicUsize::new(0),
        });
        let sockets = threads::bind_all(options, n)?;
        let addresses = sockets.addresses.clone();
        let workers = threads::start(sockets, &state)?;
        Ok(Self { state, compiler: Compiler::new(shared), addresses, workers })
    }

    /// Applies a commit as one step. Keys that fail keep their last good value; what is wrong is returned.
    pub fn apply(&mut self, commit: &Commit) -> Vec<KeyProblem> {
        let failed = self.compiler.apply(commit);
        self.state.first_table.store(true, Ordering::Release);
        let snapshot = self.state.shared.snapshot.load();
        self.state.shared.apply_dicts(&snapshot);
        self.state.shared.metrics.committed(snapshot.version, failed.len());
        self.remember(commit, &failed);
        self.state.shared.commits.send_replace(snapshot.version);
        failed
    }

    /// Problems stay until their key is set well or deleted.
    fn remember(&self, commit: &Commit, failed: &[KeyProblem]) {
        let mut problems = self.state.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let changed: std::collections::BTreeSet<_> = commit.changes.iter().map(routing::Change::key).collect();
        problems.retain(|p| !changed.contains(&p.key) && !failed.iter().any(|f| f.key == p.key));
        problems.extend_from_slice(failed);
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The process's counters and state.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Stops being ready, lets connections end after their next response, accepts for `delay` more, then stops
    /// accepting and waits for what is left until `grace` is over. Blocks its thread.
    #[expect(clippy::disallowed_methods, reason = "no worker runs on this thread: waiting is all that it does")]
    pub fn shutdown(self, delay: Duration, grace: Duration) {
        let stage = &self.state.shared.stage;
        stage.send_replace(Stage::Draining);
        std::thread::sleep(delay);
        stage.send_replace(Stage::Closing);
        let deadline = Instant::now() + grace;
        while self.state.busy_workers.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for worker in self.workers {
            if worker.is_finished() {
                let _ = worker.join();
            }
        }
    }
}

/// Runs on a worker's thread: everything that is not a connection.
async fn housekeeping(worker: Rc<crate::worker::Worker>) {
    let mut commits = worker.shared.commits.subscribe();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut later, mut drained) = (false, false);
    loop {
        let refresh = tokio::select! {
            changed = commits.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            _ = tick.tick() => later,
            () = worker.drained(), if !drained => {
                drained = true;
                worker.idle.wake();
                false
            }
        };
        crate::clock::tick();
        crate::access_log::flush();
        if refresh {
            let snapshot = worker.snapshot(Arc::clone);
            later = worker.vms.refresh(&worker, &snapshot);
        }
        let idle = worker.snapshot(|s| s.settings.http.upstream_keepalive_timeout_ms);
        worker.pools.sweep(Duration::from_millis(idle));
    }
}
