//! The last failure of each plugin: what its status shows.

use std::collections::BTreeMap;
use std::sync::Mutex;

use lua_vm::ScriptError;
use routing::key::PluginKey;

/// Plugins remembered; they come from the table, so this only guards against churn.
const PLUGINS_MAX: usize = 4096;

/// A message is cut to this: it ends up in an object's status.
const MESSAGE_MAX: usize = 512;

/// Last failures by plugin.
#[derive(Default)]
pub struct Failures(Mutex<BTreeMap<PluginKey, String>>);

impl Failures {
    /// Remembers a failure.
    pub fn note(&self, plugin: &PluginKey, phase: &str, error: &ScriptError) {
        let mut message = format!("{phase}: {}", error.message);
        if let Some((at, _)) = message.char_indices().nth(MESSAGE_MAX) {
            message.truncate(at);
        }
        // A poisoned lock means that a thread panicked while it only moved a string: the map is whole.
        let mut map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if map.len() < PLUGINS_MAX || map.contains_key(plugin) {
            map.insert(plugin.clone(), message);
        }
    }

    /// The last failure of every plugin that ever failed.
    pub fn all(&self) -> BTreeMap<PluginKey, String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
