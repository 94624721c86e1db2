//! The last failure of each plugin: what its status shows.

use std::collections::BTreeMap;
use std::sync::Mutex;

use lua_vm::ScriptError;
use routing::key::PluginKey;

/// Plugins remembered; they come from the table, so this only guards against churn.
const PLUGINS_MAX: usize = 4096;

/// A plugin's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The phase and Lua's message, with chunk and line.
    pub message: String,
    /// When it failed first with this message: milliseconds since the epoch.
    pub at_ms: u64,
}

/// Last failures by plugin.
#[derive(Default)]
pub struct Failures(Mutex<BTreeMap<PluginKey, Failure>>);

impl Failures {
    /// Remembers a failure.
    pub fn note(&self, plugin: &PluginKey, phase: &str, error: &ScriptError) {
        let message = routing::wire::shorten(format!("{phase}: {}", error.message));
        // A poisoned lock means that a thread panicked while it only moved a string: the map is whole.
        let mut map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_known = map.get(plugin).is_some_and(|failure| failure.message == message);
        if !is_known && (map.len() < PLUGINS_MAX || map.contains_key(plugin)) {
            map.insert(plugin.clone(), Failure { message, at_ms: crate::clock::unix_ms() });
        }
    }

    /// A plugin has other code or configs now: its failures are of the past.
    pub fn forget<'a>(&self, plugins: impl IntoIterator<Item = &'a PluginKey>) {
        let mut map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for plugin in plugins {
            map.remove(plugin);
        }
    }

    /// The last failure of every plugin that failed as it is now.
    pub fn all(&self) -> BTreeMap<PluginKey, Failure> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
