//! TLS towards clients: certificates by SNI from the current table, so a change needs no new listener and closes no
//! connection. And TLS towards upstreams.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use routing::value::TlsVersion;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::table::Snapshot;

mod fallback;
mod verify;

/// A certificate with its key, ready to sign.
#[derive(Debug)]
pub struct LoadedCertificate {
    key: Arc<CertifiedKey>,
    /// Lower-case DNS names.
    pub names: Vec<String>,
    /// Seconds since the epoch.
    pub not_after: i64,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The PEM does not parse, or has nothing in it.
    #[error("the certificate is not PEM: {0}")]
    Pem(String),
    /// The key does not parse, or is of a kind that cannot sign.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// The key is not the certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// Loads a table's certificate.
///
/// # Errors
/// What is wrong with it.
pub fn load(value: &routing::value::Certificate) -> Result<LoadedCertificate, CertificateError> {
    let key = certified(value.chain_pem.as_bytes(), value.key_pem.expose())?;
    Ok(LoadedCertificate { key, names: value.names.clone(), not_after: value.not_after })
}

fn certified(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|e| CertificateError::Pem(e.to_string()))?;
    if chain.is_empty() {
        return Err(CertificateError::Pem("no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| CertificateError::Key(e.to_string()))?;
    let signing =
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|e| CertificateError::Key(e.to_string()))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => Err(CertificateError::Mismatch),
    }
}

/// Chooses a certificate by SNI.
struct BySni {
    snapshot: Arc<ArcSwap<Snapshot>>,
    fallback: Arc<CertifiedKey>,
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BySni")
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.snapshot.load();
        let own = hello.server_name().and_then(|name| for_name(&snapshot, &name.to_ascii_lowercase()));
        let default = || {
            let name = snapshot.settings.default_certificate.as_ref()?;
            snapshot.certificates.get(name).map(|c| c.key.clone())
        };
        Some(own.or_else(default).unwrap_or_else(|| self.fallback.clone()))
    }
}

/// The certificate of a host: its own entry's, else its wildcard's.
fn for_name(snapshot: &Snapshot, name: &str) -> Option<Arc<CertifiedKey>> {
    let of = |host: &str| {
        let certificate = snapshot.hosts.get(host)?.certificate.as_ref()?;
        snapshot.certificates.get(certificate).map(|c| c.key.clone())
    };
    of(name).or_else(|| name.split_once('.').and_then(|(_, rest)| of(&format!("*.{rest}"))))
}

/// TLS towards clients. Certificates and the oldest version follow the table: each connection is accepted by what
/// holds then.
#[derive(Clone)]
pub struct Acceptors {
    tls12: TlsAcceptor,
    tls13: TlsAcceptor,
}

impl Acceptors {
    /// # Errors
    /// The self-signed certificate for unknown names could not be made.
    pub fn new(snapshot: &Arc<ArcSwap<Snapshot>>) -> io::Result<Self> {
        let (chain, key) = fallback::self_signed()?;
        let fallback = certified(&chain, &key).map_err(io::Error::other)?;
        let of = |versions: &[&'static rustls::SupportedProtocolVersion]| {
            let by_sni = BySni { snapshot: snapshot.clone(), fallback: fallback.clone() };
            server_config(versions, by_sni).map(TlsAcceptor::from)
        };
        Ok(Self {
            tls12: of(&[&rustls::version::TLS13, &rustls::version::TLS12])?,
            tls13: of(&[&rustls::version::TLS13])?,
        })
    }

    /// The acceptor whose oldest version is this.
    pub fn from_version(&self, oldest: TlsVersion) -> &TlsAcceptor {
        match oldest {
            TlsVersion::Tls12 => &self.tls12,
            TlsVersion::Tls13 => &self.tls13,
        }
    }
}

fn server_config(
    versions: &[&'static rustls::SupportedProtocolVersion],
    by_sni: BySni,
) -> io::Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_sni));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 2;
    Ok(Arc::new(config))
}

/// A connector towards upstreams: HTTP/1.1 only.
pub fn connector(verify: bool) -> tokio_rustls::TlsConnector {
    static VERIFIED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    static UNVERIFIED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = if verify { VERIFIED.get_or_init(verified) } else { UNVERIFIED.get_or_init(unverified) };
    tokio_rustls::TlsConnector::from(config.clone())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
}

fn verified() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A root that does not parse is of no use; the others are.
        let _ = roots.add(certificate);
    }
    Arc::new(builder().with_root_certificates(roots).with_no_client_auth())
}

fn unverified() -> Arc<ClientConfig> {
    Arc::new(
        builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::Anything::default()))
            .with_no_client_auth(),
    )
}
