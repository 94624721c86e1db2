//! `host`: what holds for a host, and who may add to it.

use routing::value::{Host, Value};
use routing::{Key, ObjectName};

use super::{certificate, class};
use crate::crd::HostOwnership;
use crate::problem::Problem;
use crate::reader::{Input, Outcome, Reader};
use crate::store::object::Age;
use crate::store::{Kind, ObjectId, TlsClaim};
use crate::translate::Options;

pub(super) fn derive(host: &str, options: &Options, reader: &Reader<'_>) -> Outcome {
    // A wildcard entry of some `tls` is for the hosts that it covers, too, unless they have one of their own.
    let wildcard = host.split_once('.').filter(|(label, _)| *label != "*").map(|(_, parent)| format!("*.{parent}"));
    let mut found = claimed(host, host, options, reader);
    if let (None | Some(Given::Unknown), Some(wildcard)) = (&found, wildcard)
        && is_named(host, options, reader)
    {
        found = claimed(&wildcard, host, options, reader).or(found);
    }
    match found {
        Some(Given::Certificate(certificate)) => {
            if let Some(secret) = &certificate {
                reader.name(Key::Certificate(secret.clone()), Input::None);
            }
            Outcome::Set(Value::Host(Host { certificate, tls: true }))
        }
        Some(Given::Unknown) => Outcome::Keep(Some(Value::Host(Host::default()))),
        None if is_named(host, options, reader) => Outcome::Set(Value::Host(Host::default())),
        None => Outcome::Absent,
    }
}

/// What a claim gives to a host.
enum Given {
    /// A certificate; none: the default one.
    Certificate(Option<ObjectName>),
    /// The claim counts if its certificate is valid for the host, which a certificate that is broken does not tell: a host
    /// that had it keeps it.
    Unknown,
}

/// Whether a served Ingress names the host.
fn is_named(host: &str, options: &Options, reader: &Reader<'_>) -> bool {
    reader.hosts(host).any(|age| is_served(age, options, reader))
}

fn is_served(age: &Age, options: &Options, reader: &Reader<'_>) -> bool {
    reader.ingress(&age.name).is_some_and(|header| class::of(header, options, reader).is_ok())
}

/// What the oldest Ingress with `tls` for `claimed` gives `host`.
fn claimed(claimed: &str, host: &str, options: &Options, reader: &Reader<'_>) -> Option<Given> {
    let mut winner: Option<(&Age, Option<ObjectName>)> = None;
    let mut is_unknown = false;
    for ((age, index), claim) in reader.tls(claimed) {
        if !is_served(age, options, reader) {
            continue;
        }
        let field = format!("spec.tls[{index}]");
        if let Some(owner) = foreign_owner(host, &age.name.namespace, options, reader) {
            report(reader, age, &field, "HostOwned", owned_message(host, &owner));
            continue;
        }
        let Some((other, used)) = &winner else {
            match secret(claim, age, &field, host, reader) {
                Some(Given::Certificate(secret)) => winner = Some((age, secret)),
                Some(Given::Unknown) => is_unknown = true,
                None => {}
            }
            continue;
        };
        let own = claim.secret.as_ref().map(|name| ObjectName::new(&age.name.namespace, name));
        if claim.named && *used != own {
            let message = format!(
                "Ingress {} gives host {claimed} another certificate and has precedence; name the same Secret in both",
                other.name
            );
            report(reader, age, &field, "CertificateConflict", message);
        }
    }
    let given = winner.map(|(_, secret)| Given::Certificate(secret));
    given.or_else(|| is_unknown.then_some(Given::Unknown))
}

/// The Secret of a claim; none when the claim does not count for the host. A Secret that is missing or bad is told,
/// and its host gets the default certificate.
fn secret(claim: &TlsClaim, age: &Age, field: &str, host: &str, reader: &Reader<'_>) -> Option<Given> {
    let Some(name) = &claim.secret else { return Some(Given::Certificate(None)) };
    let name = ObjectName::new(&age.name.namespace, name);
    let field = format!("{field}.secretName");
    let certificate = reader.secret(&name).map(|secret| certificate::of(secret));
    match certificate {
        Some(Ok(certificate)) if certificate::covers(certificate, host) => {}
        Some(Ok(_)) | None if !claim.named => return None,
        Some(Ok(certificate)) => {
            let message = format!(
                "the certificate of Secret {name} is not valid for {host}, only for [{}]; clients will refuse it",
                certificate.names.join(", ")
            );
            reader.report(Problem::warning(reference(age), field, "CertificateMismatch", message));
        }
        Some(Err(why)) => {
            let message = format!("Secret {name} {why}; the last good or the default certificate is served");
            report(reader, age, &field, "InvalidCertificate", message);
            if !claim.named {
                return Some(Given::Unknown);
            }
        }
        None => {
            let message = format!("there is no Secret {name}; create it. The default certificate is served");
            report(reader, age, &field, "SecretNotFound", message);
        }
    }
    Some(Given::Certificate(Some(name)))
}

fn reference(age: &Age) -> crate::problem::ObjectRef {
    ObjectId::new(Kind::Ingress, age.name.clone()).reference()
}

fn report(reader: &Reader<'_>, age: &Age, field: &str, reason: &'static str, message: String) {
    reader.report(Problem::error(reference(age), field, reason, message));
}

/// The namespace that owns a host, where `MoongateConfig.spec.hostOwnership` gives hosts to namespaces, it is not
/// `namespace`, and no grant lets `namespace` add to the host.
pub(super) fn foreign_owner(host: &str, namespace: &str, options: &Options, reader: &Reader<'_>) -> Option<String> {
    let config = reader.config(&options.config)?;
    if config.spec.host_ownership == HostOwnership::Shared || host == "*" {
        return None;
    }
    let granted =
        |grant: &crate::crd::config::HostGrant| grant.host == host && grant.namespaces.iter().any(|n| n == namespace);
    if config.spec.host_grants.iter().any(granted) {
        return None;
    }
    let owner = reader.hosts(host).find(|age| is_served(age, options, reader))?;
    (owner.name.namespace != namespace).then(|| owner.name.namespace.clone())
}

pub(super) fn owned_message(host: &str, owner: &str) -> String {
    format!(
        "host {host} belongs to namespace {owner}, whose Ingress is the oldest that names it; \
         move the rule there, or ask the platform for an entry in MoongateConfig's spec.hostGrants"
    )
}
