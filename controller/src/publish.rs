//! The push: the table to every data plane, over one HTTP/2 stream each.
//!
//! Frames are [`routing::wire`]'s. The table is kept once, as the lines that are sent, in the order of its changes; a
//! data plane is a place in that order, so that any number of slow ones costs no memory that grows. In this order:
//! - [`authenticate`]: who connects
//! - [`serve`](Publisher::serve): connections, and the request that a stream is
//! - `table`: the lines, by key and by change
//! - `cursor`: what a data plane still has to get
//! - `link`: what is said next on a stream, without I/O
//! - `stream`: a link with its I/O
//! - [`planes`]: what is known of the data planes
//! - [`metrics`]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use routing::{Change, Key, KeyProblem, Value, wire};
use tokio::sync::{Notify, watch};

pub mod authenticate;
mod cursor;
mod link;
pub mod metrics;
pub mod planes;
mod serve;
mod state;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use authenticate::{Authenticate, Authenticated, Peer, Refused};
pub use metrics::Metrics;
pub use planes::{LuaFailure, Plane, Planes};

use state::State;
use table::Content;

/// How a publisher behaves. The defaults are what production has; tests shorten them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Moongate's version, as data planes see it.
    pub version: String,
    /// What a value needs of a data plane.
    pub needs: fn(&Key, &Value) -> Vec<String>,
    /// How long a key that was just pushed waits before it is pushed again.
    pub coalesce: Duration,
    /// How long a new leader waits at most until it has seen what a data plane has seen.
    pub catch_up: Duration,
    /// A frame is sent at least so often.
    pub keep_alive: Duration,
    /// A peer that sends nothing for so long, or takes nothing, is dropped.
    pub silence: Duration,
    /// A data plane that does not answer a commit for so long is dropped; it compiles 10,000 routes in less than one
    /// second.
    pub apply: Duration,
    /// From accepting a connection to its `Hello`.
    pub handshake: Duration,
    /// Streams at once: a bound against a wrong or hostile peer, far beyond any fleet of data planes.
    pub streams_max: usize,
    /// Connections at once that are not authenticated yet.
    pub handshakes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            needs: wire::needs,
            coalesce: Duration::from_millis(20),
            catch_up: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            apply: Duration::from_secs(120),
            handshake: Duration::from_secs(10),
            streams_max: 1000,
            handshakes_max: 256,
        }
    }
}

/// What [`Publisher::commit`] did.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a value that is too large is a problem of its object"]
pub struct Committed {
    /// A data plane whose applied counter, under this controller's term, is this or more has these changes.
    pub counter: u64,
    /// Keys whose value is too large for a frame: they stay as they were, here or where they are held.
    pub problems: Vec<KeyProblem>,
}

/// The table, and everyone who gets it. Cheap to clone.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

pub(crate) struct Inner {
    options: Options,
    state: Mutex<State>,
    /// Changes wait for their time.
    due: Notify,
    planes: watch::Sender<Arc<Planes>>,
    metrics: Metrics,
}

impl Publisher {
    /// A standby with an empty table, which is not listed: nothing is pushed.
    pub fn new(options: Options) -> Self {
        let state = Mutex::new(State::new(options.coalesce));
        let planes = watch::Sender::new(Arc::default());
        Self(Arc::new(Inner { options, state, due: Notify::new(), planes, metrics: Metrics::default() }))
    }

    /// Changes of the table. The first call, whatever is in it, says that everything is listed: nothing is pushed before.
    ///
    /// `stand_ins` are the keys of which what changes only stands in for a value that cannot be told: data planes that have
    /// one keep it.
    ///
    /// `versions` are the resource versions of the last objects that changed, by watch: data planes are told, and report
    /// them. `reached` are those up to which each watch knows everything, which may be later: a new leader pushes once
    /// they have come to what a data plane reports.
    pub fn commit(
        &self,
        changes: Vec<Change>,
        stand_ins: &BTreeSet<Key>,
        versions: BTreeMap<String, String>,
        reached: BTreeMap<String, String>,
    ) -> Committed {
        let mut problems = Vec::new();
        let mut contents = Vec::with_capacity(changes.len());
        // Serialized before the lock is taken: the first table may be of many megabytes.
        for change in changes {
            let is_stand_in = stand_ins.contains(change.key());
            match change {
                Change::Delete(key) => {
                    let content = is_stand_in.then(|| Content::keep(&key));
                    contents.push((key, content));
                }
                Change::Set(key, value) => match Content::new(&key, &value, is_stand_in, self.0.options.needs) {
                    Ok(content) => contents.push((key, Some(content))),
                    Err(e) => problems.push(KeyProblem { key, message: e.to_string() }),
                },
            }
        }
        let mut state = self.0.state();
        let unsaid = problems.iter().map(|problem| &problem.key).filter(|key| !state.says(key));
        contents.extend(unsaid.map(|key| (key.clone(), Some(Content::keep(key)))));
        let counter = state.commit(contents, versions, Instant::now());
        state.reach(reached);
        self.0.metrics.table(state.table());
        drop(state);
        self.0.due.notify_one();
        self.0.publish_planes();
        Committed { counter, problems }
    }

    /// From now on it pushes, under this term.
    pub fn lead(&self, term: u64) {
        self.0.state().lead(term);
        self.0.publish_planes();
    }

    /// It pushes no more. A data plane that joins later still gets the table that it last led with.
    pub fn stand_by(&self) {
        self.0.state().stand_by();
        self.0.publish_planes();
    }

    /// What is known of the data planes, whenever it changes.
    pub fn planes(&self) -> watch::Receiver<Arc<Planes>> {
        self.0.planes.subscribe()
    }

    /// Its counters, to be registered.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Inner {
    /// No lock is held over an await, and nothing under it panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what is known of the data planes.
    fn publish_planes(&self) {
        // Built and sent under the lock, so that no older view comes after a newer one.
        let state = self.state();
        self.planes.send_replace(Arc::new(state.planes()));
    }
}
