//! What the data planes say about the table that they were sent, and what of it concerns whose status.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use routing::Key;
use routing::key::PluginKey;

/// The data planes that are connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planes {
    /// In no order that means anything.
    pub planes: Vec<Plane>,
}

/// A data plane that is connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plane {
    /// Its pod, `namespace/name`.
    pub pod: String,
    /// It has acknowledged its first whole table. Before that it is not counted: a replica that joins changes nothing
    /// about those that run.
    pub is_complete: bool,
    /// Keys that it has not acknowledged as they are now.
    pub behind: BTreeSet<Key>,
    /// Keys that did not take effect there, and why.
    pub failed: BTreeMap<Key, String>,
    /// The last failure of each plugin in a request.
    pub lua_failures: BTreeMap<PluginKey, LuaFailure>,
}

/// A failure of a plugin's code in a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LuaFailure {
    /// When.
    pub at: Timestamp,
    /// With the chunk's name and the line.
    pub message: String,
}

/// The data planes by what concerns a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// How many count.
    pub(super) complete: usize,
    /// Where a key did not take effect: pods with their message, by pod.
    pub(super) failed: BTreeMap<Key, BTreeMap<String, String>>,
    /// Pods that have not acknowledged a key as it is now.
    pub(super) behind: BTreeMap<Key, BTreeSet<String>>,
    /// The newest failure of each plugin.
    pub(super) lua: BTreeMap<PluginKey, LuaFailure>,
}

impl Summary {
    /// Turns the planes' reports round.
    pub(super) fn of(planes: &Planes) -> Self {
        let mut summary = Self::default();
        for plane in &planes.planes {
            for (plugin, failure) in &plane.lua_failures {
                let newest = summary.lua.entry(plugin.clone()).or_insert_with(|| failure.clone());
                if *newest < *failure {
                    *newest = failure.clone();
                }
            }
            if !plane.is_complete {
                continue;
            }
            summary.complete += 1;
            for key in &plane.behind {
                summary.behind.entry(key.clone()).or_default().insert(plane.pod.clone());
            }
            // What is behind is about to be tried again.
            for (key, message) in plane.failed.iter().filter(|(key, _)| !plane.behind.contains(key)) {
                summary.failed.entry(key.clone()).or_default().insert(plane.pod.clone(), message.clone());
            }
        }
        summary
    }

    /// The keys about which something else holds than before. None: about any of them, since the first data plane has
    /// come or the last one gone.
    pub(super) fn changed(&self, before: &Self) -> Option<BTreeSet<Key>> {
        if (self.complete == 0) != (before.complete == 0) {
            return None;
        }
        let mut changed = differing(&self.failed, &before.failed);
        changed.extend(differing(&self.behind, &before.behind));
        changed.extend(differing(&self.lua, &before.lua).into_iter().map(Key::Plugin));
        Some(changed)
    }
}

fn differing<K: Ord + Clone, V: PartialEq>(now: &BTreeMap<K, V>, before: &BTreeMap<K, V>) -> BTreeSet<K> {
    let new = now.iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| key.clone());
    let gone = before.keys().filter(|key| !now.contains_key(key)).cloned();
    new.chain(gone).collect()
}
