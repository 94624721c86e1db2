//! `route`: one winner per host, path kind and path. Semantics: Ingress v1; conflicts go to the oldest.

use routing::key::ChainKey;
use routing::value::{Action, Backend as Weighted, Route, Value};
use routing::{Key, ObjectName, RouteKey};

use super::{class, endpoints, host, policy, upstream};
use crate::problem::{ObjectRef, Problem};
use crate::reader::{Outcome, Reader};
use crate::store::object::{Backend, IngressHeader, PortRef, Service};
use crate::store::{Kind, ObjectId, Place};
use crate::translate::Options;

/// A claim that is served.
struct Claim<'a> {
    header: &'a IngressHeader,
    class: String,
    place: Place,
    backend: &'a Backend,
}

pub(super) fn derive(key: &RouteKey, options: &Options, reader: &Reader<'_>) -> Outcome {
    let mut winner: Option<Claim<'_>> = None;
    for ((age, place), backend) in reader.claims(key) {
        let Some(header) = reader.ingress(&age.name) else { continue };
        let Ok(class) = class::of(header, options, reader) else { continue };
        if let Some(owner) = host::foreign_owner(&key.host, &age.name.namespace, options, reader) {
            report(reader, &age.name, place, "HostOwned", host::owned_message(&key.host, &owner));
            continue;
        }
        let claim = Claim { header, class, place: *place, backend };
        match &winner {
            None => winner = Some(claim),
            Some(winner) => report(reader, &age.name, place, "PathConflict", conflict(key, winner, &claim)),
        }
    }
    match winner {
        Some(claim) => Outcome::Set(Value::Route(value(key, &claim, reader))),
        None => Outcome::Absent,
    }
}

fn report(reader: &Reader<'_>, ingress: &ObjectName, place: &Place, reason: &'static str, message: String) {
    reader.report(Problem::error(reference(ingress), place.to_string(), reason, message));
}

fn reference(ingress: &ObjectName) -> ObjectRef {
    ObjectId::new(Kind::Ingress, ingress.clone()).reference()
}

fn conflict(key: &RouteKey, winner: &Claim<'_>, loser: &Claim<'_>) -> String {
    let winner_name = &winner.header.age.name;
    let why = if winner_name == &loser.header.age.name {
        format!("{} of the same Ingress comes first", winner.place)
    } else if winner.header.age.created < loser.header.age.created {
        format!("Ingress {winner_name} is older")
    } else {
        format!("Ingress {winner_name} comes first by name")
    };
    match key.kind {
        routing::PathKind::Default => {
            format!("another default backend serves host {}: {why}; remove one of the two", key.host)
        }
        _ => format!("another rule serves {key}: {why}; remove one of the two paths"),
    }
}

fn value(key: &RouteKey, claim: &Claim<'_>, reader: &Reader<'_>) -> Route {
    let ingress = claim.header.age.name.clone();
    let service = match claim.backend {
        Backend::Service { name, .. } => Some(ObjectName::new(&ingress.namespace, name)),
        Backend::Resource(_) => None,
    };
    let action = match policy::refusal(claim.header) {
        Some(reason) => refuse(reason),
        None => action(claim, reader).unwrap_or_else(|(reason, message)| {
            let field = claim.place.backend();
            reader.report(Problem::error(reference(&ingress), field, reason, message.clone()));
            refuse(message)
        }),
    };
    let chains = chains(key, claim, service.as_ref(), reader);
    for chain in &chains {
        reader.name(Key::Chain(chain.clone()), crate::reader::Input::None);
    }
    Route {
        ingress,
        service: service.map(|s| s.name).unwrap_or_default(),
        action,
        chains,
        policy: policy::routes(claim.header, &claim.class, reader),
    }
}

fn refuse(reason: String) -> Action {
    Action::Refuse { status: 503, reason }
}

/// Where requests go, or the reason and the message why nowhere.
fn action(claim: &Claim<'_>, reader: &Reader<'_>) -> Result<Action, (&'static str, String)> {
    let (name, port) = match claim.backend {
        Backend::Service { name, port } => (ObjectName::new(&claim.header.age.name.namespace, name), port),
        Backend::Resource(resource) => {
            let message = format!("backend {resource} is of a kind that is not supported; use a Service");
            return Err(("UnsupportedBackend", message));
        }
    };
    let Some(service) = reader.service(&name) else {
        return Err(("ServiceNotFound", format!("there is no Service {name}; create it or name another")));
    };
    if let Some(external) = &service.external_name
        && let Some(why) = endpoints::refuse_external(external)
    {
        let message = format!("the externalName {external:?} of Service {name} {why}; name another host");
        return Err(("ExternalNameRefused", message));
    }
    let port = port_number(service, port).ok_or_else(|| ("PortNotFound", no_port(service, port)))?;
    let (upstream, input) = upstream::key(&name, port, &policy::upstream(claim.header));
    let Key::Upstream(upstream_name) = &upstream else { return Err(("", String::new())) };
    let backend = Weighted { upstream: upstream_name.clone(), weight: 1 };
    reader.name(upstream, input);
    Ok(Action::Forward(vec![backend]))
}

/// The Service's port that a backend names. An ExternalName Service needs no ports: the number is the host's.
fn port_number(service: &Service, port: &PortRef) -> Option<u16> {
    let found = service.ports.iter().find(|p| match port {
        PortRef::Number(number) => p.port == *number,
        PortRef::Name(name) => p.name == *name,
    });
    match (found, port) {
        (Some(found), _) => Some(found.port),
        (None, PortRef::Number(number)) if service.external_name.is_some() => Some(*number),
        (None, _) => None,
    }
}

fn no_port(service: &Service, port: &PortRef) -> String {
    let listed = service.ports.iter().map(|p| match p.name.as_str() {
        "" => p.port.to_string(),
        name => format!("{} ({name})", p.port),
    });
    let ports: Vec<String> = listed.collect();
    let ports = match ports.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", ports.join(", ")),
    };
    let kind = match port {
        PortRef::Number(_) => "port",
        PortRef::Name(_) => "port named",
    };
    format!("Service {} has no TCP {kind} {port}; {ports}", service.name)
}

/// The route's chains in the order in which they run. Those of its class and namespace are always named, so that a
/// binding to them changes one key and no route; the others only where something is attached to them.
fn chains(key: &RouteKey, claim: &Claim<'_>, service: Option<&ObjectName>, reader: &Reader<'_>) -> Vec<ChainKey> {
    let ingress = &claim.header.age.name;
    let mut chains = vec![ChainKey::Class(claim.class.clone()), ChainKey::Namespace(ingress.namespace.clone())];
    if let Some(service) = service {
        let chain = ChainKey::Service(service.clone());
        if reader.bindings(&chain).next().is_some() {
            chains.push(chain);
        }
    }
    let attached: Vec<&ChainKey> = reader.chains(ingress).collect();
    let whole = ChainKey::Ingress(ingress.clone());
    if attached.contains(&&whole) || !policy::plugins(claim.header).is_empty() {
        chains.push(whole);
    }
    let mut parts = vec![ChainKey::Host(ingress.clone(), key.host.clone())];
    if policy::has_path_chain(key.kind) {
        parts.push(ChainKey::Path(ingress.clone(), "*".into(), key.path.clone()));
        if key.host != "*" {
            parts.push(ChainKey::Path(ingress.clone(), key.host.clone(), key.path.clone()));
        }
    }
    chains.extend(parts.into_iter().filter(|part| attached.contains(&part)));
    chains
}
