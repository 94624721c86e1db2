//! What is known of the data planes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use routing::Key;
use routing::key::PluginKey;

use super::Peer;

/// Every data plane that is connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planes {
    /// The term that this controller leads with; none: another one does, or nobody.
    pub term: Option<u64>,
    /// By the pod's UID.
    pub planes: BTreeMap<String, Arc<Plane>>,
}

/// A data plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Its pod.
    pub peer: Peer,
    /// Its version of Moongate.
    pub version: String,
    /// The protocol version that is spoken with it.
    pub protocol: u32,
    /// Term and counter of the last commit of this controller that it applied.
    pub applied: Option<(u64, u64)>,
    /// It has applied a first commit of this controller, so it has the whole table.
    pub is_complete: bool,
    /// Of plugins, bindings and settings, the keys that it has not applied, or tried to, as they are now.
    pub behind: BTreeSet<Key>,
    /// Keys that keep an earlier value there or have none, with the reason; at most
    /// [`routing::wire::PROBLEMS_MAX`].
    pub failed: BTreeMap<Key, String>,
    /// How many there are.
    pub failed_total: u64,
    /// The last failure of each plugin's scripts there; at most [`routing::wire::PROBLEMS_MAX`].
    pub lua: BTreeMap<PluginKey, LuaFailure>,
    /// Since when it is connected.
    pub connected: SystemTime,
}

/// The last failure of a plugin's scripts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LuaFailure {
    /// When it failed first with this message.
    pub at: Timestamp,
    /// The phase and Lua's message, with chunk and line.
    pub message: String,
}

impl Planes {
    /// How many data planes have applied a commit of this controller's term, and how many there are.
    pub fn having(&self, counter: u64) -> (usize, usize) {
        let has = |plane: &&Arc<Plane>| plane.applied.is_some_and(|(t, c)| Some(t) == self.term && c >= counter);
        (self.planes.values().filter(has).count(), self.planes.len())
    }
}
