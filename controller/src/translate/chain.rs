//! `chain`: the ordered plugin uses of one attachment point.

use std::cmp::Reverse;

use routing::key::{BindingKey, ChainKey, PluginKey, PluginKind};
use routing::value::{Chain, FailurePolicy, Use, Value};
use routing::{Key, ObjectName};

use super::{namespace, policy};
use crate::reader::{Input, NotPublished, Outcome, Reader};
use crate::store::EVERY_CLASS;
use crate::store::object::Plugin;
use crate::translate::Options;

pub(super) fn derive(chain: &ChainKey, options: &Options, reader: &Reader<'_>) -> Outcome {
    let mut value = Chain::default();
    let mut is_any_kept = false;
    for (plugin, binding) in uses(chain, reader) {
        let found = reader.plugin(&plugin);
        let broken = broken(&plugin, &binding, user(chain, &binding), options, reader).err();
        let goes_without = broken.is_some()
            && found.is_some_and(|p| FailurePolicy::from(p.spec.failure_policy) == FailurePolicy::Ignore);
        let is_kept = broken.as_ref().is_some_and(|broken| broken.is_kept);
        let used = Use { plugin, binding, broken: broken.map(|broken| broken.why) };
        is_any_kept |= is_kept;
        if is_kept {
            value.if_held.push(Use { broken: None, ..used.clone() });
        } else if !goes_without {
            value.if_held.push(used.clone());
        }
        if !goes_without {
            value.uses.push(used);
        }
    }
    if !is_any_kept {
        value.if_held.clear();
    }
    Outcome::Set(Value::Chain(value))
}

/// The namespace that uses a plugin; none for the platform.
fn user<'a>(chain: &'a ChainKey, binding: &'a BindingKey) -> Option<&'a str> {
    match (binding, chain) {
        (BindingKey::ClusterLuaPluginBinding(_), _) => None,
        (BindingKey::LuaPluginBinding(name), _) => Some(&name.namespace),
        // Only an Ingress names plugins without a binding.
        (BindingKey::Default(_), ChainKey::Ingress(ingress)) => Some(&ingress.namespace),
        (BindingKey::Default(plugin), _) => Some(&plugin.name.namespace),
    }
}

/// What is attached to a place, in running order: the platform's bindings before the namespace's, then by priority,
/// the annotation's order, and name.
pub(super) fn uses(chain: &ChainKey, reader: &Reader<'_>) -> Vec<(PluginKey, BindingKey)> {
    let every = matches!(chain, ChainKey::Class(_)).then(|| ChainKey::Class(EVERY_CLASS.into()));
    let bound = [chain].into_iter().chain(&every).flat_map(|chain| reader.bindings(chain));
    let mut uses: Vec<_> = bound.map(|(binding, plugin)| (plugin.clone(), binding.clone(), usize::MAX)).collect();
    if let ChainKey::Ingress(ingress) = chain
        && let Some(header) = reader.ingress(ingress)
    {
        let named = policy::plugins(header).into_iter().enumerate();
        uses.extend(named.map(|(place, plugin)| (plugin.clone(), BindingKey::Default(plugin), place)));
    }
    uses.sort_by_cached_key(|(plugin, binding, place)| {
        let is_platform = matches!(binding, BindingKey::ClusterLuaPluginBinding(_));
        let priority = reader.plugin(plugin).map_or(0, |p| p.spec.priority);
        (!is_platform, Reverse(priority), *place, binding_name(binding).clone())
    });
    uses.into_iter().map(|(plugin, binding, _)| (plugin, binding)).collect()
}

fn binding_name(binding: &BindingKey) -> &ObjectName {
    match binding {
        BindingKey::LuaPluginBinding(name) | BindingKey::ClusterLuaPluginBinding(name) => name,
        BindingKey::Default(plugin) => &plugin.name,
    }
}

/// Whether a use can run. Why not is for the log.
fn broken(
    key: &PluginKey,
    binding: &BindingKey,
    user: Option<&str>,
    options: &Options,
    reader: &Reader<'_>,
) -> Result<(), NotPublished> {
    let not = |why: String| NotPublished { why, is_kept: false };
    let plugin = reader.plugin(key).ok_or_else(|| not(format!("there is no {key}")))?;
    may_use(plugin, user, options, reader).map_err(not)?;
    // What may not be used is not even sent: its `init` would run.
    reader.name(Key::Plugin(key.clone()), Input::None);
    reader.name(Key::Binding(binding.clone()), Input::None);
    let because = |what: &dyn std::fmt::Display, not: NotPublished| NotPublished {
        why: match not.why.as_str() {
            "" => format!("{what} cannot be used"),
            why => format!("{what} cannot be used: {why}"),
        },
        ..not
    };
    reader.published(&Key::Plugin(key.clone())).map_err(|not| because(key, not))?;
    reader.published(&Key::Binding(binding.clone())).map_err(|not| because(binding, not))
}

/// Whether a namespace (none: the platform) may use a plugin; if not, why and what to do.
pub(super) fn may_use(
    plugin: &Plugin,
    user: Option<&str>,
    options: &Options,
    reader: &Reader<'_>,
) -> Result<(), String> {
    let Plugin { key, allowed, .. } = plugin;
    if key.kind == PluginKind::LuaPlugin && !namespace::rights(&key.name.namespace, options, reader).plugins {
        return Err(format!(
            "namespace {} may have no LuaPlugins: MoongateConfig's spec.lua.namespaceSelector does not select it",
            key.name.namespace
        ));
    }
    match (user, allowed) {
        (Some(user), Some(allowed)) if !allowed.admits(&namespace::labels(user, reader)) => {
            Err(format!("{key} does not admit namespace {user}; the platform can change its spec.allowedNamespaces"))
        }
        _ => Ok(()),
    }
}
