//! The process's data plane: its workers, its table, its end.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use routing::key::PluginKey;
use routing::{Change, Commit, Key, KeyProblem, ObjectName};

use crate::lua::failures::Failure;
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
    /// `/live`, `/ready`, `/serving`, `/metrics`.
    pub admin: Option<SocketAddr>,
    /// Worker threads; 0: one per CPU that the cgroup's quota grants.
    pub workers: usize,
}

/// Why a data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket, a thread, or the self-signed certificate.
    #[error(transparent)]
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
    /// Certificates that the last run had, and that nobody has sent yet.
    lacking: Mutex<BTreeSet<ObjectName>>,
    problems: Mutex<Vec<KeyProblem>>,
    busy_workers: AtomicUsize,
}

impl State {
    /// Why the process should get no new clients; none: it is ready.
    pub fn unready(&self) -> Option<String> {
        if *self.shared.stage.borrow() != Stage::Serving {
            return Some("shutting down".into());
        }
        self.unserving()
    }

    /// Why connections that come would not be served; none: they are, also while it drains. A balancer that has not seen
    /// yet that the process is not ready sends some.
    pub fn unserving(&self) -> Option<String> {
        if *self.shared.stage.borrow() >= Stage::Closing {
            return Some("shutting down".into());
        }
        if !self.first_table.load(Ordering::Acquire) {
            return Some("no table yet".into());
        }
        // Others that are missing are their Ingress's problem: nobody else's host may suffer from it.
        let lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        let name = lacking.first()?;
        Some(format!("no controller has sent the certificate {name} yet, which is not kept on disk"))
    }

    /// Keys that keep an earlier value or whose code cannot run yet, and the last failure of every plugin, one a line.
    pub fn problems(&self) -> String {
        let mut out = String::new();
        for p in self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            out.push_str(&format!("{}: {}\n", p.key, p.message));
        }
        for p in self.shared.waits.problems() {
            out.push_str(&format!("{}: {}\n", p.key, p.message));
        }
        for (plugin, failure) in self.shared.failures.all() {
            out.push_str(&format!("last failure of {plugin}: {}\n", failure.message));
        }
        out
    }
}

/// What a process that serves does first. Its memory is small pages: see [`lua_vm::avoid_huge_pages`].
pub fn prepare_process() {
    lua_vm::avoid_huge_pages();
}

/// A running data plane.
pub struct Server {
    tables: Tables,
    addresses: Addresses,
    workers: Vec<JoinHandle<()>>,
}

/// Applies commits, from any thread.
#[derive(Clone)]
pub struct Tables {
    state: Arc<State>,
    compiler: Arc<Mutex<Compiler>>,
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
            lacking: Mutex::default(),
            problems: Mutex::default(),
            busy_workers: AtomicUsize::new(0),
        });
        let sockets = threads::bind_all(options, n)?;
        let addresses = sockets.addresses.clone();
        let workers = threads::start(sockets, &state)?;
        let tables = Tables { state, compiler: Arc::new(Mutex::new(Compiler::new(shared))) };
        Ok(Self { tables, addresses, workers })
    }

    /// Applies a commit as one step. Keys that fail keep their last good value; what is wrong is returned.
    pub fn apply(&mut self, commit: &Commit) -> Vec<KeyProblem> {
        self.tables.apply(commit)
    }

    /// The same, for tasks and other threads.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The process's counters and state.
    pub fn state(&self) -> &Arc<State> {
        &self.tables.state
    }

    /// Stops being ready, lets connections end after their next response, accepts for `delay` more, then stops
    /// accepting and waits for what is left until `grace` is over. Blocks its thread.
    #[expect(clippy::disallowed_methods, reason = "no worker runs on this thread: waiting is all that it does")]
    pub fn shutdown(self, delay: Duration, grace: Duration) {
        let state = &self.tables.state;
        let stage = &state.shared.stage;
        stage.send_replace(Stage::Draining);
        std::thread::sleep(delay);
        stage.send_replace(Stage::Closing);
        let deadline = Instant::now() + grace;
        while state.busy_workers.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for worker in self.workers {
            if worker.is_finished() {
                let _ = worker.join();
            }
        }
    }
}

impl Tables {
    /// Applies a commit as one step, after which the process is ready. Keys that fail keep their last good value; what
    /// is wrong is returned.
    pub fn apply(&self, commit: &Commit) -> Vec<KeyProblem> {
        self.apply_lacking(commit, BTreeSet::new())
    }

    /// The same with the last run's table, which may lack certificates that were served then: the process is not ready
    /// until the next commit if it does.
    pub fn apply_lacking(&self, commit: &Commit, certificates: BTreeSet<ObjectName>) -> Vec<KeyProblem> {
        let failed = self.prepare(commit);
        *self.state.lacking.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
        self.state.first_table.store(true, Ordering::Release);
        failed
    }

    /// Applies a commit that is not yet the table to serve: the process does not become ready by it.
    pub fn prepare(&self, commit: &Commit) -> Vec<KeyProblem> {
        let mut compiler = self.compiler.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = compiler.apply(commit);
        let shared = &self.state.shared;
        let snapshot = shared.snapshot.load();
        shared.metrics.committed(snapshot.version, failed.len());
        self.remember(commit, &failed, &compiler);
        shared.commits.send_replace(snapshot.version);
        failed
    }

    /// Problems stay until their key is set well or deleted, or what it lacked has come.
    fn remember(&self, commit: &Commit, failed: &[KeyProblem], compiler: &Compiler) {
        let mut problems = self.state.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let changed: std::collections::BTreeSet<_> = commit.changes.iter().map(Change::key).collect();
        problems.retain(|p| {
            let is_solved = matches!(&p.key, Key::Plugin(plugin) if !compiler.is_failing(plugin));
            !is_solved && !changed.contains(&p.key) && !failed.iter().any(|f| f.key == p.key)
        });
        problems.extend_from_slice(failed);
    }

    /// Every key that does not have what was applied last, with the reason.
    pub fn problems(&self) -> Vec<KeyProblem> {
        self.state.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Plugins whose code is in the table and cannot run yet, with the reason.
    pub fn waits(&self) -> Vec<KeyProblem> {
        self.state.shared.waits.problems()
    }

    /// The last failure of each plugin's scripts.
    pub fn lua_failures(&self) -> std::collections::BTreeMap<PluginKey, Failure> {
        self.state.shared.failures.all()
    }
}

/// Runs on a worker's thread: everything that is not a connection.
async fn housekeeping(worker: Rc<crate::worker::Worker>) {
    let mut commits = worker.shared.commits.subscribe();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drained = false;
    loop {
        tokio::select! {
            changed = commits.changed() => if changed.is_err() {
                return;
            },
            _ = tick.tick() => {}
            () = worker.drained(), if !drained => {
                drained = true;
                worker.idle.wake();
            }
        }
        worker.idle.expire(crate::clock::tick());
        crate::access_log::flush();
        worker.vms.look_after(&worker, Instant::now()).await;
        let idle = worker.snapshot(|s| s.settings.http.upstream_keepalive_timeout_ms);
        worker.pools.sweep(Duration::from_millis(idle));
    }
}
