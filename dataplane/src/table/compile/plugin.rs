//! Plugins and their configs: a pair that changes together. A plugin whose new scripts do not compile keeps its last
//! good scripts and, with them, its last good configs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lua_vm::{Vm, VmOptions};
use routing::key::{BindingKey, PluginKey};
use routing::value::{self, Phase};
use routing::{Hash, Key, KeyProblem, Value};

use super::super::{CompiledPlugin, Config, Script, unique};
use crate::exchange::Exchange;

/// Every plugin and config that is in effect.
#[derive(Default)]
pub(super) struct Plugins {
    good: BTreeMap<PluginKey, Arc<CompiledPlugin>>,
    /// With the plugin that each is for.
    configs: HashMap<BindingKey, (PluginKey, Arc<Config>)>,
    /// Plugins whose current version does not compile.
    failing: BTreeSet<PluginKey>,
}

/// Plugins that a commit changed.
#[derive(Default)]
pub(super) struct Updated {
    /// Those with other code.
    pub(super) code: BTreeSet<PluginKey>,
    /// Those with other configs.
    pub(super) configs: BTreeSet<PluginKey>,
}

impl Plugins {
    pub(super) fn get(&self, key: &PluginKey) -> Option<&Arc<CompiledPlugin>> {
        self.good.get(key)
    }

    /// A binding's config for a plugin. One that was moved to another plugin while its config does not fit that has
    /// its last good config, which is the first plugin's and nothing to this one.
    pub(super) fn config(&self, key: &BindingKey, plugin: &PluginKey) -> Option<&Arc<Config>> {
        self.configs.get(key).filter(|(of, _)| of == plugin).map(|(_, config)| config)
    }

    pub(super) fn is_failing(&self, key: &PluginKey) -> bool {
        self.failing.contains(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PluginKey, &Arc<CompiledPlugin>)> {
        self.good.iter()
    }

    /// Brings in changed plugins, scripts and bindings.
    pub(super) fn update(
        &mut self,
        changed: &BTreeSet<Key>,
        raw: &BTreeMap<Key, Arc<Value>>,
        problems: &mut Vec<KeyProblem>,
    ) -> Updated {
        let mut updated = Updated::default();
        let scripts: BTreeSet<Hash> = changed.iter().filter_map(script_of).collect();
        let mut plugins: BTreeSet<PluginKey> = changed.iter().filter_map(plugin_of).collect();
        // A plugin may have arrived before its script did.
        plugins.extend(self.failing.iter().filter(|p| uses_any(raw, p, &scripts)).cloned());
        let mut checker = Checker::default();
        for key in plugins {
            match raw.get(&Key::Plugin(key.clone())).map(Arc::as_ref) {
                Some(Value::Plugin(spec)) => match compile(spec, raw, &mut checker) {
                    Ok(plugin) => {
                        self.good.insert(key.clone(), Arc::new(plugin));
                        self.failing.remove(&key);
                        self.take_configs(&key, raw);
                    }
                    Err(message) => {
                        problems.push(KeyProblem { key: Key::Plugin(key.clone()), message });
                        self.failing.insert(key.clone());
                    }
                },
                _ => {
                    self.good.remove(&key);
                    self.failing.remove(&key);
                }
            }
            updated.code.insert(key);
        }
        for key in changed {
            if let Key::Binding(binding) = key {
                updated.configs.extend(self.update_binding(binding, raw));
            }
        }
        updated
    }

    /// Every config of a plugin is what was pushed last.
    fn take_configs(&mut self, plugin: &PluginKey, raw: &BTreeMap<Key, Arc<Value>>) {
        let held: Vec<_> = raw
            .iter()
            .filter_map(|(key, value)| match (key, value.as_ref()) {
                (Key::Binding(key), Value::Binding(binding)) if binding.plugin == *plugin => {
                    Some((key.clone(), binding))
                }
                _ => None,
            })
            .collect();
        for (key, binding) in held {
            self.take_config(&key, binding);
        }
    }

    fn take_config(&mut self, key: &BindingKey, binding: &value::Binding) {
        self.configs.insert(key.clone(), (binding.plugin.clone(), Arc::new(config(key, binding))));
    }

    fn update_binding(&mut self, key: &BindingKey, raw: &BTreeMap<Key, Arc<Value>>) -> Option<PluginKey> {
        match raw.get(&Key::Binding(key.clone())).map(Arc::as_ref) {
            Some(Value::Binding(binding)) => {
                if !self.failing.contains(&binding.plugin) {
                    self.take_config(key, binding);
                }
                Some(binding.plugin.clone())
            }
            // Whatever runs with it must not go on: it may have held a secret that was taken away.
            _ => self.configs.remove(key).map(|(plugin, _)| plugin),
        }
    }
}

fn script_of(key: &Key) -> Option<Hash> {
    match key {
        Key::Script(hash) => Some(*hash),
        _ => None,
    }
}

fn plugin_of(key: &Key) -> Option<PluginKey> {
    match key {
        Key::Plugin(plugin) => Some(plugin.clone()),
        _ => None,
    }
}

fn uses_any(raw: &BTreeMap<Key, Arc<Value>>, plugin: &PluginKey, scripts: &BTreeSet<Hash>) -> bool {
    match raw.get(&Key::Plugin(plugin.clone())).map(Arc::as_ref) {
        Some(Value::Plugin(spec)) => spec.phases.values().chain(spec.modules.values()).any(|h| scripts.contains(h)),
        _ => false,
    }
}

/// The config with its secrets put in.
fn config(key: &BindingKey, binding: &value::Binding) -> Config {
    let mut value = binding.config.clone();
    for (path, secret) in &binding.secrets {
        let text = String::from_utf8_lossy(secret.expose()).into_owned();
        put(&mut value, path, text.into());
    }
    Config { id: unique(), value, binding: key.to_string() }
}

fn put(at: &mut serde_json::Value, path: &[String], value: serde_json::Value) {
    match path.split_first() {
        None => *at = value,
        // The controller has checked that a list is long enough.
        Some((first, rest)) if at.is_array() => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|i| at.get_mut(i)) {
                put(item, rest, value);
            }
        }
        Some((first, rest)) => {
            if !at.is_object() {
                *at = serde_json::Value::Object(serde_json::Map::new());
            }
            if let serde_json::Value::Object(map) = at {
                put(map.entry(first.clone()).or_insert(serde_json::Value::Null), rest, value);
            }
        }
    }
}

/// The name that a chunk's errors show: the phase, as `ngx.get_phase()` spells it.
fn chunk_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Init => "=init",
        Phase::InitWorker => "=init_worker",
        Phase::ServerRewrite => "=server_rewrite",
        Phase::Rewrite => "=rewrite",
        Phase::Access => "=access",
        Phase::Content => "=content",
        Phase::Balancer => "=balancer",
        Phase::HeaderFilter => "=header_filter",
        Phase::BodyFilter => "=body_filter",
        Phase::Log => "=log",
    }
}

fn compile(
    spec: &value::Plugin,
    raw: &BTreeMap<Key, Arc<Value>>,
    checker: &mut Checker,
) -> Result<CompiledPlugin, String> {
    let source = |hash: &Hash, what: &str| match raw.get(&Key::Script(*hash)).map(Arc::as_ref) {
        Some(Value::Script(source)) => Ok(Arc::<str>::from(source.as_str())),
        _ => Err(format!("{what}: the script {hash} is not in the table")),
    };
    let mut scripts = BTreeMap::new();
    for (phase, hash) in &spec.phases {
        let name = chunk_name(*phase);
        let source = source(hash, &name[1..])?;
        checker.check(name, &source)?;
        scripts.insert(*phase, Arc::new(Script { id: unique(), hash: *hash, chunk_name: name, source }));
    }
    let mut modules = BTreeMap::new();
    for (name, hash) in &spec.modules {
        let source = source(hash, name)?;
        checker.check(&format!("={name}"), &source)?;
        modules.insert(name.clone(), source);
    }
    Ok(CompiledPlugin { spec: spec.clone(), scripts, modules })
}

/// Compiles scripts, never runs them. Its VM is made at the first script of a commit.
#[derive(Default)]
struct Checker(Option<Vm<Exchange>>);

impl Checker {
    fn check(&mut self, name: &str, source: &str) -> Result<(), String> {
        let vm = match &self.0 {
            Some(vm) => vm,
            None => {
                let options = VmOptions { name: "syntax check".into(), trusted: false, ..VmOptions::default() };
                self.0.insert(Vm::new(options).map_err(|e| e.to_string())?)
            }
        };
        vm.load(name, source).map(drop).map_err(|e| e.message)
    }
}
