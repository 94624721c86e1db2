//! What a VM is made of: the scripts, modules and dicts of every plugin that runs in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::value::{Phase, Settings};
use routing::{Hash, Key, Value};

use super::super::{Config, Meta, PluginUse, Scope, ScopeSpec, unique};
use super::plugin::Plugins;
use super::scope_of;

/// None: no plugin runs in it.
pub(super) fn compile(
    scope: &Scope,
    plugins: &Plugins,
    raw: &BTreeMap<Key, Arc<Value>>,
    settings: &Settings,
) -> Option<ScopeSpec> {
    let mut modules = BTreeMap::new();
    let mut dicts: BTreeMap<String, u64> = BTreeMap::new();
    let mut init = Vec::new();
    let mut content = Vec::new();
    let meta = Arc::new(Meta { ingress: None, route: None, service: String::new() });
    let empty = Arc::new(Config { id: unique(), value: serde_json::json!({}), binding: String::new() });
    let mut members: Vec<_> = plugins.iter().filter(|(key, _)| scope_of(key) == *scope).collect();
    if members.is_empty() {
        return None;
    }
    // `init` code runs in plugin order.
    members.sort_by_key(|(key, p)| (std::cmp::Reverse(p.spec.priority), (*key).clone()));
    for (key, plugin) in members {
        modules.extend(plugin.modules.clone());
        for (name, bytes) in &plugin.spec.shared_dicts {
            let size = dicts.entry(name.clone()).or_default();
            *size = (*size).max(*bytes);
        }
        content.push((key.to_string(), plugin.spec.phases.clone(), plugin.spec.modules.clone()));
        for phase in [Phase::Init, Phase::InitWorker] {
            if let Some(script) = plugin.scripts.get(&phase) {
                let used = PluginUse {
                    id: unique(),
                    plugin: key.clone(),
                    scope: scope.clone(),
                    config: empty.clone(),
                    meta: meta.clone(),
                    failure_policy: plugin.spec.failure_policy,
                    cpu_per_resume_ms: plugin.spec.cpu_per_resume_ms,
                };
                init.push((phase, Arc::new(used), script.clone()));
            }
        }
    }
    let limits = match scope {
        Scope::Operator => settings.lua.operator.clone(),
        Scope::Namespace(name) => match raw.get(&Key::Namespace(name.to_string())).map(Arc::as_ref) {
            Some(Value::Namespace(ns)) => ns.limits.clone(),
            _ => Default::default(),
        },
    };
    let regex_match_limit = settings.lua.regex_match_limit;
    let regex_cache_entries = settings.lua.regex_cache_max_entries as usize;
    let hash = Hash::of(&(&content, &dicts, &limits, regex_match_limit, regex_cache_entries));
    let scope = scope.clone();
    Some(ScopeSpec { scope, hash, modules, dicts, limits, regex_match_limit, regex_cache_entries, init })
}
