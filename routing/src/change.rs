//! How a table moves from one state to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{key::Key, value::Value};

/// One step of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The key now has this value.
    Set(Key, Arc<Value>),
    /// The key is gone.
    Delete(Key),
}

impl Change {
    /// The key that changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Set(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Changes that take effect as one step. Never refused as a whole: a key that fails keeps its last good value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The Lease's `leaseTransitions` of the controller that made it; 0 in standalone mode.
    pub term: u64,
    /// Counts the commits of a term.
    pub counter: u64,
    /// At most one per key.
    pub changes: Vec<Change>,
}

/// Why a key could not take effect in a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProblem {
    /// The key that keeps its last good value, or has none.
    pub key: Key,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// A whole table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(pub BTreeMap<Key, Arc<Value>>);

impl Table {
    /// The changes that lead from `self` to `next`, in key order.
    pub fn diff(&self, next: &Self) -> Vec<Change> {
        let gone = self.0.keys().filter(|k| !next.0.contains_key(k)).map(|k| Change::Delete(k.clone()));
        let set =
            next.0.iter().filter(|(k, v)| self.0.get(k) != Some(v)).map(|(k, v)| Change::Set(k.clone(), v.clone()));
        gone.chain(set).collect()
    }

    /// Applies changes in order.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Set(key, value) => drop(self.0.insert(key.clone(), value.clone())),
                Change::Delete(key) => drop(self.0.remove(key)),
            }
        }
    }
}
