//! What a resource of the table is called: a section and an object.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// `namespace/name` of an object; cluster-scoped objects have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectName {
    /// A namespaced object's name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// A cluster-scoped object's name.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self::new("", name)
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How a route's path is compared with a request's. Semantics: Ingress v1 (KEP-1453); in a host the longest matching
/// path wins, and on equal length the order of these variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathKind {
    /// Byte-equal.
    Exact,
    /// Element-wise prefix; a trailing `/` of the rule is ignored.
    Prefix,
    /// String prefix, as nginx's `location /foo` (so `/foobar` matches too).
    ImplementationSpecific,
    /// What no other path of the host matches: a default backend. Its path is `/`.
    Default,
}

/// A route's place: one winner per host, path kind and path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteKey {
    /// Lower-case host name, `*.example.com`, or `*` for rules without a host.
    pub host: String,
    /// How `path` is compared.
    pub kind: PathKind,
    /// As written in the rule, starting with `/`.
    pub path: String,
}

/// The kind of object that holds plugin code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PluginKind {
    /// Namespaced: the namespace's own code, in the namespace's VM.
    LuaPlugin,
    /// Cluster-scoped: the platform's code, in the operator VM.
    ClusterLuaPlugin,
}

/// Names a plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PluginKey {
    /// Which of the two kinds.
    pub kind: PluginKind,
    /// Its name; a ClusterLuaPlugin's namespace is empty.
    pub name: ObjectName,
}

/// Names a use of a plugin with a config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BindingKey {
    /// A LuaPluginBinding.
    LuaPluginBinding(ObjectName),
    /// A ClusterLuaPluginBinding.
    ClusterLuaPluginBinding(ObjectName),
    /// A plugin named by the annotation `moongate.dev/plugins`, with its default config.
    Default(PluginKey),
}

/// Where plugins are attached; the variants stand in the order in which their plugins run on the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChainKey {
    /// Everything of an IngressClass.
    Class(String),
    /// Everything of a namespace.
    Namespace(String),
    /// Routes to a Service.
    Service(ObjectName),
    /// All routes of an Ingress.
    Ingress(ObjectName),
    /// The routes of one host of an Ingress.
    Host(ObjectName, String),
    /// The routes of one path of an Ingress: host (or `*` for any) and path as written.
    Path(ObjectName, String, String),
}

/// One resource of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// What holds for the whole table.
    Settings,
    /// What holds for a host: `shop.example.com`, `*.example.com` or `*`.
    Host(String),
    /// A route.
    Route(RouteKey),
    /// The ordered plugin uses of one attachment point.
    Chain(ChainKey),
    /// A plugin's use with its config.
    Binding(BindingKey),
    /// A plugin's code and rights.
    Plugin(PluginKey),
    /// Lua source by its content.
    Script(Hash),
    /// `ns/service:port` and a hash of its policy.
    Upstream(String),
    /// `ns/service:port`.
    Endpoints(String),
    /// A TLS Secret.
    Certificate(ObjectName),
    /// What a namespace's Lua may have.
    Namespace(String),
}

impl Key {
    /// The section's name, as in the design and in metrics.
    pub fn section(&self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Host(_) => "host",
            Self::Route(_) => "route",
            Self::Chain(_) => "chain",
            Self::Binding(_) => "binding",
            Self::Plugin(_) => "plugin",
            Self::Script(_) => "script",
            Self::Upstream(_) => "upstream",
            Self::Endpoints(_) => "endpoints",
            Self::Certificate(_) => "certificate",
            Self::Namespace(_) => "namespace",
        }
    }
}

impl std::fmt::Display for RouteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{} ({:?})", self.host, self.path, self.kind)
    }
}

impl std::fmt::Display for PluginKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

impl std::fmt::Display for BindingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LuaPluginBinding(n) => write!(f, "LuaPluginBinding {n}"),
            Self::ClusterLuaPluginBinding(n) => write!(f, "ClusterLuaPluginBinding {n}"),
            Self::Default(p) => write!(f, "default config of {p}"),
        }
    }
}

impl std::fmt::Display for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Class(c) => write!(f, "IngressClass {c}"),
            Self::Namespace(n) => write!(f, "Namespace {n}"),
            Self::Service(s) => write!(f, "Service {s}"),
            Self::Ingress(i) => write!(f, "Ingress {i}"),
            Self::Host(i, h) => write!(f, "Ingress {i}, host {h}"),
            Self::Path(i, h, p) => write!(f, "Ingress {i}, path {h}{p}"),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.section())?;
        match self {
            Self::Settings => Ok(()),
            Self::Host(h) => write!(f, " {h}"),
            Self::Route(r) => write!(f, " {r}"),
            Self::Chain(c) => write!(f, " {c}"),
            Self::Binding(b) => write!(f, " {b}"),
            Self::Plugin(p) => write!(f, " {p}"),
            Self::Script(h) => write!(f, " {h}"),
            Self::Upstream(s) | Self::Endpoints(s) | Self::Namespace(s) => write!(f, " {s}"),
            Self::Certificate(n) => write!(f, " {n}"),
        }
    }
}
