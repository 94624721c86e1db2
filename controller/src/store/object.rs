//! The objects of the store, trimmed to what translation reads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use routing::key::{BindingKey, ChainKey, PluginKey, PluginKind};
use routing::value::{Certificate, RoutePolicyOverrides};
use routing::{ObjectName, PrivateBytes};

use crate::annotations::{AnnotationProblem, Annotations};
use crate::crd::{
    AllowedNamespaces, ClusterLuaPluginSpec, FieldProblem, LuaPluginSpec, MoongateConfigSpec, PluginSpec,
};
use crate::problem::ObjectRef;
use crate::schema::{Schema, SchemaProblem};

/// The kinds of objects that translation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// networking.k8s.io
    Ingress,
    /// networking.k8s.io
    IngressClass,
    /// core
    Service,
    /// discovery.k8s.io
    EndpointSlice,
    /// core
    Namespace,
    /// core
    Secret,
    /// core
    ConfigMap,
    /// ours
    LuaPlugin,
    /// ours
    ClusterLuaPlugin,
    /// ours
    LuaPluginBinding,
    /// ours
    ClusterLuaPluginBinding,
    /// ours
    MoongateConfig,
}

impl Kind {
    /// All of them, with the API group and version that is read.
    pub const ALL: [(Self, &'static str, &'static str); 12] = [
        (Self::Ingress, "Ingress", "networking.k8s.io/v1"),
        (Self::IngressClass, "IngressClass", "networking.k8s.io/v1"),
        (Self::Service, "Service", "v1"),
        (Self::EndpointSlice, "EndpointSlice", "discovery.k8s.io/v1"),
        (Self::Namespace, "Namespace", "v1"),
        (Self::Secret, "Secret", "v1"),
        (Self::ConfigMap, "ConfigMap", "v1"),
        (Self::LuaPlugin, "LuaPlugin", "moongate.dev/v1alpha1"),
        (Self::ClusterLuaPlugin, "ClusterLuaPlugin", "moongate.dev/v1alpha1"),
        (Self::LuaPluginBinding, "LuaPluginBinding", "moongate.dev/v1alpha1"),
        (Self::ClusterLuaPluginBinding, "ClusterLuaPluginBinding", "moongate.dev/v1alpha1"),
        (Self::MoongateConfig, "MoongateConfig", "moongate.dev/v1alpha1"),
    ];

    /// As in the object's `kind`.
    pub fn name(self) -> &'static str {
        // `ALL` has every variant.
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// Whether objects of the kind are in no namespace.
    pub fn is_cluster_scoped(self) -> bool {
        use Kind::{ClusterLuaPlugin, ClusterLuaPluginBinding, IngressClass, MoongateConfig, Namespace};
        matches!(self, IngressClass | Namespace | ClusterLuaPlugin | ClusterLuaPluginBinding | MoongateConfig)
    }

    /// Whether the kind is Moongate's own.
    pub fn is_ours(self) -> bool {
        use Kind::{ClusterLuaPlugin, ClusterLuaPluginBinding, LuaPlugin, LuaPluginBinding, MoongateConfig};
        matches!(self, LuaPlugin | ClusterLuaPlugin | LuaPluginBinding | ClusterLuaPluginBinding | MoongateConfig)
    }
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its name; the namespace is empty for cluster-scoped kinds.
    pub name: ObjectName,
}

impl ObjectId {
    /// An object of a kind.
    pub fn new(kind: Kind, name: ObjectName) -> Self {
        Self { kind, name }
    }

    /// The object that a problem is about, if it is of a kind that is read.
    pub fn of_reference(reference: &ObjectRef) -> Option<Self> {
        let (kind, ..) = Kind::ALL.iter().find(|(_, name, _)| *name == reference.kind)?;
        Some(Self::new(*kind, ObjectName::new(&reference.namespace, &reference.name)))
    }

    /// For problems.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.kind.name(), &self.name)
    }
}

/// An object as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// See [`Ingress`].
    Ingress(Arc<Ingress>),
    /// See [`IngressClass`].
    IngressClass(Arc<IngressClass>),
    /// See [`Service`].
    Service(Arc<Service>),
    /// See [`Slice`].
    EndpointSlice(Arc<Slice>),
    /// See [`Namespace`].
    Namespace(Arc<Namespace>),
    /// See [`Secret`].
    Secret(Arc<Secret>),
    /// See [`ConfigMap`].
    ConfigMap(Arc<ConfigMap>),
    /// A LuaPlugin or a ClusterLuaPlugin; see [`Plugin`].
    Plugin(Arc<Plugin>),
    /// A LuaPluginBinding or a ClusterLuaPluginBinding; see [`Binding`].
    Binding(Arc<Binding>),
    /// A MoongateConfig.
    Config(Arc<Config>),
}

/// When an object was made, and its name: conflicts go to the oldest, then to the first by name. Without a time
/// (standalone mode) the name decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age {
    /// `metadata.creationTimestamp`, in seconds since the epoch; `i64::MIN` without one.
    pub created: i64,
    /// The object.
    pub name: ObjectName,
}

/// What an Ingress says apart from its rules: a change of a rule leaves it as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressHeader {
    /// Its name and age.
    pub age: Age,
    /// `spec.ingressClassName`.
    pub class: Option<String>,
    /// The annotation `kubernetes.io/ingress.class`.
    pub class_annotation: Option<String>,
    /// What its annotations ask for.
    pub annotations: Annotations,
    /// What is wrong with them.
    pub annotation_problems: Vec<AnnotationProblem>,
    /// The rules (indices) for which there is no backend: without `http`, in an Ingress without a default backend.
    pub rules_without_backend: Vec<u32>,
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// All but its rules.
    pub header: Arc<IngressHeader>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<Backend>,
    /// `spec.rules`.
    pub rules: Vec<Rule>,
    /// `spec.tls`.
    pub tls: Vec<TlsEntry>,
}

/// A rule of an Ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Lower-case; `*` for a rule without a host.
    pub host: String,
    /// None without `http`: everything of the host goes to the default backend.
    pub paths: Option<Vec<PathRule>>,
}

/// A path of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct PathRule {
    /// `pathType`.
    pub kind: routing::PathKind,
    /// As written; an empty one is `/`.
    pub path: String,
    /// Where its requests go.
    pub backend: Backend,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service of the Ingress's namespace.
    Service {
        /// Its name.
        name: String,
        /// Which of its ports.
        port: PortRef,
    },
    /// An object of another kind, which is not supported: its kind and name.
    Resource(String),
}

/// Names a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRef {
    /// `port.number`
    Number(u16),
    /// `port.name`
    Name(String),
}

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Name(n) => f.write_str(n),
        }
    }
}

/// An entry of `spec.tls`.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsEntry {
    /// Lower-case.
    pub hosts: Vec<String>,
    /// None: the default certificate.
    pub secret: Option<String>,
}

/// An IngressClass.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressClass {
    /// Its name.
    pub name: String,
    /// `spec.controller`.
    pub controller: String,
    /// The annotation `ingressclass.kubernetes.io/is-default-class`.
    pub is_default: bool,
    /// `spec.parameters`: the name of a MoongateConfig, or what is wrong with the reference.
    pub parameters: Option<Result<String, String>>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// `spec.ports`, TCP ones only.
    pub ports: Vec<ServicePort>,
    /// `spec.externalName` of a Service of type ExternalName.
    pub external_name: Option<String>,
    /// `spec.clusterIPs`, without `None`.
    pub cluster_ips: Vec<IpAddr>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty for a single port without a name.
    pub name: String,
    /// The Service's port.
    pub port: u16,
    /// The target port, when it is a number (or absent: the port itself). Named ones are in the slices only.
    pub target: Option<u16>,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Its name.
    pub name: ObjectName,
    /// The label `kubernetes.io/service-name`; empty: no Service's.
    pub service: String,
    /// None: all ports, so a Service's numeric target port.
    pub ports: Option<Vec<SlicePort>>,
    /// Its endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Empty without a name.
    pub name: String,
    /// None: all ports.
    pub port: Option<u16>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The first address: only that one has a meaning.
    pub address: IpAddr,
    /// The condition `ready`; an absent one is true.
    pub ready: bool,
    /// The condition `serving`; an absent one is true.
    pub serving: bool,
    /// The condition `terminating`; an absent one is false.
    pub terminating: bool,
    /// Its zone.
    pub zone: Option<String>,
}

/// A Namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
}

/// A Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Its name.
    pub name: ObjectName,
    /// `data` with `stringData` over it.
    pub data: BTreeMap<String, PrivateBytes>,
    /// The label `moongate.dev/lua-readable` is `true`.
    pub lua_readable: bool,
    /// What `data` says as a certificate, once someone has asked.
    pub certificate: Derived<Result<Certificate, String>>,
}

/// What follows from the other fields of an object, made when first asked for. It says nothing of its own, so any two
/// are equal.
#[derive(Clone, Debug)]
pub struct Derived<T>(OnceLock<T>);

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Derived<T> {
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigMap {
    /// Its name.
    pub name: ObjectName,
    /// `data`.
    pub data: BTreeMap<String, Arc<str>>,
}

/// A LuaPlugin or a ClusterLuaPlugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// Its kind and name.
    pub key: PluginKey,
    /// What it says.
    pub spec: Arc<PluginSpec>,
    /// Who may name a ClusterLuaPlugin; none of a LuaPlugin, which is for its own namespace.
    pub allowed: Option<AllowedNamespaces>,
    /// What its configs may look like, once someone has asked.
    pub schema: Derived<Result<Schema, Vec<SchemaProblem>>>,
    /// What is wrong with its scripts and its schema, once someone has asked.
    pub code_faults: Derived<Vec<FieldProblem>>,
}

/// A LuaPluginBinding or a ClusterLuaPluginBinding.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Its kind and name.
    pub key: BindingKey,
    /// The plugin.
    pub plugin: PluginKey,
    /// What it is attached to, in the order of `targetRefs`.
    pub targets: Vec<ChainKey>,
    /// Without the secrets.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Where secrets go into the config.
    pub secrets: Vec<SecretUse>,
    /// The object cannot be read, and has no earlier version: this is what can be told of it.
    pub is_unreadable: bool,
    /// Of such an object: what it is for cannot be told, and `targets` are all that it may be.
    pub is_for_unknown: bool,
}

/// A secret that goes into a config.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretUse {
    /// The names of the fields that lead to it.
    pub path: Vec<String>,
    /// The Secret.
    pub secret: ObjectName,
    /// The key in its data.
    pub key: String,
}

/// A MoongateConfig.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: MoongateConfigSpec,
    /// What it says of the routes of a class, once someone has asked.
    pub class_policy: Derived<RoutePolicyOverrides>,
}

impl Object {
    /// Its name.
    pub fn id(&self) -> ObjectId {
        match self {
            Self::Ingress(o) => ObjectId::new(Kind::Ingress, o.header.age.name.clone()),
            Self::IngressClass(o) => ObjectId::new(Kind::IngressClass, ObjectName::cluster(&o.name)),
            Self::Service(o) => ObjectId::new(Kind::Service, o.name.clone()),
            Self::EndpointSlice(o) => ObjectId::new(Kind::EndpointSlice, o.name.clone()),
            Self::Namespace(o) => ObjectId::new(Kind::Namespace, ObjectName::cluster(&o.name)),
            Self::Secret(o) => ObjectId::new(Kind::Secret, o.name.clone()),
            Self::ConfigMap(o) => ObjectId::new(Kind::ConfigMap, o.name.clone()),
            Self::Plugin(o) => plugin_id(&o.key),
            Self::Binding(o) => o.id(),
            Self::Config(o) => ObjectId::new(Kind::MoongateConfig, ObjectName::cluster(&o.name)),
        }
    }
}

/// A plugin's object.
pub fn plugin_id(key: &PluginKey) -> ObjectId {
    let kind = match key.kind {
        PluginKind::LuaPlugin => Kind::LuaPlugin,
        PluginKind::ClusterLuaPlugin => Kind::ClusterLuaPlugin,
    };
    ObjectId::new(kind, key.name.clone())
}

impl Binding {
    /// Its object.
    pub fn id(&self) -> ObjectId {
        Self::id_of(&self.key)
    }

    /// The targets that it may have: of namespaces, a LuaPluginBinding is for its own only. Ingresses and Services are
    /// always of its own.
    pub fn own_targets(&self) -> impl Iterator<Item = &ChainKey> {
        self.targets.iter().filter(|target| match (&self.key, target) {
            (BindingKey::LuaPluginBinding(name), ChainKey::Namespace(target)) => name.namespace == *target,
            _ => true,
        })
    }

    /// The object of a binding's key; a binding of the store is never a plugin's default.
    pub fn id_of(key: &BindingKey) -> ObjectId {
        match key {
            BindingKey::LuaPluginBinding(name) => ObjectId::new(Kind::LuaPluginBinding, name.clone()),
            BindingKey::ClusterLuaPluginBinding(name) => ObjectId::new(Kind::ClusterLuaPluginBinding, name.clone()),
            BindingKey::Default(plugin) => plugin_id(plugin),
        }
    }
}

impl Plugin {
    /// From a LuaPlugin.
    pub fn of_namespace(name: ObjectName, spec: LuaPluginSpec) -> Self {
        Self::new(PluginKey { kind: PluginKind::LuaPlugin, name }, spec.plugin, None)
    }

    /// From a ClusterLuaPlugin.
    pub fn of_cluster(name: ObjectName, spec: ClusterLuaPluginSpec) -> Self {
        let key = PluginKey { kind: PluginKind::ClusterLuaPlugin, name };
        Self::new(key, spec.plugin, Some(spec.allowed_namespaces))
    }

    fn new(key: PluginKey, spec: PluginSpec, allowed: Option<AllowedNamespaces>) -> Self {
        let (schema, code_faults) = (Derived::default(), Derived::default());
        Self { key, spec: Arc::new(spec), allowed, schema, code_faults }
    }
}
