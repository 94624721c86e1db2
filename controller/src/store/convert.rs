//! From the API's types to the store's, dropping what translation does not read.
//!
//! Total: the API server (or [`crate::files`]) has validated the object, and what an old stored object still has wrong
//! is left out here rather than taken for something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use routing::key::{BindingKey, ChainKey};
use routing::{ObjectName, PathKind, PrivateBytes};

use super::object::*;
use crate::crd;

/// The annotation that named a class before `ingressClassName` did.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Marks the class of Ingresses that name none.
pub const DEFAULT_CLASS_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
/// Lets Lua have a Secret's data.
pub const LUA_READABLE_LABEL: &str = "moongate.dev/lua-readable";
/// Says of which Service a slice is.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// `metadata.namespace` and `metadata.name`.
pub fn object_name(meta: &ObjectMeta) -> ObjectName {
    ObjectName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn age(meta: &ObjectMeta) -> Age {
    let created = meta.creation_timestamp.as_ref().map_or(i64::MIN, |t| t.0.as_second());
    Age { created, name: object_name(meta) }
}

/// An Ingress.
pub fn ingress(object: networking::Ingress) -> Object {
    let annotations = object.metadata.annotations.clone().unwrap_or_default();
    let spec = object.spec.unwrap_or_default();
    let rules: Vec<Rule> = spec.rules.unwrap_or_default().into_iter().map(rule).collect();
    let without = (0..).zip(&rules).filter(|(_, rule)| rule.paths.is_none() && spec.default_backend.is_none());
    let (parsed, annotation_problems) = crate::annotations::parse(&annotations);
    let header = IngressHeader {
        rules_without_backend: without.map(|(index, _)| index).collect(),
        age: age(&object.metadata),
        class: spec.ingress_class_name,
        class_annotation: annotations.get(CLASS_ANNOTATION).cloned(),
        annotations: parsed,
        annotation_problems,
    };
    let tls = spec.tls.unwrap_or_default().into_iter().map(|entry| TlsEntry {
        hosts: entry.hosts.unwrap_or_default().iter().map(|h| h.to_ascii_lowercase()).collect(),
        secret: entry.secret_name.filter(|s| !s.is_empty()),
    });
    Object::Ingress(Arc::new(Ingress {
        header: Arc::new(header),
        default_backend: spec.default_backend.and_then(backend),
        rules,
        tls: tls.collect(),
    }))
}

fn rule(rule: networking::IngressRule) -> Rule {
    let host = rule.host.filter(|h| !h.is_empty()).map_or("*".to_owned(), |h| h.to_ascii_lowercase());
    Rule { host, paths: rule.http.map(|http| http.paths.into_iter().filter_map(path).collect()) }
}

fn path(path: networking::HTTPIngressPath) -> Option<PathRule> {
    let kind = match path.path_type.as_str() {
        "Exact" => PathKind::Exact,
        "Prefix" => PathKind::Prefix,
        "ImplementationSpecific" => PathKind::ImplementationSpecific,
        _ => return None,
    };
    let text = path.path.filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into());
    Some(PathRule { kind, path: text, backend: backend(path.backend)? })
}

fn backend(backend: networking::IngressBackend) -> Option<Backend> {
    if let Some(resource) = backend.resource {
        return Some(Backend::Resource(format!("{} {}", resource.kind, resource.name)));
    }
    let service = backend.service?;
    let port = service.port?;
    let port = match (port.name.filter(|n| !n.is_empty()), port.number) {
        (Some(name), _) => PortRef::Name(name),
        (None, number) => PortRef::Number(u16::try_from(number?).ok()?),
    };
    Some(Backend::Service { name: service.name, port })
}

/// An IngressClass.
pub fn ingress_class(object: networking::IngressClass) -> Object {
    let annotations = object.metadata.annotations.unwrap_or_default();
    let spec = object.spec.unwrap_or_default();
    Object::IngressClass(Arc::new(IngressClass {
        name: object.metadata.name.unwrap_or_default(),
        controller: spec.controller.unwrap_or_default(),
        is_default: annotations.get(DEFAULT_CLASS_ANNOTATION).is_some_and(|v| v == "true"),
        parameters: spec.parameters.map(|p| {
            let ours = p.api_group.as_deref() == Some(crd::GROUP) && p.kind == Kind::MoongateConfig.name();
            let cluster = p.scope.as_deref().is_none_or(|s| s == "Cluster");
            match ours && cluster {
                true => Ok(p.name),
                false => Err(format!("{} {}", p.kind, p.name)),
            }
        }),
    }))
}

/// A Service.
pub fn service(object: core::Service) -> Object {
    let name = object_name(&object.metadata);
    let spec = object.spec.unwrap_or_default();
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    let ips = spec.cluster_ips.unwrap_or_default().into_iter().chain(spec.cluster_ip);
    let mut cluster_ips: Vec<_> = ips.filter_map(|ip| ip.parse().ok()).collect();
    cluster_ips.sort_unstable();
    cluster_ips.dedup();
    Object::Service(Arc::new(Service {
        name,
        ports: spec.ports.unwrap_or_default().into_iter().filter_map(service_port).collect(),
        external_name: spec.external_name.filter(|_| is_external),
        cluster_ips,
    }))
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|p| p == "TCP")
}

fn service_port(port: core::ServicePort) -> Option<ServicePort> {
    let number = u16::try_from(port.port).ok()?;
    let target = match &port.target_port {
        None => Some(number),
        Some(IntOrString::Int(target)) => u16::try_from(*target).ok(),
        Some(IntOrString::String(_)) => None,
    };
    is_tcp(port.protocol.as_deref()).then(|| ServicePort {
        name: port.name.unwrap_or_default(),
        port: number,
        target,
        app_protocol: port.app_protocol,
    })
}

/// An EndpointSlice.
pub fn endpoint_slice(object: discovery::EndpointSlice) -> Object {
    let name = object_name(&object.metadata);
    let service = object.metadata.labels.and_then(|mut l| l.remove(SERVICE_NAME_LABEL)).unwrap_or_default();
    let ports = object.ports.filter(|ports| !ports.is_empty()).map(|ports| {
        let tcp = ports.into_iter().filter(|p| is_tcp(p.protocol.as_deref()));
        let port = |p: discovery::EndpointPort| SlicePort {
            name: p.name.unwrap_or_default(),
            port: p.port.and_then(|p| u16::try_from(p).ok()),
        };
        tcp.map(port).collect()
    });
    // FQDN slices are deprecated, and their addresses do not parse.
    let endpoints = object.endpoints.unwrap_or_default().into_iter().filter_map(|endpoint| {
        let conditions = endpoint.conditions.unwrap_or_default();
        Some(SliceEndpoint {
            address: endpoint.addresses.first()?.parse().ok()?,
            ready: conditions.ready.unwrap_or(true),
            serving: conditions.serving.unwrap_or(true),
            terminating: conditions.terminating.unwrap_or(false),
            zone: endpoint.zone,
        })
    });
    Object::EndpointSlice(Arc::new(Slice { name, service, ports, endpoints: endpoints.collect() }))
}

/// A Namespace.
pub fn namespace(object: core::Namespace) -> Object {
    let name = object.metadata.name.unwrap_or_default();
    let mut labels = object.metadata.labels.unwrap_or_default();
    // The API server sets it on every Namespace.
    labels.entry("kubernetes.io/metadata.name".into()).or_insert_with(|| name.clone());
    Object::Namespace(Arc::new(Namespace { name, labels }))
}

/// A Secret.
pub fn secret(object: core::Secret) -> Object {
    let name = object_name(&object.metadata);
    let data = object.data.unwrap_or_default().into_iter().map(|(k, v)| (k, PrivateBytes::new(v.0)));
    let text = object.string_data.unwrap_or_default().into_iter().map(|(k, v)| (k, PrivateBytes::new(v)));
    Object::Secret(Arc::new(Secret {
        name,
        data: data.chain(text).collect(),
        lua_readable: object.metadata.labels.is_some_and(|l| l.get(LUA_READABLE_LABEL).is_some_and(|v| v == "true")),
        certificate: Derived::default(),
    }))
}

/// A ConfigMap.
pub fn config_map(object: core::ConfigMap) -> Object {
    let name = object_name(&object.metadata);
    let data: BTreeMap<_, Arc<str>> = object.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into())).collect();
    Object::ConfigMap(Arc::new(ConfigMap { name, data }))
}

/// A LuaPlugin.
pub fn lua_plugin(object: crd::LuaPlugin) -> Object {
    Object::Plugin(Arc::new(Plugin::of_namespace(object_name(&object.metadata), object.spec)))
}

/// A ClusterLuaPlugin.
pub fn cluster_lua_plugin(object: crd::ClusterLuaPlugin) -> Object {
    Object::Plugin(Arc::new(Plugin::of_cluster(object_name(&object.metadata), object.spec)))
}

/// A LuaPluginBinding.
pub fn lua_plugin_binding(object: crd::LuaPluginBinding) -> Object {
    let name = object_name(&object.metadata);
    let spec = object.spec;
    Object::Binding(Arc::new(Binding {
        plugin: spec.plugin_ref.key(&name.namespace),
        targets: spec.target_refs.into_iter().map(|t| target(&name.namespace, t)).collect(),
        config: spec.config,
        secrets: spec.secret_refs.into_iter().map(|s| secret_use(&name.namespace, s)).collect(),
        key: BindingKey::LuaPluginBinding(name),
        is_unreadable: false,
        is_for_unknown: false,
    }))
}

/// The chain of a LuaPluginBinding's target.
pub(super) fn target(namespace: &str, target: crd::TargetRef) -> ChainKey {
    let name = ObjectName::new(namespace, &target.name);
    match target.kind {
        crd::TargetKind::Namespace => ChainKey::Namespace(target.name),
        crd::TargetKind::Service => ChainKey::Service(name),
        crd::TargetKind::Ingress => section(name, target.section_name.as_deref()),
    }
}

/// The chain of a ClusterLuaPluginBinding's target.
pub(super) fn cluster_target(target: crd::ClusterTargetRef) -> ChainKey {
    match target.kind {
        crd::ClusterTargetKind::Namespace => ChainKey::Namespace(target.name),
        crd::ClusterTargetKind::IngressClass => ChainKey::Class(target.name),
    }
}

/// The chain of an Ingress or of a part of it: `host`, `host/path` or `/path`.
fn section(ingress: ObjectName, section: Option<&str>) -> ChainKey {
    let Some(section) = section else { return ChainKey::Ingress(ingress) };
    match section.find('/') {
        Some(0) => ChainKey::Path(ingress, "*".into(), section.into()),
        Some(at) => ChainKey::Path(ingress, section[..at].to_ascii_lowercase(), section[at..].into()),
        None => ChainKey::Host(ingress, section.to_ascii_lowercase()),
    }
}

/// A ClusterLuaPluginBinding.
pub fn cluster_lua_plugin_binding(object: crd::ClusterLuaPluginBinding) -> Object {
    let spec = object.spec;
    Object::Binding(Arc::new(Binding {
        key: BindingKey::ClusterLuaPluginBinding(object_name(&object.metadata)),
        plugin: spec.plugin_ref.key(),
        targets: spec.target_refs.into_iter().map(cluster_target).collect(),
        config: spec.config,
        secrets: spec.secret_refs.into_iter().map(|s| secret_use("", s)).collect(),
        is_unreadable: false,
        is_for_unknown: false,
    }))
}

/// `namespace` is that of a LuaPluginBinding, whose Secrets are its own; a ClusterLuaPluginBinding names theirs.
pub(super) fn secret_use(namespace: &str, reference: crd::SecretRef) -> SecretUse {
    let path = reference.path_keys();
    let namespace = if namespace.is_empty() { reference.namespace.unwrap_or_default() } else { namespace.into() };
    SecretUse { path, secret: ObjectName::new(namespace, reference.name), key: reference.key }
}

/// A MoongateConfig.
pub fn moongate_config(object: crd::MoongateConfig) -> Object {
    let name = object.metadata.name.unwrap_or_default();
    Object::Config(Arc::new(Config { name, spec: object.spec, class_policy: Derived::default() }))
}
