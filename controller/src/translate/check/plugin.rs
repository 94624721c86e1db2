//! What is wrong with a plugin, used or not.

use routing::key::{PluginKey, PluginKind};

use super::super::{namespace, plugin};
use super::Told;
use crate::store::Kind;
use crate::translate::Options;

pub(super) fn check(told: &Told<'_, '_>, options: &Options) {
    let kind = match told.object.kind {
        Kind::ClusterLuaPlugin => PluginKind::ClusterLuaPlugin,
        _ => PluginKind::LuaPlugin,
    };
    let key = PluginKey { kind, name: told.object.name.clone() };
    let Some(found) = told.reader.plugin(&key) else { return };
    let (_, problems) = plugin::check(found, told.reader);
    problems.into_iter().for_each(|problem| told.reader.report(problem));
    let namespace = &told.object.name.namespace;
    if kind == PluginKind::LuaPlugin && !namespace::rights(namespace, options, told.reader).plugins {
        let message = format!(
            "namespace {namespace} may have no LuaPlugins: MoongateConfig's spec.lua.namespaceSelector does not select it"
        );
        told.error("", "NamespaceNotSelected", message);
    }
    if found.spec.network.is_some() {
        let message = "has no effect yet: there is no ngx.socket in this version";
        told.warning("spec.network", "NotUsedYet", message);
    }
    if kind == PluginKind::LuaPlugin && found.spec.phases.server_rewrite.is_some() {
        let message = "never runs: only plugins bound to an IngressClass run before the route is chosen, and those are \
                       ClusterLuaPlugins";
        told.warning("spec.phases.serverRewrite", "PhaseNotRun", message);
    }
}
