//! `certificate`: a TLS Secret.

use routing::value::{Certificate, Value};
use routing::{ObjectName, PrivateBytes};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::reader::{Outcome, Reader};
use crate::store::object::Secret;

/// Certificates of a chain; public ones have two or three.
const CHAIN_MAX: usize = 16;

pub(super) fn derive(name: &ObjectName, reader: &Reader<'_>) -> Outcome {
    match reader.secret(name).map(|secret| of(secret)) {
        Some(Ok(certificate)) => Outcome::Set(Value::Certificate(certificate.clone())),
        // A bad update costs nothing while the last good pair is there; whose Ingress it is tells the problem.
        Some(Err(_)) => Outcome::Keep(None),
        None => Outcome::Absent,
    }
}

/// The certificate of a Secret, or what is wrong with it. Parsed once: one Secret may serve ten thousand hosts.
pub(super) fn of(secret: &Secret) -> &Result<Certificate, String> {
    secret.certificate.get_or_init(|| parse(secret))
}

fn parse(secret: &Secret) -> Result<Certificate, String> {
    let chain_pem =
        secret.data.get("tls.crt").ok_or("has no key tls.crt; it must have the chain in PEM, leaf first")?;
    let key_pem = secret.data.get("tls.key").ok_or("has no key tls.key; it must have the private key in PEM")?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain_pem.expose())
        .take(CHAIN_MAX)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("has a tls.crt that is not PEM: {e}"))?;
    let leaf = chain.first().ok_or("has a tls.crt without any certificate in PEM")?.clone();
    let key = PrivateKeyDer::from_pem_slice(key_pem.expose())
        .map_err(|_| "has a tls.key without an unencrypted private key in PEM".to_owned())?;
    let (_, leaf) = X509Certificate::from_der(&leaf)
        .map_err(|_| "has a tls.crt whose first certificate is not X.509".to_owned())?;
    match_key(chain.clone(), &key)?;
    Ok(Certificate {
        chain_pem: String::from_utf8_lossy(chain_pem.expose()).into_owned(),
        key_pem: PrivateBytes::new(key_pem.expose()),
        names: names(&leaf),
        not_before: leaf.validity().not_before.timestamp(),
        not_after: leaf.validity().not_after.timestamp(),
    })
}

fn match_key(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<(), String> {
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
        .map_err(|e| format!("has a tls.key that cannot be used: {e}"))?;
    match CertifiedKey::new(chain, key).keys_match() {
        // Where the key does not tell its public half there is nothing to compare.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("has a tls.key that is not the key of tls.crt's first certificate (the leaf must come first)".into())
        }
        Err(e) => Err(format!("has a tls.crt that cannot be used: {e}")),
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(san)) = leaf.subject_alternative_name() else { return Vec::new() };
    let dns = san.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

/// Whether a certificate is valid for a host: a wildcard stands for one label.
pub(super) fn covers(certificate: &Certificate, host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    certificate.names.iter().any(|name| {
        name == host || name.strip_prefix("*.").is_some_and(|suffix| parent == Some(suffix) && !host.starts_with("*."))
    })
}
