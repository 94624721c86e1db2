//! What the API server refuses: the rules of networking/v1 (kubernetes/kubernetes, pkg/apis/networking/validation), and
//! of the other kinds those that translation counts on.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass, IngressRule, IngressTLS};

use crate::store::convert::CLASS_ANNOTATION;

/// Fields and what is wrong with them.
pub(super) type Wrong = Vec<(String, String)>;

/// Nothing beyond the type.
pub(super) fn nothing<T>(_: &T, _: &mut Wrong) {}

/// RFC 1123's label: what a namespace is called.
pub(super) fn is_dns_label(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// RFC 1123's subdomain: what most objects are called. Only the whole name has a bound.
pub(super) fn is_object_name(text: &str) -> bool {
    let is_end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(is_inner)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

pub(super) fn ingress(ingress: &Ingress, wrong: &mut Wrong) {
    let Some(spec) = &ingress.spec else {
        wrong.push(("spec".into(), "is required".into()));
        return;
    };
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        wrong.push(("spec".into(), "has neither `rules` nor `defaultBackend`; one of them is required".into()));
    }
    if let Some(backend) = &spec.default_backend {
        self::backend(backend, "spec.defaultBackend", wrong);
    }
    for (index, rule) in rules.iter().enumerate() {
        self::rule(rule, &format!("spec.rules[{index}]"), wrong);
    }
    for (index, tls) in spec.tls.iter().flatten().enumerate() {
        self::tls(tls, &format!("spec.tls[{index}]"), wrong);
    }
    if let Some(class) = &spec.ingress_class_name
        && !is_object_name(class)
    {
        wrong.push(("spec.ingressClassName".into(), format!("{class:?} is not an object's name")));
    }
    let annotation = ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
    if let (Some(class), Some(annotation)) = (&spec.ingress_class_name, annotation)
        && class != annotation
    {
        let message =
            format!("is {class:?}, and the annotation {CLASS_ANNOTATION} is {annotation:?}; remove the annotation");
        wrong.push(("spec.ingressClassName".into(), message));
    }
}

fn rule(rule: &IngressRule, at: &str, wrong: &mut Wrong) {
    if let Some(host) = rule.host.as_deref().filter(|h| !h.is_empty())
        && let Some(message) = host_problem(host)
    {
        wrong.push((format!("{at}.host"), message));
    }
    let Some(http) = &rule.http else { return };
    if http.paths.is_empty() {
        wrong.push((format!("{at}.http.paths"), "is empty; list at least one path".into()));
    }
    for (index, path) in http.paths.iter().enumerate() {
        let at = format!("{at}.http.paths[{index}]");
        if let Some((field, message)) = path_problem(&path.path_type, path.path.as_deref().unwrap_or_default()) {
            wrong.push((format!("{at}.{field}"), message));
        }
        backend(&path.backend, &format!("{at}.backend"), wrong);
    }
}

/// What is wrong with a rule's or a TLS entry's host.
fn host_problem(host: &str) -> Option<String> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if host.parse::<IpAddr>().is_ok() {
        return Some(format!("{host} is an IP address; a host is a DNS name"));
    }
    let is_name = name.len() <= 253 && name.split('.').all(is_dns_label);
    let is_wildcard_of_nothing = name.len() < host.len() && !is_name;
    match (is_name, is_wildcard_of_nothing || host.contains('*')) {
        (true, _) => None,
        (false, true) => {
            Some(format!("{host:?} is not a wildcard: `*` stands for the whole first label, as in *.example.com"))
        }
        (false, false) => Some(format!("{host:?} is not a DNS name in lower case without a port")),
    }
}

/// What is wrong with a path; the field's name first.
fn path_problem(path_type: &str, path: &str) -> Option<(&'static str, String)> {
    let is_exact_or_prefix = match path_type {
        "Exact" | "Prefix" => true,
        "ImplementationSpecific" => false,
        "" => return Some(("pathType", "is required: Exact, Prefix or ImplementationSpecific".into())),
        other => return Some(("pathType", format!("{other:?} is none of Exact, Prefix, ImplementationSpecific"))),
    };
    if !path.starts_with('/') && (is_exact_or_prefix || !path.is_empty()) {
        return Some(("path", format!("{path:?} must begin with /")));
    }
    if path.len() > routing::router::RULE_PATH_BYTES_MAX {
        return Some(("path", format!("is longer than {} bytes", routing::router::RULE_PATH_BYTES_MAX)));
    }
    const NEVER: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
    const NEVER_AT_END: [&str; 2] = ["/..", "/."];
    let found = NEVER.iter().find(|part| path.contains(**part));
    let found = found.or_else(|| NEVER_AT_END.iter().find(|end| path.ends_with(**end)));
    found
        .filter(|_| is_exact_or_prefix)
        .map(|part| ("path", format!("must not have {part:?} in a path of type {path_type}")))
}

fn backend(backend: &IngressBackend, at: &str, wrong: &mut Wrong) {
    let service = match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => {
            wrong.push((at.into(), "has both `service` and `resource`; exactly one is allowed".into()));
            return;
        }
        (None, None) => {
            wrong.push((at.into(), "has no `service`; name one with its port".into()));
            return;
        }
        (None, Some(_)) => return,
        (Some(service), None) => service,
    };
    if !is_dns_label(&service.name) {
        wrong.push((format!("{at}.service.name"), format!("{:?} is not a Service's name", service.name)));
    }
    let at = format!("{at}.service.port");
    let port = service.port.clone().unwrap_or_default();
    match (port.name.as_deref().filter(|n| !n.is_empty()), port.number.filter(|n| *n != 0)) {
        (Some(_), Some(_)) => wrong.push((at, "has both `name` and `number`; exactly one is allowed".into())),
        (None, None) => wrong.push((at, "has neither `name` nor `number`; one is required".into())),
        (Some(name), None) if !is_port_name(name) => {
            let message = format!("{name:?} is not a port's name: at most 15 lower-case letters, digits and -");
            wrong.push((format!("{at}.name"), message));
        }
        (None, Some(number)) if !(1..=65535).contains(&number) => {
            wrong.push((format!("{at}.number"), format!("{number} is not between 1 and 65535")));
        }
        _ => {}
    }
}

/// IANA's service name.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15 && is_dns_label(name) && !name.contains("--") && name.bytes().any(|b| b.is_ascii_lowercase())
}

fn tls(tls: &IngressTLS, at: &str, wrong: &mut Wrong) {
    for (index, host) in tls.hosts.iter().flatten().enumerate() {
        if let Some(message) = host_problem(host) {
            wrong.push((format!("{at}.hosts[{index}]"), message));
        }
    }
    if let Some(name) = tls.secret_name.as_deref().filter(|n| !n.is_empty())
        && !is_object_name(name)
    {
        wrong.push((format!("{at}.secretName"), format!("{name:?} is not a Secret's name")));
    }
}

pub(super) fn ingress_class(class: &IngressClass, wrong: &mut Wrong) {
    let spec = class.spec.clone().unwrap_or_default();
    let controller = spec.controller.unwrap_or_default();
    let is_prefixed =
        controller.split_once('/').is_some_and(|(domain, path)| is_object_name(domain) && !path.is_empty());
    if !is_prefixed || controller.len() > 250 {
        let message = format!("{controller:?} must be a domain and a path, such as moongate.dev/ingress-controller");
        wrong.push(("spec.controller".into(), message));
    }
    let Some(parameters) = spec.parameters else { return };
    match (parameters.scope.as_deref().unwrap_or("Cluster"), &parameters.namespace) {
        ("Cluster", None) | ("Namespace", Some(_)) => {}
        ("Cluster", Some(_)) => {
            wrong.push(("spec.parameters.namespace".into(), "is for `scope: Namespace` only; remove it".into()));
        }
        ("Namespace", None) => {
            wrong.push(("spec.parameters".into(), "has no namespace, which `scope: Namespace` requires".into()));
        }
        (scope, _) => {
            wrong.push(("spec.parameters.scope".into(), format!("{scope:?} is neither Cluster nor Namespace")));
        }
    }
}

pub(super) fn service(service: &Service, wrong: &mut Wrong) {
    let spec = service.spec.clone().unwrap_or_default();
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    let ports = spec.ports.unwrap_or_default();
    if is_external && spec.external_name.as_deref().unwrap_or_default().is_empty() {
        wrong.push(("spec.externalName".into(), "is required for `type: ExternalName`".into()));
    }
    if ports.is_empty() && !is_external && spec.cluster_ip.as_deref() != Some("None") {
        wrong.push(("spec.ports".into(), "is empty; list at least one port".into()));
    }
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        if !(1..=65535).contains(&port.port) {
            wrong.push((format!("{at}.port"), format!("{} is not between 1 and 65535", port.port)));
        }
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            wrong.push((format!("{at}.name"), "is required where there is more than one port".into()));
        }
        if !name.is_empty() && ports[..index].iter().any(|other| other.name.as_deref() == Some(name)) {
            wrong.push((format!("{at}.name"), format!("{name:?} is the name of two ports")));
        }
    }
}

pub(super) fn endpoint_slice(slice: &EndpointSlice, wrong: &mut Wrong) {
    for (index, endpoint) in slice.endpoints.iter().flatten().enumerate() {
        let at = format!("endpoints[{index}]");
        let Some(address) = endpoint.addresses.first() else {
            wrong.push((format!("{at}.addresses"), "is empty; give one address".into()));
            continue;
        };
        let is_of_type = matches!(
            (slice.address_type.as_str(), address.parse()),
            ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) | ("FQDN", _)
        );
        if !is_of_type {
            let message = format!("{address:?} is not an address of type {:?}", slice.address_type);
            wrong.push((format!("{at}.addresses[0]"), message));
        }
    }
    for (index, port) in slice.ports.iter().flatten().enumerate() {
        if port.port.is_some_and(|port| !(1..=65535).contains(&port)) {
            wrong.push((format!("ports[{index}].port"), "is not between 1 and 65535".into()));
        }
    }
}
