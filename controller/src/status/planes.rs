//! What the data planes say about the table that they were sent, by whose status it concerns.

use std::collections::{BTreeMap, BTreeSet};

use routing::Key;
use routing::key::PluginKey;

use crate::publish::{LuaFailure, Planes};

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
        for plane in planes.planes.values() {
            let pod = plane.peer.to_string();
            for (plugin, failure) in &plane.lua {
                let newest = summary.lua.entry(plugin.clone()).or_insert_with(|| failure.clone());
                if *newest < *failure {
                    *newest = failure.clone();
                }
            }
            // Before its first whole table it is not counted: a replica that joins changes nothing about those that run.
            if !plane.is_complete {
                continue;
            }
            summary.complete += 1;
            for key in &plane.behind {
                summary.behind.entry(key.clone()).or_default().insert(pod.clone());
            }
            // What is behind is about to be tried again.
            for (key, message) in plane.failed.iter().filter(|(key, _)| !plane.behind.contains(key)) {
                summary.failed.entry(key.clone()).or_default().insert(pod.clone(), message.clone());
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
