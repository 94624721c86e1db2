//! The certificate for names that the table does not know: self-signed, made at start, as ingress-nginx's fake one.

use std::io;

/// PEM of a chain and its key. It has a DNS name, which conformance suites look for.
pub(super) fn self_signed() -> io::Result<(Vec<u8>, Vec<u8>)> {
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let mut params = rcgen::CertificateParams::new(vec!["ingress.local".to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Moongate Default Certificate");
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok((certificate.pem().into_bytes(), key.serialize_pem().into_bytes()))
}
