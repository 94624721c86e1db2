//! What a VM is made of: the scripts, modules and dicts of every plugin that runs in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::value::{LuaLimits, Phase, Settings};
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
    let (mut content, mut module_hashes, mut init_hashes) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut all = BTreeMap::new();
    let meta = Arc::new(Meta { ingress: None, route: None, service: String::new() });
    let empty = Arc::new(Config { id: unique(), value: serde_json::json!({}), binding: String::new() });
    let mut members: Vec<_> = plugins.iter().filter(|(key, _)| scope_of(key) == *scope).collect();
    if members.is_empty() {
        return None;
    }
    // `init` code runs in plugin order.
    members.sort_by_key(|(key, p)| (std::cmp::Reverse(p.spec.priority), (*key).clone()));
    for (key, plugin) in members {
        all.insert(key.clone(), plugin.clone());
        modules.extend(plugin.modules.clone());
        module_hashes.extend(plugin.spec.modules.clone());
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
                init_hashes.push((key.to_string(), phase, script.hash));
                init.push((phase, Arc::new(used), script.clone()));
            }
        }
    }
    let limits = limits(scope, raw, settings);
    let regex_match_limit = settings.lua.regex_match_limit;
    let regex_cache_entries = settings.lua.regex_cache_max_entries as usize;
    let rest = (&dicts, &limits, regex_match_limit, regex_cache_entries);
    Some(ScopeSpec {
        scope: scope.clone(),
        hash: Hash::of(&(&content, &rest)),
        base: Hash::of(&(&module_hashes, &init_hashes, &rest)),
        plugins: all,
        modules,
        dicts,
        limits,
        regex_match_limit,
        regex_cache_entries,
        init,
    })
}

fn limits(scope: &Scope, raw: &BTreeMap<Key, Arc<Value>>, settings: &Settings) -> LuaLimits {
    match scope {
        Scope::Operator => settings.lua.operator.clone(),
        Scope::Namespace(name) => match raw.get(&Key::Namespace(name.to_string())).map(Arc::as_ref) {
            Some(Value::Namespace(ns)) => ns.limits.clone(),
            _ => LuaLimits::default(),
        },
    }
}
