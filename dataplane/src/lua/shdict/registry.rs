//! The dicts of all scopes: made, resized and dropped as plugins declare them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Dict, MIN_CAPACITY};
use crate::table::Scope;

/// A dict that its scope's cap has no room for. One that was there keeps its size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shared dict {name:?} wants {wanted} bytes, {left} are left of the namespace's {cap}")]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// The size asked for.
    pub wanted: usize,
    /// What the others leave.
    pub left: usize,
    /// The scope's cap.
    pub cap: usize,
}

/// All dicts of a process. Read when a VM is made, written when a commit changes what plugins declare: never on the
/// path of a request, which has its dicts at hand.
#[derive(Default)]
pub struct Dicts {
    scopes: RwLock<HashMap<Scope, BTreeMap<String, Arc<Dict>>>>,
}

impl Dicts {
    /// Makes a scope's dicts be those of `wanted` (name to bytes), together at most `cap` bytes: new ones are made,
    /// others resized, which keeps their entries, and those that nothing declares any more dropped. Names are served in
    /// order; what is refused is told.
    pub fn declare(&self, scope: &Scope, wanted: &BTreeMap<String, u64>, cap: u64, now: u64) -> Vec<Refused> {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX);
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        let dicts = scopes.entry(scope.clone()).or_default();
        dicts.retain(|name, _| wanted.contains_key(name));
        let mut refused = Vec::new();
        // First what gets smaller: it makes room.
        let (smaller, larger): (Vec<_>, Vec<_>) = wanted
            .iter()
            .map(|(name, &bytes)| (name, usize::try_from(bytes).unwrap_or(usize::MAX).max(MIN_CAPACITY)))
            .partition(|(name, bytes)| dicts.get(*name).is_some_and(|dict| *bytes <= dict.capacity()));
        for (name, bytes) in smaller {
            if let Some(dict) = dicts.get(name) {
                dict.resize(bytes, now);
            }
        }
        for (name, bytes) in larger {
            let others: usize = dicts.iter().filter(|(other, _)| *other != name).map(|(_, d)| d.capacity()).sum();
            let left = cap.saturating_sub(others);
            if bytes > left {
                refused.push(Refused { name: name.clone(), wanted: bytes, left, cap });
                continue;
            }
            match dicts.get(name) {
                Some(dict) => dict.resize(bytes, now),
                None => drop(dicts.insert(name.clone(), Arc::new(Dict::new(bytes)))),
            }
        }
        if dicts.is_empty() {
            scopes.remove(scope);
        }
        refused
    }

    /// A scope's dict.
    pub fn get(&self, scope: &Scope, name: &str) -> Option<Arc<Dict>> {
        self.scopes.read().unwrap_or_else(PoisonError::into_inner).get(scope)?.get(name).cloned()
    }

    /// Drops the dicts of every scope that `keep` refuses: of namespaces that have no plugins any more.
    pub fn retain(&self, keep: impl Fn(&Scope) -> bool) {
        self.scopes.write().unwrap_or_else(PoisonError::into_inner).retain(|scope, _| keep(scope));
    }
}
