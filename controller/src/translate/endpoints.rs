//! `endpoints`: where an upstream's requests go. What changes most, so it says nothing else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use routing::value::{Endpoint, EndpointState, Endpoints, Value};
use routing::{Key, ObjectName};

use crate::reader::{Input, Outcome, Reader};
use crate::store::object::{Service, ServicePort, Slice, SliceEndpoint};

/// The key of a Service's port.
pub(super) fn key(service: &ObjectName, port: u16) -> (Key, Input) {
    (Key::Endpoints(format!("{service}:{port}")), Input::Endpoints(service.clone(), port))
}

pub(super) fn derive(name: &ObjectName, port: u16, reader: &Reader<'_>) -> Outcome {
    let Some(service) = reader.service(name) else { return Outcome::Absent };
    if let Some(external) = &service.external_name {
        let external = external.trim_end_matches('.');
        let refused = refuse_external(external).is_some();
        let external = (!refused).then(|| format!("{external}:{port}"));
        return Outcome::Set(Value::Endpoints(Endpoints { addresses: Vec::new(), external }));
    }
    let Some(port) = service.ports.iter().find(|p| p.port == port) else { return Outcome::Absent };
    let addresses = addresses(service, port, reader.slices(name).map(|slice| &**slice));
    Outcome::Set(Value::Endpoints(Endpoints { addresses, external: None }))
}

/// Why an external name is refused: it would make the proxy speak to itself or its own host.
pub(super) fn refuse_external(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_local_name = name == "localhost" || name.ends_with(".localhost");
    let is_local_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| {
        let ip = ip.to_canonical();
        ip.is_loopback() || ip.is_unspecified()
    });
    match (name.is_empty(), is_local_name || is_local_address) {
        (true, _) => Some("is empty"),
        (_, true) => Some("is the proxy's own host"),
        _ => None,
    }
}

/// Joins all slices by the port's *name*: slices may have different target ports. The same address may be in two
/// slices while they change; the better state holds.
fn addresses<'a>(service: &Service, port: &ServicePort, slices: impl Iterator<Item = &'a Slice>) -> Vec<Endpoint> {
    let mut found: BTreeMap<SocketAddr, (EndpointState, Option<String>)> = BTreeMap::new();
    for slice in slices {
        let Some(number) = target(service, port, slice) else { continue };
        for endpoint in &slice.endpoints {
            let Some(state) = state(endpoint) else { continue };
            let address = SocketAddr::new(endpoint.address, number);
            let entry = found.entry(address).or_insert_with(|| (state, endpoint.zone.clone()));
            if state < entry.0 {
                *entry = (state, endpoint.zone.clone());
            }
        }
    }
    found.into_iter().map(|(address, (state, zone))| Endpoint { address, zone, state }).collect()
}

fn target(service: &Service, port: &ServicePort, slice: &Slice) -> Option<u16> {
    // A slice without ports means all of them.
    let Some(ports) = &slice.ports else { return port.target };
    // A Service's single port may have no name while a hand-written slice gives it one, or the other way round.
    let by_name = ports.iter().find(|p| p.name == port.name);
    let single = || ports.first().filter(|p| service.ports.len() == 1 && ports.len() == 1 && p.name.is_empty());
    by_name.or_else(single)?.port.or(port.target)
}

/// KEP-1669: new requests go to ready endpoints; to serving and terminating ones when there is no ready one.
fn state(endpoint: &SliceEndpoint) -> Option<EndpointState> {
    match (endpoint.ready, endpoint.serving && endpoint.terminating) {
        (true, _) => Some(EndpointState::Ready),
        (false, true) => Some(EndpointState::Draining),
        (false, false) => None,
    }
}
