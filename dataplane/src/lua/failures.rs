//! The last failure of each plugin: what its status shows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lua_vm::ScriptError;
use routing::key::PluginKey;

use crate::table::PluginUse;

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
pub struct Failures(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    failures: BTreeMap<PluginKey, Failure>,
    /// Uses of a plugin with ids below this are of earlier code: requests that still run them say nothing of
    /// what the plugin is now.
    current: BTreeMap<PluginKey, u64>,
}

impl Failures {
    /// Remembers a failure of a plugin as it is now.
    pub fn note(&self, plugin: &PluginKey, phase: &str, error: &ScriptError) {
        self.lock().note(plugin, phase, error);
    }

    /// Remembers a failure of a plugin's use, unless the plugin has changed since: what a request began with, it ends with.
    pub fn note_of(&self, used: &PluginUse, phase: &str, error: &ScriptError) {
        let mut noted = self.lock();
        if noted.current.get(&used.plugin).is_none_or(|current| used.id >= *current) {
            noted.note(&used.plugin, phase, error);
        }
    }

    /// Plugins have other configs now: their failures are of the past.
    pub fn forget<'a>(&self, plugins: impl IntoIterator<Item = &'a PluginKey>) {
        let mut noted = self.lock();
        plugins.into_iter().for_each(|plugin| drop(noted.failures.remove(plugin)));
    }

    /// Plugins have other code now: their failures are of the past, and so are those to come of uses whose ids are below
    /// `current`. Not so where only a config changed: what `init` code left running goes on, with the id that it had.
    pub fn forget_code<'a>(&self, plugins: impl IntoIterator<Item = &'a PluginKey>, current: u64) {
        let mut noted = self.lock();
        for plugin in plugins {
            noted.failures.remove(plugin);
            if noted.current.len() >= PLUGINS_MAX {
                // At worst a status shows an error of the code before.
                noted.current.clear();
            }
            noted.current.insert(plugin.clone(), current);
        }
    }

    /// The last failure of every plugin that failed as it is now.
    pub fn all(&self) -> BTreeMap<PluginKey, Failure> {
        self.lock().failures.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // A poisoned lock means that a thread panicked while it only moved a string: the maps are whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn note(&mut self, plugin: &PluginKey, phase: &str, error: &ScriptError) {
        let message = routing::wire::shorten(format!("{phase}: {}", error.message));
        let map = &mut self.failures;
        let is_known = map.get(plugin).is_some_and(|failure| failure.message == message);
        if !is_known && (map.len() < PLUGINS_MAX || map.contains_key(plugin)) {
            map.insert(plugin.clone(), Failure { message, at_ms: crate::clock::unix_ms() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lua_vm::{ErrorKind, ScriptError};
    use routing::ObjectName;
    use routing::key::{PluginKey, PluginKind};
    use routing::value::FailurePolicy;

    use super::Failures;
    use crate::table::{Config, Meta, PluginUse, Scope, unique};

    fn used() -> PluginUse {
        PluginUse {
            id: unique(),
            plugin: PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new("shop", "quota") },
            scope: Scope::Namespace("shop".into()),
            config: Arc::new(Config { id: unique(), value: serde_json::json!({}), binding: String::new() }),
            meta: Arc::new(Meta { ingress: None, route: None, service: String::new() }),
            failure_policy: FailurePolicy::Fail,
            cpu_per_resume_ms: None,
        }
    }

    #[test]
    fn what_ends_after_its_code_was_replaced_is_no_failure_of_the_new_code() {
        let failures = Failures::default();
        let error =
            |message: &str| ScriptError { kind: ErrorKind::Runtime, message: message.into(), traceback: String::new() };
        let told = || failures.all().into_values().map(|failure| failure.message).collect::<Vec<_>>();
        let old = used();
        failures.note_of(&old, "access", &error("first"));
        assert_eq!(told(), ["access: first"]);
        let before = unique();
        let new = used();
        // As a commit does it: what is compiled is newer, then the past is forgotten.
        failures.forget_code([&new.plugin], before);
        assert!(told().is_empty());
        failures.note_of(&old, "access", &error("late"));
        assert!(told().is_empty(), "a request that began with the old code");
        failures.note_of(&new, "access", &error("second"));
        assert_eq!(told(), ["access: second"]);
        // Only a config changed: the code still runs for what has the earlier one.
        failures.forget([&new.plugin]);
        assert!(told().is_empty());
        failures.note_of(&new, "timer", &error("third"));
        assert_eq!(told(), ["timer: third"]);
    }
}
