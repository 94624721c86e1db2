//! What is wrong with a binding.

use routing::Key;
use routing::key::{BindingKey, ChainKey};

use super::super::{binding, chain};
use super::{Told, conflict};
use crate::problem::Problem;
use crate::store::Kind;
use crate::store::object::Binding;
use crate::translate::Options;

pub(super) fn check(told: &Told<'_, '_>, options: &Options) {
    let name = told.object.name.clone();
    let key = match told.object.kind {
        Kind::ClusterLuaPluginBinding => BindingKey::ClusterLuaPluginBinding(name),
        _ => BindingKey::LuaPluginBinding(name),
    };
    let Some(found) = told.reader.binding(&key) else { return };
    for (field, reason, message) in binding::resolve(found, told.reader).err().into_iter().flatten() {
        told.reader.report(Problem::error(told.object.reference(), field, reason, message));
    }
    if found.is_unreadable {
        return;
    }
    let plugin = told.reader.plugin(&found.plugin);
    let user = Some(told.object.name.namespace.as_str()).filter(|n| !n.is_empty());
    if let Some(Err(why)) = plugin.map(|plugin| chain::may_use(plugin, user, options, told.reader)) {
        told.error("spec.pluginRef", "PluginNotAllowed", why);
    }
    let has_server_rewrite = plugin.is_some_and(|plugin| plugin.spec.phases.server_rewrite.is_some());
    for (index, target) in found.targets.iter().enumerate() {
        let field = format!("spec.targetRefs[{index}]");
        check_target(told, found, target, &field);
        if has_server_rewrite && !matches!(target, ChainKey::Class(_)) {
            let message = "the plugin's code for serverRewrite does not run here: only for an IngressClass is there a \
                           time before the route is chosen";
            told.warning(field, "PhaseNotRun", message);
        }
        conflict::check(target, &found.plugin, &key, options, told.reader);
    }
}

/// A target that is not there, or that no route uses.
fn check_target(told: &Told<'_, '_>, binding: &Binding, target: &ChainKey, field: &str) {
    if let (BindingKey::LuaPluginBinding(name), ChainKey::Namespace(namespace)) = (&binding.key, target)
        && name.namespace != *namespace
    {
        let message = format!("a LuaPluginBinding is for its own namespace, {}, not for {namespace}", name.namespace);
        told.error(format!("{field}.name"), "Invalid", message);
        return;
    }
    if told.reader.published(&Key::Chain(target.clone())).is_ok() {
        return;
    }
    let (is_there, message) = match target {
        ChainKey::Class(name) => {
            (told.reader.class(name).is_some(), format!("IngressClass {name} is not ours or serves no Ingress"))
        }
        ChainKey::Namespace(name) => (true, format!("namespace {name} has no Ingress that is served")),
        ChainKey::Service(name) => {
            (told.reader.service(name).is_some(), format!("no Ingress that is served has Service {name} as backend"))
        }
        ChainKey::Ingress(name) | ChainKey::Host(name, _) | ChainKey::Path(name, ..) => {
            let section = match target {
                ChainKey::Host(_, host) => format!("has no rule for host {host} that is served"),
                ChainKey::Path(_, host, path) if host == "*" => format!("has no path {path} that is served"),
                ChainKey::Path(_, host, path) => format!("has no path {path} of host {host} that is served"),
                _ => "is not served: its class is not ours, or others have its paths".to_owned(),
            };
            (told.reader.ingress(name).is_some(), format!("Ingress {name} {section}"))
        }
    };
    let target = match target {
        ChainKey::Host(ingress, _) | ChainKey::Path(ingress, ..) => ChainKey::Ingress(ingress.clone()),
        whole => whole.clone(),
    };
    match is_there {
        true => told.warning(field, "TargetNotUsed", format!("{message}; until then the plugin runs nowhere here")),
        false => told.error(field, "TargetNotFound", format!("there is no {target}; create it or name another")),
    }
}
