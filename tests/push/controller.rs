//! A controller's publisher, serving on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use controller::publish::{Authenticate, Authenticated, Options, Peer, Planes, Publisher, Refused};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use routing::{Change, Key, wire};
use rustls_pki_types::PrivateKeyDer;
use tokio::sync::watch;

use super::background::Background;

/// Longer than anything takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A token is `POD` or `POD EXPIRES_IN_MS`; `bad` is none, and `away` cannot be looked at.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl Authenticate for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Authenticated, Refused> {
        self.seen.lock().unwrap().push(token.into());
        let (pod, expires) = token.split_once(' ').unwrap_or((token, ""));
        match pod {
            "bad" => return Err(Refused::Denied("not a data plane's".into())),
            "away" => return Err(Refused::Unavailable("the API server is away".into())),
            _ => {}
        }
        let expires = expires.parse().ok().map(|ms| SystemTime::now() + Duration::from_millis(ms));
        let (namespace, service_account) = ("moongate".into(), "dataplane".into());
        let peer = Peer { namespace, pod: pod.into(), uid: format!("uid of {pod}"), service_account };
        Ok(Authenticated { peer, expires })
    }
}

/// Ends when it is dropped, as a controller that crashes.
pub(crate) struct Controller {
    pub(crate) publisher: Publisher,
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Tokens,
    versions: Mutex<u64>,
    _background: Background,
}

impl Controller {
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let background = Background::start();
        let publisher = Publisher::new(options);
        let (_, tls) = watch::channel(server_config());
        let tokens = Tokens::default();
        let (server, known) = (publisher.clone(), tokens.clone());
        background.handle.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            server.serve(listener, tls, known, std::future::pending()).await;
        });
        Self { publisher, address, tokens, versions: Mutex::new(0), _background: background }
    }

    /// Commits changes, as of the next version of one watch.
    pub(crate) fn commit(&self, changes: Vec<Change>) -> u64 {
        self.commit_with(changes, &BTreeSet::new())
    }

    /// The same, where these keys cannot be told.
    pub(crate) fn commit_with(&self, changes: Vec<Change>, stand_ins: &BTreeSet<Key>) -> u64 {
        let mut version = self.versions.lock().unwrap();
        *version += 1;
        let versions = BTreeMap::from([("ingresses".to_owned(), version.to_string())]);
        let committed = self.publisher.commit(changes, stand_ins, versions.clone(), versions);
        assert_eq!(committed.problems, []);
        committed.counter
    }

    /// Waits until the data planes are as they should be.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Planes) -> bool) {
        until(what, || is_so(&self.planes()), || format!("{:#?}", self.planes()));
    }

    pub(crate) fn planes(&self) -> Arc<Planes> {
        self.publisher.planes().borrow().clone()
    }

    /// Its counters as text.
    pub(crate) fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.publisher.metrics().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        metric(&self.metrics(), name)
    }
}

/// A counter's value, 0 when there is none.
pub(crate) fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

/// Looks every few milliseconds.
#[expect(clippy::disallowed_methods, reason = "a test's thread has nothing else to do, and the condition ends it")]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool, state: impl Fn() -> String) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "no {what}: {}", state());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The certificates of all tests.
struct Certificates {
    ca: PathBuf,
    other_ca: PathBuf,
    server: Arc<rustls::ServerConfig>,
    _directory: tempfile::TempDir,
}

fn certificates() -> &'static Certificates {
    static ALL: OnceLock<Certificates> = OnceLock::new();
    ALL.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let issuer = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let path = directory.path().join(name);
            std::fs::write(&path, issuer.pem()).unwrap();
            (issuer, path)
        };
        let ((issuer, ca), (_, other_ca)) = (issuer("ca.crt"), issuer("other.crt"));
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![wire::SERVER_NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let mut server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        Certificates { ca, other_ca, server: Arc::new(server), _directory: directory }
    })
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn server_config() -> Arc<rustls::ServerConfig> {
    certificates().server.clone()
}

/// The CA of the controllers' certificates, as a file.
pub(crate) fn ca() -> PathBuf {
    certificates().ca.clone()
}

/// Another CA.
pub(crate) fn other_ca() -> PathBuf {
    certificates().other_ca.clone()
}
