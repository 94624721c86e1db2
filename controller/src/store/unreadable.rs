//! Bindings that cannot be read: a field of the wrong type, or one that there is not.
//!
//! What such an object attaches may be what restricts access, so where there is no earlier version of it something
//! stands for it that closes what it may be for.

use std::sync::Arc;

use routing::ObjectName;
use routing::key::{BindingKey, ChainKey, PluginKey, PluginKind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::object::{Binding, Kind, Object, ObjectId};
use super::{EVERY_CLASS, convert};
use crate::crd;

/// No plugin has this name, so none can say that it may be ignored.
const NO_PLUGIN: &str = "(unreadable)";

/// What stands for an object that cannot be read, with as much of it as can be; none for kinds that are absent without
/// harm: their routes are closed, or not there.
pub fn unreadable(id: &ObjectId, json: &Value) -> Option<Object> {
    let spec = &json["spec"];
    let namespace = &id.name.namespace;
    let (key, plugin, targets, whole) = match id.kind {
        Kind::LuaPluginBinding => {
            let plugin = part::<crd::PluginRef>(&spec["pluginRef"]).map(|plugin| plugin.key(namespace));
            let targets = targets(&spec["targetRefs"], |item| target(namespace, item));
            (BindingKey::LuaPluginBinding(id.name.clone()), plugin, targets, ChainKey::Namespace(namespace.clone()))
        }
        Kind::ClusterLuaPluginBinding => {
            let plugin = part::<crd::ClusterPluginRef>(&spec["pluginRef"]).map(|plugin| plugin.key());
            let targets = targets(&spec["targetRefs"], |item| part(item).map(|t| (convert::cluster_target(t), true)));
            let key = BindingKey::ClusterLuaPluginBinding(id.name.clone());
            (key, plugin, targets, ChainKey::Class(EVERY_CLASS.into()))
        }
        _ => return None,
    };
    let (targets, is_certain) = targets.unwrap_or_else(|| (vec![whole], false));
    let nobody = || PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new(namespace, NO_PLUGIN) };
    let secrets = spec["secretRefs"].as_array().into_iter().flatten();
    Some(Object::Binding(Arc::new(Binding {
        key,
        plugin: plugin.unwrap_or_else(nobody),
        targets,
        config: Map::new(),
        secrets: secrets.filter_map(part).map(|secret| convert::secret_use(namespace, secret)).collect(),
        is_unreadable: true,
        is_for_unknown: !is_certain,
    })))
}

/// All targets, and whether each is certain; none where one of them may be anything.
fn targets(list: &Value, target: impl Fn(&Value) -> Option<(ChainKey, bool)>) -> Option<(Vec<ChainKey>, bool)> {
    let targets: Vec<_> = list.as_array()?.iter().map(target).collect::<Option<_>>()?;
    let (targets, certain): (Vec<_>, Vec<_>) = targets.into_iter().unzip();
    Some((targets, certain.into_iter().all(|is| is))).filter(|(targets, _)| !targets.is_empty())
}

/// A section that cannot be read may be any of its Ingress.
fn target(namespace: &str, item: &Value) -> Option<(ChainKey, bool)> {
    let whole_ingress = || -> Option<crd::TargetRef> {
        let mut whole = item.clone();
        whole.as_object_mut()?.remove("sectionName");
        part(&whole)
    };
    let (reference, is_certain) = match part(item) {
        Some(reference) => (reference, true),
        None => (whole_ingress()?, false),
    };
    Some((convert::target(namespace, reference), is_certain))
}

fn part<T: DeserializeOwned>(json: &Value) -> Option<T> {
    T::deserialize(json).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is after a `?` cannot be told.
    fn check(kind: Kind, spec: Value, plugin: &str, targets: &[&str]) {
        let namespace = if kind.is_cluster_scoped() { "" } else { "shop" };
        let object = unreadable(&ObjectId::new(kind, ObjectName::new(namespace, "b")), &json!({"spec": spec}));
        let Some(Object::Binding(binding)) = object else { panic!("{spec}") };
        let mark = if binding.is_for_unknown { "?" } else { "" };
        let found: Vec<String> = binding.targets.iter().map(|target| format!("{mark}{target}")).collect();
        assert_eq!(
            (binding.plugin.to_string().as_str(), found),
            (plugin, targets.iter().map(|t| (*t).into()).collect())
        );
    }

    #[test]
    fn as_much_is_told_as_can_be_read() {
        let shop = json!({"kind": "Ingress", "name": "shop", "sectionName": "/api"});
        let ours = |spec, plugin, targets: &[&str]| check(Kind::LuaPluginBinding, spec, plugin, targets);
        let auth = json!({"name": "auth"});
        ours(
            json!({"pluginRef": auth, "targetRefs": [shop], "config": 1, "more": {}}),
            "LuaPlugin shop/auth",
            &["Ingress shop/shop, path */api"],
        );
        ours(
            json!({"pluginRef": 1, "targetRefs": [shop, {"kind": "Service", "name": "web", "group": ""}]}),
            "LuaPlugin shop/(unreadable)",
            &["Ingress shop/shop, path */api", "Service shop/web"],
        );
        let whole = json!([{"kind": "Ingress", "name": "shop", "sectionName": 1}]);
        ours(json!({"pluginRef": auth, "targetRefs": whole}), "LuaPlugin shop/auth", &["?Ingress shop/shop"]);
        for targets in [json!(null), json!("shop"), json!([]), json!([shop, {"kind": "Ingress"}])] {
            ours(json!({"pluginRef": auth, "targetRefs": targets}), "LuaPlugin shop/auth", &["?Namespace shop"]);
        }
        ours(json!([]), "LuaPlugin shop/(unreadable)", &["?Namespace shop"]);
        let theirs = |spec, plugin, targets: &[&str]| check(Kind::ClusterLuaPluginBinding, spec, plugin, targets);
        let target = json!({"kind": "IngressClass", "name": "edge"});
        theirs(json!({"pluginRef": auth, "targetRefs": [target]}), "ClusterLuaPlugin auth", &["IngressClass edge"]);
        theirs(json!({"pluginRef": auth, "targetRefs": {}}), "ClusterLuaPlugin auth", &["?IngressClass (every)"]);
        assert_eq!(unreadable(&ObjectId::new(Kind::LuaPlugin, ObjectName::new("shop", "p")), &json!({})), None);
    }
}
