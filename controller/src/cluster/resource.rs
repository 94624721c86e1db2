//! What is watched: kinds, with the part of each that is asked for, and how an object becomes the store's.

use k8s_openapi::api::networking::v1 as networking;
use routing::ObjectName;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Scope, Why};
use crate::crd;
use crate::status;
use crate::store::convert::{self, LUA_READABLE_LABEL};
use crate::store::{self, Kind, Object, ObjectId};

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
    /// `metadata.resourceVersion`
    pub(super) version: String,
    /// The labels of a Secret of which only the metadata is watched say so.
    pub(super) lua_readable: bool,
    /// None of a metadata watch.
    pub(super) object: Option<Result<Object, String>>,
    /// What stands for an object that cannot be read, where it has no earlier version.
    pub(super) unreadable: Option<Object>,
    /// Of kinds that have a status of ours.
    pub(super) meta: Option<status::Meta>,
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
    let meta = envelope.metadata;
    if meta.name.is_empty() {
        return Err(Why::Protocol("an object without a name".into()));
    }
    let read = (content != Content::Metadata).then(|| read(kind, raw));
    let (object, status) = match read {
        Some(Ok((object, status))) => (Some(Ok(object)), status),
        // Its status tells what is wrong, for which it is enough to know which object it is.
        Some(Err(message)) => (Some(Err(message)), meta.with_no_status(kind)),
        None => (None, None),
    };
    let name = ObjectName::new(meta.namespace, meta.name);
    let unreadable = match &object {
        // Lists in lists deeper than the parser goes are nothing of which a part can be told.
        Some(Err(_)) => {
            let json = serde_json::from_str(raw.get()).unwrap_or_default();
            store::unreadable(&ObjectId::new(kind, name.clone()), &json)
        }
        _ => None,
    };
    Ok(Item {
        unreadable,
        lua_readable: meta.labels.get(LUA_READABLE_LABEL).is_some_and(|v| v == "true"),
        name,
        version: meta.resource_version,
        object,
        meta: status,
    })
}

impl Meta {
    fn with_no_status(&self, kind: Kind) -> Option<status::Meta> {
        let status = match kind {
            Kind::Ingress => status::Status::Ingress(Vec::new()),
            Kind::LuaPlugin | Kind::ClusterLuaPlugin => status::Status::Plugin(Default::default()),
            Kind::LuaPluginBinding | Kind::ClusterLuaPluginBinding => status::Status::Binding(Default::default()),
            Kind::MoongateConfig => status::Status::Config(Default::default()),
            _ => return None,
        };
        let (uid, resource_version) = (self.uid.clone(), self.resource_version.clone());
        Some(status::Meta { uid, generation: self.generation, resource_version, status })
    }
}

/// What of an object is kept: for the store, and for its status.
type Read = Result<(Object, Option<status::Meta>), String>;

/// `Err` says what of the object cannot be read.
fn read(kind: Kind, raw: &RawValue) -> Read {
    match kind {
        Kind::Ingress => {
            let object: networking::Ingress = typed(raw)?;
            let meta = status::Meta::of(&object);
            Ok((convert::ingress(object), Some(meta)))
        }
        Kind::IngressClass => typed(raw).map(|o| (convert::ingress_class(o), None)),
        Kind::Service => typed(raw).map(|o| (convert::service(o), None)),
        Kind::EndpointSlice => typed(raw).map(|o| (convert::endpoint_slice(o), None)),
        Kind::Namespace => typed(raw).map(|o| (convert::namespace(o), None)),
        Kind::Secret => typed(raw).map(|o| (convert::secret(o), None)),
        Kind::ConfigMap => typed(raw).map(|o| (convert::config_map(o), None)),
        Kind::LuaPlugin => ours::<crd::LuaPlugin>(raw, convert::lua_plugin),
        Kind::ClusterLuaPlugin => ours::<crd::ClusterLuaPlugin>(raw, convert::cluster_lua_plugin),
        Kind::LuaPluginBinding => ours::<crd::LuaPluginBinding>(raw, convert::lua_plugin_binding),
        Kind::ClusterLuaPluginBinding => ours::<crd::ClusterLuaPluginBinding>(raw, convert::cluster_lua_plugin_binding),
        Kind::MoongateConfig => ours::<crd::MoongateConfig>(raw, convert::moongate_config),
    }
}

fn typed<T: DeserializeOwned + kube::Resource<DynamicType = ()>>(raw: &RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|e| match T::kind(&()).as_ref() {
        // The error quotes the value, which must not get into a log.
        "Secret" => "cannot be read: a field is not of its type".to_owned(),
        _ => format!("cannot be read: {e}"),
    })
}

/// An object of our kinds must be what the definition asks for: the API server has seen to that, but by the definition
/// that was installed when the object was written.
fn ours<T: DeserializeOwned + status::Stated>(raw: &RawValue, convert: fn(T) -> Object) -> Read {
    let mut json: serde_json::Value = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    let wrong: Vec<String> = crd::check::object(&json).iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        return Err(format!("is not what its definition asks for: {}", wrong.join("; ")));
    }
    let object: T = match serde_json::from_value(json.clone()) {
        Ok(object) => object,
        // A status that is not ours (another version wrote it) is written anew, and is no fault of the object.
        Err(_) => {
            json.as_object_mut().map(|fields| fields.remove("status"));
            serde_json::from_value(json).map_err(|e| format!("cannot be read: {e}"))?
        }
    };
    let meta = status::Meta::of(&object);
    Ok((convert(object), Some(meta)))
}
