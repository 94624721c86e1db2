//! `upstream`: a Service's port under one policy.

use routing::value::{Balance, Upstream, UpstreamProtocol, Value};
use routing::{Hash, Key, ObjectName};

use super::endpoints;
use crate::reader::{Input, Outcome, Reader, UpstreamPolicy};

/// The key of a Service's port under a policy: `ns/service:port`, with the policy's hash unless it is the default.
pub(super) fn key(service: &ObjectName, port: u16, policy: &UpstreamPolicy) -> (Key, Input) {
    let name = match *policy == UpstreamPolicy::default() {
        true => format!("{service}:{port}"),
        false => format!("{service}:{port}#{}", Hash::of(policy)),
    };
    (Key::Upstream(name), Input::Upstream(service.clone(), port, policy.clone()))
}

pub(super) fn derive(name: &ObjectName, port: u16, policy: &UpstreamPolicy, reader: &Reader<'_>) -> Outcome {
    let Some(service) = reader.service(name) else { return Outcome::Absent };
    let app_protocol = service.ports.iter().find(|p| p.port == port).and_then(|p| p.app_protocol.as_deref());
    let (endpoints, input) = endpoints::key(name, port);
    let Key::Endpoints(endpoints_name) = &endpoints else { return Outcome::Absent };
    let value = Upstream {
        endpoints: endpoints_name.clone(),
        service: name.clone(),
        port,
        protocol: policy.protocol.clone().unwrap_or_else(|| of_app_protocol(app_protocol)),
        balance: Balance::default(),
    };
    reader.name(endpoints, input);
    Outcome::Set(Value::Upstream(value))
}

/// GEP-1911's names, and the plain ones that people write.
fn of_app_protocol(app_protocol: Option<&str>) -> UpstreamProtocol {
    match app_protocol {
        Some("kubernetes.io/h2c" | "h2c" | "grpc") => UpstreamProtocol::H2c,
        Some("https" | "HTTPS" | "kubernetes.io/wss") => UpstreamProtocol::Https { server_name: None, verify: false },
        _ => UpstreamProtocol::Http,
    }
}
