//! Code that does not run yet: replacing a VM waits for earlier ones that still serve requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use routing::key::PluginKey;
use routing::{Key, KeyProblem};

use crate::table::Scope;

/// What waits, by worker and scope.
#[derive(Default)]
pub struct Waits(Mutex<BTreeMap<(usize, Scope), Vec<PluginKey>>>);

impl Waits {
    /// The plugins of a scope whose code waits on a worker; empty: none does any more.
    pub fn set(&self, worker: usize, scope: &Scope, plugins: Vec<PluginKey>) {
        let key = (worker, scope.clone());
        if plugins.is_empty() {
            self.all().remove(&key);
        } else {
            self.all().insert(key, plugins);
        }
    }

    /// What to say of each. The text does not count, so that it stays the same while VMs come and go.
    pub fn problems(&self) -> Vec<KeyProblem> {
        let plugins: BTreeSet<PluginKey> = self.all().values().flatten().cloned().collect();
        let problem = |plugin| KeyProblem { key: Key::Plugin(plugin), message: WAITS.to_owned() };
        plugins.into_iter().map(problem).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(usize, Scope), Vec<PluginKey>>> {
        // A poisoned lock means that a thread panicked while it only moved a list: the map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a plugin's status says.
pub const WAITS: &str = "the change of modules, init code or limits waits for long requests: four earlier Lua VMs of \
    the namespace still serve some; until one of them ends, the version before goes on";
