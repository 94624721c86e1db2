//! What a value refers to.

use crate::key::{ChainKey, PluginKind};
use crate::value::{Action, Backend};
use crate::{Key, Value};

/// The keys that a value names: as long as it is in effect they are needed. May repeat.
pub fn names(key: &Key, value: &Value) -> Vec<Key> {
    let chains = |chains: &[ChainKey]| chains.iter().cloned().map(Key::Chain).collect::<Vec<_>>();
    match value {
        Value::Settings(settings) => {
            let certificate = settings.default_certificate.iter().cloned().map(Key::Certificate);
            chains(&settings.server_chains).into_iter().chain(certificate).collect()
        }
        Value::Host(host) => host.certificate.iter().cloned().map(Key::Certificate).collect(),
        Value::Route(route) => {
            let backends: &[Backend] = match &route.action {
                Action::Forward(backends) => backends,
                Action::Refuse { .. } => &[],
            };
            let upstreams = backends.iter().map(|backend| Key::Upstream(backend.upstream.clone()));
            chains(&route.chains).into_iter().chain(upstreams).collect()
        }
        Value::Chain(chain) => {
            let uses = chain.uses.iter().chain(&chain.if_held);
            uses.flat_map(|used| [Key::Plugin(used.plugin.clone()), Key::Binding(used.binding.clone())]).collect()
        }
        Value::Plugin(plugin) => {
            let scripts = plugin.phases.values().chain(plugin.modules.values()).copied().map(Key::Script);
            let namespace = match key {
                Key::Plugin(plugin) if plugin.kind == PluginKind::LuaPlugin => Some(plugin.name.namespace.clone()),
                _ => None,
            };
            scripts.chain(namespace.map(Key::Namespace)).collect()
        }
        Value::Upstream(upstream) => vec![Key::Endpoints(upstream.endpoints.clone())],
        Value::Binding(_) | Value::Script(_) | Value::Endpoints(_) | Value::Certificate(_) | Value::Namespace(_) => {
            Vec::new()
        }
    }
}
