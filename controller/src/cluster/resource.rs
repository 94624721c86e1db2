//! What is watched: kinds, with the part of each that is asked for, and how an object becomes the store's.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use routing::ObjectName;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Scope, Why};
use crate::crd;
use crate::store::convert::{self, LUA_READABLE_LABEL};
use crate::store::{Kind, Object};

/// The type of Secrets whose data is watched: certificates are renewed, and nothing should have to be asked for then.
const TLS_TYPE: &str = "kubernetes.io/tls";

/// One watch: a kind, in one namespace or in all, or a part of it.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    /// The kind.
    pub(super) kind: Kind,
    /// Stands for the watch in versions and logs: `ingresses`, `secrets/tls`, `services@shop`.
    pub(super) name: String,
    /// Of the collection.
    pub(super) path: String,
    pub(super) field_selector: Option<String>,
    pub(super) label_selector: Option<String>,
    pub(super) content: Content,
    /// Without the right to list it, the rest goes on as if there were none of it.
    pub(super) optional: bool,
}

/// What of its objects is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// All objects, whole.
    Every,
    /// Whole objects, of which only those are kept that another object names.
    Referenced,
    /// Metadata; a referenced object whose metadata changed is fetched.
    Metadata,
}

/// Where a kind is in the API: its plural.
fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Ingress => "ingresses",
        Kind::IngressClass => "ingressclasses",
        Kind::Service => "services",
        Kind::EndpointSlice => "endpointslices",
        Kind::Namespace => "namespaces",
        Kind::Secret => "secrets",
        Kind::ConfigMap => "configmaps",
        Kind::LuaPlugin => "luaplugins",
        Kind::ClusterLuaPlugin => "clusterluaplugins",
        Kind::LuaPluginBinding => "luapluginbindings",
        Kind::ClusterLuaPluginBinding => "clusterluapluginbindings",
        Kind::MoongateConfig => "moongateconfigs",
    }
}

/// The path of a kind's collection.
pub(super) fn path(kind: Kind, namespace: Option<&str>) -> String {
    // `ALL` has every kind.
    let version = Kind::ALL.iter().find(|(k, ..)| *k == kind).map_or("v1", |(.., version)| version);
    let root = if version.contains('/') { "apis" } else { "api" };
    match namespace {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{}", plural(kind)),
        None => format!("/{root}/{version}/{}", plural(kind)),
    }
}

/// Everything that is watched for a scope.
pub(super) fn watched(scope: &Scope) -> Vec<Watched> {
    let scoped = !scope.namespaces.is_empty();
    let mut all = Vec::new();
    for (kind, ..) in Kind::ALL {
        if kind.is_cluster_scoped() {
            // With a selector of namespaces, their labels must be known.
            let optional = scoped && (kind != Kind::Namespace || !scope.needs_namespaces);
            all.push(whole(kind, None, optional));
            continue;
        }
        let namespaces: Vec<Option<&str>> = match scoped {
            true => scope.namespaces.iter().map(|n| Some(n.as_str())).collect(),
            false => vec![None],
        };
        for namespace in namespaces {
            match kind {
                Kind::Secret => all.extend(secrets(namespace)),
                Kind::ConfigMap => {
                    all.push(Watched { content: Content::Metadata, ..whole(kind, namespace, false) });
                }
                _ => all.push(whole(kind, namespace, false)),
            }
        }
    }
    all
}

fn whole(kind: Kind, namespace: Option<&str>, optional: bool) -> Watched {
    let at = namespace.map(|n| format!("@{n}")).unwrap_or_default();
    Watched {
        kind,
        name: format!("{}{at}", plural(kind)),
        path: path(kind, namespace),
        field_selector: None,
        label_selector: None,
        content: Content::Every,
        optional,
    }
}

/// Three watches that share out the Secrets: certificates, what Lua may read, and the names of all others.
fn secrets(namespace: Option<&str>) -> [Watched; 3] {
    let at = namespace.map(|n| format!("@{n}")).unwrap_or_default();
    let part = |part: &str, fields: String, labels: Option<String>, content| Watched {
        name: format!("secrets/{part}{at}"),
        field_selector: Some(fields),
        label_selector: labels,
        content,
        ..whole(Kind::Secret, namespace, false)
    };
    let others = format!("type!={TLS_TYPE}");
    [
        part("tls", format!("type={TLS_TYPE}"), None, Content::Referenced),
        part("lua", others.clone(), Some(format!("{LUA_READABLE_LABEL}=true")), Content::Referenced),
        part("other", others, Some(format!("{LUA_READABLE_LABEL}!=true")), Content::Metadata),
    ]
}

/// An object as it came.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: ObjectName,
    pub(super) meta: super::ObjectMetaLite,
    /// The labels of a Secret of which only the metadata is watched say so.
    pub(super) lua_readable: bool,
    /// None of a metadata watch.
    pub(super) object: Option<Result<Object, String>>,
}

/// The part of `metadata` that is read of every object.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    generation: i64,
    resource_version: String,
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Envelope {
    metadata: Meta,
}

/// Takes what is wanted out of an object's JSON: all else (managed fields, the last applied configuration) ends here.
/// `Err` for what has no name.
pub(super) fn decode(kind: Kind, content: Content, raw: &RawValue) -> Result<Item, Why> {
    let envelope: Envelope =
        serde_json::from_str(raw.get()).map_err(|e| Why::Protocol(format!("an object without metadata: {e}")))?;
    let Meta { name, namespace, uid, generation, resource_version, labels } = envelope.metadata;
    if name.is_empty() {
        return Err(Why::Protocol("an object without a name".into()));
    }
    Ok(Item {
        name: ObjectName::new(namespace, name),
        meta: super::ObjectMetaLite { uid, generation, resource_version },
        lua_readable: labels.get(LUA_READABLE_LABEL).is_some_and(|v| v == "true"),
        object: (content != Content::Metadata).then(|| object(kind, raw)),
    })
}

/// An object of the store. `Err` says what of it cannot be read.
pub(super) fn object(kind: Kind, raw: &RawValue) -> Result<Object, String> {
    match kind {
        Kind::Ingress => typed::<networking::Ingress>(raw, convert::ingress),
        Kind::IngressClass => typed::<networking::IngressClass>(raw, convert::ingress_class),
        Kind::Service => typed::<core::Service>(raw, convert::service),
        Kind::EndpointSlice => typed::<discovery::EndpointSlice>(raw, convert::endpoint_slice),
        Kind::Namespace => typed::<core::Namespace>(raw, convert::namespace),
        Kind::Secret => typed::<core::Secret>(raw, convert::secret),
        Kind::ConfigMap => typed::<core::ConfigMap>(raw, convert::config_map),
        Kind::LuaPlugin => ours::<crd::LuaPlugin>(raw, convert::lua_plugin),
        Kind::ClusterLuaPlugin => ours::<crd::ClusterLuaPlugin>(raw, convert::cluster_lua_plugin),
        Kind::LuaPluginBinding => ours::<crd::LuaPluginBinding>(raw, convert::lua_plugin_binding),
        Kind::ClusterLuaPluginBinding => ours::<crd::ClusterLuaPluginBinding>(raw, convert::cluster_lua_plugin_binding),
        Kind::MoongateConfig => ours::<crd::MoongateConfig>(raw, convert::moongate_config),
    }
}

fn typed<T: DeserializeOwned + kube::Resource<DynamicType = ()>>(
    raw: &RawValue,
    convert: fn(T) -> Object,
) -> Result<Object, String> {
    serde_json::from_str::<T>(raw.get()).map(convert).map_err(|e| match T::kind(&()).as_ref() {
        // The error quotes the value, which must not get into a log.
        "Secret" => "cannot be read: a field is not of its type".to_owned(),
        _ => format!("cannot be read: {e}"),
    })
}

/// An object of our kinds must be what the definition asks for: the API server has seen to that, but by the definition
/// that was installed when the object was written.
fn ours<T: DeserializeOwned>(raw: &RawValue, convert: fn(T) -> Object) -> Result<Object, String> {
    let mut json: serde_json::Value = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    // Ours to write, and read by nobody here: whatever is in it costs nothing.
    json.as_object_mut().map(|fields| fields.remove("status"));
    let wrong: Vec<String> = crd::check::object(&json).iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        return Err(format!("is not what its definition asks for: {}", wrong.join("; ")));
    }
    serde_json::from_value::<T>(json).map(convert).map_err(|e| format!("cannot be read: {e}"))
}
