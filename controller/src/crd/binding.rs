//! `LuaPluginBinding` and `ClusterLuaPluginBinding`: the use of a plugin.

use kube::{CustomResource, KubeSchema};
use routing::key::{ObjectName, PluginKey, PluginKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BindingStatus, plugin::free_object};

/// Attaches a plugin to objects of its own namespace, with a config.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "moongate.dev",
    version = "v1alpha1",
    kind = "LuaPluginBinding",
    namespaced,
    status = "BindingStatus",
    derive = "PartialEq",
    shortname = "luapb",
    category = "moongate",
    doc = "Attaches a plugin to Ingresses, Services or the whole of its own namespace, with a config.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.pluginRef.kind", priority = 1),
    printcolumn(name = "Plugin", type_ = "string", json_path = ".spec.pluginRef.name"),
    printcolumn(name = "Targets", type_ = "string", json_path = ".spec.targetRefs[*].name"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(
        name = "Resolved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='ResolvedRefs')].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(
        name = "Conflicted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Conflicted')].status",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.secretRefs) || self.secretRefs.all(s, !has(s.__namespace__))")
    .message("a LuaPluginBinding takes Secrets of its own namespace: remove secretRefs[].namespace"))]
pub struct LuaPluginBindingSpec {
    /// The plugin.
    pub plugin_ref: PluginRef,
    /// What it is attached to. At most 16.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<TargetRef>,
    /// The plugin's config; its `configSchema` says what may stand here.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_object")]
    pub config: Map<String, Value>,
    /// Values that are put into the config from Secrets, and shown nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub secret_refs: Vec<SecretRef>,
}

/// Attaches a ClusterLuaPlugin to an IngressClass or to whole namespaces.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "moongate.dev",
    version = "v1alpha1",
    kind = "ClusterLuaPluginBinding",
    status = "BindingStatus",
    derive = "PartialEq",
    shortname = "cluapb",
    category = "moongate",
    doc = "Attaches a ClusterLuaPlugin to everything of an IngressClass or of a namespace, with a config. It runs before \
           any plugin that the namespaces attach themselves at the same level.",
    printcolumn(name = "Plugin", type_ = "string", json_path = ".spec.pluginRef.name"),
    printcolumn(name = "Targets", type_ = "string", json_path = ".spec.targetRefs[*].name"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(
        name = "Resolved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='ResolvedRefs')].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(
        name = "Conflicted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Conflicted')].status",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.secretRefs) || self.secretRefs.all(s, has(s.__namespace__))")
    .message("a ClusterLuaPluginBinding is in no namespace: say in secretRefs[].namespace where the Secret is"))]
pub struct ClusterLuaPluginBindingSpec {
    /// The plugin: a ClusterLuaPlugin.
    pub plugin_ref: ClusterPluginRef,
    /// What it is attached to. At most 16.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<ClusterTargetRef>,
    /// The plugin's config; its `configSchema` says what may stand here.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_object")]
    pub config: Map<String, Value>,
    /// Values that are put into the config from Secrets, and shown nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub secret_refs: Vec<SecretRef>,
}

/// Names a plugin from within a namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginRef {
    /// `LuaPlugin` (the default) of this namespace, or `ClusterLuaPlugin` where its `allowedNamespaces` admit this one.
    #[serde(default)]
    pub kind: PluginRefKind,
    /// The plugin's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl PluginRef {
    /// The plugin's key, seen from the binding's namespace.
    pub fn key(&self, namespace: &str) -> PluginKey {
        match self.kind {
            PluginRefKind::LuaPlugin => {
                PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new(namespace, &self.name) }
            }
            PluginRefKind::ClusterLuaPlugin => {
                PluginKey { kind: PluginKind::ClusterLuaPlugin, name: ObjectName::cluster(&self.name) }
            }
        }
    }
}

/// The kinds that a [`PluginRef`] names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PluginRefKind {
    /// Of the namespace itself.
    #[default]
    LuaPlugin,
    /// The platform's.
    ClusterLuaPlugin,
}

/// Names a ClusterLuaPlugin.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPluginRef {
    /// `ClusterLuaPlugin`: no other kind is allowed here.
    #[serde(default)]
    pub kind: ClusterPluginRefKind,
    /// The plugin's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl ClusterPluginRef {
    /// The plugin's key.
    pub fn key(&self) -> PluginKey {
        PluginKey { kind: PluginKind::ClusterLuaPlugin, name: ObjectName::cluster(&self.name) }
    }
}

/// The kind that a [`ClusterPluginRef`] names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ClusterPluginRefKind {
    /// The platform's.
    #[default]
    ClusterLuaPlugin,
}

/// An object of the binding's namespace, or a part of it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.group) || self.group == (self.kind == 'Ingress' ? 'networking.k8s.io' : '')")
    .message("the group of Ingress is networking.k8s.io, that of Service and Namespace is empty; it may be left out"))]
#[x_kube(validation = Rule::new("!has(self.sectionName) || self.kind == 'Ingress'")
    .message("only an Ingress has sections: remove sectionName"))]
pub struct TargetRef {
    /// `networking.k8s.io` for Ingress, empty for Service and Namespace. May be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// `Ingress`, `Service`, or `Namespace`: everything of the binding's own namespace.
    pub kind: TargetKind,
    /// The object's name; for a Namespace, that of the binding's own.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// A part of an Ingress: a host (`shop.example.com`), a host and path as written in it (`shop.example.com/api`), or
    /// a path (`/api`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub section_name: Option<String>,
}

/// The kinds that a [`TargetRef`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TargetKind {
    /// All routes of an Ingress, or of its section.
    Ingress,
    /// All routes to a Service.
    Service,
    /// Everything of a namespace.
    Namespace,
}

/// What the platform attaches plugins to.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.group) || self.group == (self.kind == 'IngressClass' ? 'networking.k8s.io' : '')")
    .message("the group of IngressClass is networking.k8s.io, that of Namespace is empty; it may be left out"))]
pub struct ClusterTargetRef {
    /// `networking.k8s.io` for IngressClass, empty for Namespace. May be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// `IngressClass` or `Namespace`.
    pub kind: ClusterTargetKind,
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds that a [`ClusterTargetRef`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ClusterTargetKind {
    /// Everything of a class.
    IngressClass,
    /// Everything of a namespace.
    Namespace,
}

/// Puts one key of a Secret into the config. The Secret must have the label `moongate.dev/lua-readable: "true"`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Where it goes in the config: the names of the fields with dots between, such as `redis.password`.
    #[schemars(length(min = 1, max = 512), regex(pattern = "^[^.]+([.][^.]+){0,15}$"))]
    pub path: String,
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Secret's namespace: required in a ClusterLuaPluginBinding, not allowed in a LuaPluginBinding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The key within the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl SecretRef {
    /// The names of the fields that lead to the value.
    pub fn path_keys(&self) -> Vec<String> {
        self.path.split('.').map(str::to_owned).collect()
    }
}
