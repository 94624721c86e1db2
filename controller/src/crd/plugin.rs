//! `LuaPlugin` and `ClusterLuaPlugin`: the code of a plugin.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use routing::value::Phase;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Duration, NetworkConfig, PluginStatus, Quantity, Selector};

/// A plugin whose Lua runs in the requests of its own namespace, in a VM of the namespace with limits.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "moongate.dev",
    version = "v1alpha1",
    kind = "LuaPlugin",
    namespaced,
    status = "PluginStatus",
    derive = "PartialEq",
    shortname = "luap",
    category = "moongate",
    doc = "A plugin whose Lua runs in the requests of its own namespace, in a VM of the namespace with limits. It does \
           nothing until a LuaPluginBinding or the annotation moongate.dev/plugins of an Ingress uses it.",
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(
        name = "Resolved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='ResolvedRefs')].status",
        priority = 1
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(name = "Data planes", type_ = "string", json_path = ".status.dataPlanes"),
    printcolumn(name = "Code", type_ = "string", json_path = ".status.codeHash", priority = 1),
    printcolumn(name = "Last error", type_ = "string", json_path = ".status.lastError", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.modulesFrom) || self.modulesFrom.all(m, !has(m.configMapRef.__namespace__))")
    .message("a LuaPlugin takes modules from ConfigMaps of its own namespace: remove modulesFrom[].configMapRef.namespace"))]
pub struct LuaPluginSpec {
    /// The code and its limits.
    #[serde(flatten)]
    pub plugin: PluginSpec,
}

/// A plugin of the platform: its Lua runs in the operator VM with all libraries, for whom `allowedNamespaces` names.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "moongate.dev",
    version = "v1alpha1",
    kind = "ClusterLuaPlugin",
    status = "PluginStatus",
    derive = "PartialEq",
    shortname = "cluap",
    category = "moongate",
    doc = "A plugin of the platform: its Lua runs in the operator VM with all libraries. It does nothing until a \
           ClusterLuaPluginBinding uses it, or an object of a namespace that allowedNamespaces admits.",
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(name = "Allowed", type_ = "string", json_path = ".spec.allowedNamespaces.from"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(
        name = "Resolved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='ResolvedRefs')].status",
        priority = 1
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(name = "Data planes", type_ = "string", json_path = ".status.dataPlanes"),
    printcolumn(name = "Code", type_ = "string", json_path = ".status.codeHash", priority = 1),
    printcolumn(name = "Last error", type_ = "string", json_path = ".status.lastError", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.modulesFrom) || self.modulesFrom.all(m, has(m.configMapRef.__namespace__))")
    .message("a ClusterLuaPlugin is in no namespace: say in modulesFrom[].configMapRef.namespace where the ConfigMap is"))]
pub struct ClusterLuaPluginSpec {
    /// The code and its limits.
    #[serde(flatten)]
    pub plugin: PluginSpec,
    /// Which namespaces may use the plugin, in their LuaPluginBindings and annotations.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
}

/// What both kinds of plugin have.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.phases) ? [has(self.phases.init) ? size(self.phases.init) : 0, has(self.phases.initWorker) \
    ? size(self.phases.initWorker) : 0, has(self.phases.serverRewrite) ? size(self.phases.serverRewrite) \
    : 0, has(self.phases.rewrite) ? size(self.phases.rewrite) : 0, has(self.phases.access) ? \
    size(self.phases.access) : 0, has(self.phases.content) ? size(self.phases.content) : 0, \
    has(self.phases.balancer) ? size(self.phases.balancer) : 0, has(self.phases.headerFilter) ? \
    size(self.phases.headerFilter) : 0, has(self.phases.bodyFilter) ? size(self.phases.bodyFilter) : 0, \
    has(self.phases.log) ? size(self.phases.log) : 0].sum() : 0) + (has(self.modules) ? \
    self.modules.map(name, size(self.modules[name])).sum() : 0) <= 921600")
    .message("the scripts and modules together are 900 KiB at most: move code to modulesFrom"))]
pub struct PluginSpec {
    /// Of plugins attached at one level, the one with the higher priority runs first in a phase; on equal priority the
    /// order is that of the annotation, then of namespace and name. Default 0.
    #[serde(default)]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: i32,
    /// The Lua code: one chunk per phase. A chunk is compiled once and called for each request with the binding's
    /// config and the metadata of the use as its arguments: `local config, meta = ...`.
    #[serde(default)]
    pub phases: Phases,
    /// Lua modules by the name that `require` finds them under, besides the bundled libraries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "modules_schema")]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$'))")
        .message("a module's name has letters, digits, dots, dashes and underscores, 128 at most"))]
    pub modules: BTreeMap<String, String>,
    /// Further modules, from ConfigMaps: each key is a module's name (a `.lua` at its end is dropped), each value its
    /// source. A module in `modules` hides one of the same name here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub modules_from: Vec<ModulesFrom>,
    /// The plugin's `ngx.shared` dicts with their sizes, such as `quota: 10Mi`. Plugins of one namespace that name the
    /// same dict share it, with the largest size named; resizing keeps the entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{0,63}$'))")
        .message("a dict's name has letters, digits and underscores, 64 at most, and begins with no digit"))]
    pub shared_dicts: BTreeMap<String, Quantity>,
    /// Variables that `ngx.var` may then read and write, with their initial values, as nginx's `set` declares them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "variables_schema")]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{0,63}$'))")
        .message("a variable's name has letters, digits and underscores, 64 at most, and begins with no digit"))]
    pub variables: BTreeMap<String, String>,
    /// What a binding's `config` may look like; checked before it takes effect, and its defaults are filled in. Without
    /// a schema only an empty config is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<ConfigSchema>,
    /// Limits of this plugin, where they differ from those of its VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PluginLimits>,
    /// Narrows what the plugin's code may connect to, within what MoongateConfig allows its namespace. Not used yet: there
    /// is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
    /// What a request gets when the plugin's code is missing, broken, or fails: `Fail` (the default) answers an error,
    /// `Ignore` goes on without the plugin.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
}

/// One chunk per phase, in the order of a request's life.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phases {
    /// Runs once per VM, before its first request; what it makes global, the other phases see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub init: Option<String>,
    /// Runs once per VM after `init`; may start timers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub init_worker: Option<String>,
    /// Runs before the route is chosen; only for plugins bound to an IngressClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub server_rewrite: Option<String>,
    /// Runs once the route is chosen; may change the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub rewrite: Option<String>,
    /// Runs after `rewrite`; decides who is let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub access: Option<String>,
    /// Answers the request instead of an upstream. One plugin a route: the most specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub content: Option<String>,
    /// Chooses the endpoint, once per try. One plugin a route: the most specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub balancer: Option<String>,
    /// Runs before the response head is sent; may change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub header_filter: Option<String>,
    /// Runs for each piece of the response body; may change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub body_filter: Option<String>,
    /// Runs after the response, exactly once for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 921_600))]
    pub log: Option<String>,
}

impl Phases {
    /// The phases that have code, in the order of a request's life, with the field's name.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, &'static str, &str)> {
        [
            (Phase::Init, "init", &self.init),
            (Phase::InitWorker, "initWorker", &self.init_worker),
            (Phase::ServerRewrite, "serverRewrite", &self.server_rewrite),
            (Phase::Rewrite, "rewrite", &self.rewrite),
            (Phase::Access, "access", &self.access),
            (Phase::Content, "content", &self.content),
            (Phase::Balancer, "balancer", &self.balancer),
            (Phase::HeaderFilter, "headerFilter", &self.header_filter),
            (Phase::BodyFilter, "bodyFilter", &self.body_filter),
            (Phase::Log, "log", &self.log),
        ]
        .into_iter()
        .filter_map(|(phase, field, code)| code.as_deref().map(|code| (phase, field, code)))
    }
}

/// A source of modules.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModulesFrom {
    /// Each key of this ConfigMap is a module.
    pub config_map_ref: ConfigMapRef,
}

/// Names a ConfigMap.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace: required in a ClusterLuaPlugin, not allowed in a LuaPlugin, which uses its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What a binding's config may look like.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigSchema {
    /// A structural schema as CustomResourceDefinitions use them, without `$ref`. See docs/crds.md for the keywords.
    #[serde(rename = "openAPIV3Schema")]
    #[schemars(schema_with = "free_object")]
    pub open_api_v3_schema: Value,
}

/// Limits of a plugin.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginLimits {
    /// CPU time of one uninterrupted run of its code, such as `20ms`. MoongateConfig's `spec.lua.maxCpuPerResume` is
    /// the highest that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Duration>,
}

/// What a request gets when a plugin's code is missing, broken or fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum FailurePolicy {
    /// An error is answered.
    #[default]
    Fail,
    /// The request goes on without the plugin.
    Ignore,
}

impl From<FailurePolicy> for routing::value::FailurePolicy {
    fn from(policy: FailurePolicy) -> Self {
        match policy {
            FailurePolicy::Fail => Self::Fail,
            FailurePolicy::Ignore => Self::Ignore,
        }
    }
}

/// Which namespaces may use a ClusterLuaPlugin.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)")
    .message("`selector` is for `from: Selector`, and required there"))]
pub struct AllowedNamespaces {
    /// `All`, `Selector` (those whose labels `selector` matches), or `None`: only ClusterLuaPluginBindings.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Selects namespaces by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

impl AllowedNamespaces {
    /// Whether a namespace with these labels may use the plugin.
    pub fn admits(&self, labels: &BTreeMap<String, String>) -> bool {
        match self.from {
            NamespacesFrom::None => false,
            NamespacesFrom::All => true,
            NamespacesFrom::Selector => self.selector.as_ref().is_some_and(|selector| selector.matches(labels)),
        }
    }
}

/// How [`AllowedNamespaces`] says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum NamespacesFrom {
    /// No namespace.
    #[default]
    None,
    /// Every namespace.
    All,
    /// Those that the selector selects.
    Selector,
}

fn modules_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 128,
        "additionalProperties": {"type": "string", "maxLength": super::SCRIPT_BYTES_MAX},
    })
}

fn variables_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// An object of any shape.
pub(super) fn free_object(_: &mut SchemaGenerator) -> Schema {
    // Atomic: server-side apply takes it as one value. Merged field by field, taking the last field out of a config would
    // leave `null`, which is refused.
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic"})
}
