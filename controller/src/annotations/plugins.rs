//! `moongate.dev/plugins: "quota, cluster/request-id"`: plugins of the Ingress, with their default config.

use routing::ObjectName;
use routing::key::{PluginKey, PluginKind};

use super::{Annotations, Fault};

/// The annotation's name, without the prefix.
pub(super) const NAME: &str = "plugins";
/// As many as bindings would be read; each costs every request.
const PLUGINS_MAX: usize = 32;
/// What stands before the name of a ClusterLuaPlugin.
const CLUSTER: &str = "cluster/";

/// A plugin as an Ingress names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginName {
    /// A LuaPlugin of the Ingress's namespace, or a ClusterLuaPlugin.
    pub kind: PluginKind,
    /// Its name.
    pub name: String,
}

impl PluginName {
    /// The plugin's key, seen from the Ingress's namespace.
    pub fn key(&self, namespace: &str) -> PluginKey {
        let name = match self.kind {
            PluginKind::LuaPlugin => ObjectName::new(namespace, &self.name),
            PluginKind::ClusterLuaPlugin => ObjectName::cluster(&self.name),
        };
        PluginKey { kind: self.kind, name }
    }
}

/// A name that is none may have been meant to restrict access, so it closes the routes.
pub(super) fn parse(text: &str, parsed: &mut Annotations) -> Vec<Fault> {
    let mut faults = Vec::new();
    // A comma at the end is no name.
    let names = text.trim().trim_end_matches(',');
    for written in names.split(',').map(str::trim).filter(|_| !names.is_empty()) {
        let (kind, name) = match written.strip_prefix(CLUSTER) {
            Some(name) => (PluginKind::ClusterLuaPlugin, name),
            None => (PluginKind::LuaPlugin, written),
        };
        let plugin = PluginName { kind, name: name.to_owned() };
        if !is_object_name(name) {
            let shown: String = written.chars().take(60).collect();
            let how = "write the name of a LuaPlugin of this namespace, or cluster/ and that of a ClusterLuaPlugin";
            faults.push(Fault::restricting(format!("{shown:?} names no plugin, so the routes answer 503: {how}")));
        } else if parsed.plugins.contains(&plugin) {
            faults.push(Fault::value(format!("names {written} twice: it runs once, at the first place")));
        } else if parsed.plugins.len() == PLUGINS_MAX {
            faults.push(Fault::restricting(format!("names more than {PLUGINS_MAX} plugins: use fewer")));
            break;
        } else {
            parsed.plugins.push(plugin);
        }
    }
    faults
}

/// RFC 1123 subdomain, as Kubernetes checks it.
fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends = label.as_bytes().first().zip(label.as_bytes().last());
        ends.is_some_and(|(first, last)| inner(*first) && inner(*last)) && label.bytes().all(|b| inner(b) || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
