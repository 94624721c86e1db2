//! The certificates of the push and of the webhook: made here, or read of a directory.
//!
//! Made here, a CA is kept in a Secret of our own namespace ([`authority`]); every controller signs its own certificate
//! with it and keeps that in memory. Whoever finds something to be renewed renews it: a write is refused when the Secret
//! is not as it was read, and then it is read again. What is to be trusted is written to a ConfigMap for data planes,
//! and to the webhook's configuration.

mod authority;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use routing::wire::SERVER_NAME;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use authority::{Authority, Pair};

/// How often what is there is compared with what should be.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How often files are looked at.
const FILES_EVERY: Duration = Duration::from_secs(10);
/// After a failure.
const RETRY: Duration = Duration::from_secs(2);
/// For one request.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Writes that collide with another controller's, in a row.
const COLLISIONS_MAX: u32 = 8;
/// The key of the ConfigMap.
const BUNDLE_KEY: &str = "ca.crt";

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A CA that is made here.
    Own(Own),
    /// `tls.crt` and `tls.key` of a directory, such as a mounted Secret of cert-manager.
    Directory(PathBuf),
}

/// Names of what is made here.
#[derive(Clone, Debug)]
pub struct Own {
    /// Our own.
    pub namespace: String,
    /// The Secret with the CA.
    pub secret: String,
    /// The ConfigMap with what is to be trusted, under `ca.crt`.
    pub config_map: String,
    /// DNS names of the certificate besides [`SERVER_NAME`].
    pub names: Vec<String>,
    /// The ValidatingWebhookConfiguration that is to trust it.
    pub webhook: Option<String>,
}

/// TLS as it is to be served now.
#[derive(Clone, Debug)]
pub struct Served {
    /// For the push: HTTP/2 only.
    pub push: Arc<ServerConfig>,
    /// For the webhook.
    pub webhook: Arc<ServerConfig>,
}

/// Why there is no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Content(String),
    #[error("the API server does not answer")]
    Silent,
    #[error("{0}")]
    Kube(Box<kube::Error>),
    #[error("another controller writes it again and again")]
    Collisions,
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: std::io::Error },
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("a certificate cannot be served: {0}")]
    Tls(#[from] rustls::Error),
}

impl From<kube::Error> for Error {
    fn from(e: kube::Error) -> Self {
        Self::Kube(Box::new(e))
    }
}

/// Keeps certificates in order as long as `out` has a receiver; it has none in it until there is one.
pub async fn keep(client: Client, origin: Origin, out: watch::Sender<Option<Served>>) {
    let mut failing = false;
    let mut own = None;
    let mut files = None;
    loop {
        let (done, pause) = match &origin {
            Origin::Own(names) => (check_own(&client, names, &mut own, &out).await, CHECK_EVERY),
            Origin::Directory(directory) => (check_files(directory, &mut files, &out), FILES_EVERY),
        };
        let pause = match done {
            Ok(()) => {
                failing = false;
                pause
            }
            Err(e) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!("cannot keep the certificate of the push: {e}; trying again");
                }
                RETRY
            }
        };
        tokio::select! {
            () = out.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What is served of our own CA.
struct Made {
    authority: Authority,
    not_due: Pair,
}

async fn check_own(
    client: &Client,
    names: &Own,
    made: &mut Option<Made>,
    out: &watch::Sender<Option<Served>>,
) -> Result<(), Error> {
    let now = SystemTime::now();
    let known = made.as_ref().map(|made| &made.authority);
    let authority = authority(client, names, known, now).await?;
    let is_same = made.as_ref().is_some_and(|m| m.authority.current == authority.current && !m.not_due.is_due(now));
    if is_same {
        if let Some(made) = made {
            made.authority = authority.clone();
        }
    } else {
        let mut all = vec![SERVER_NAME.to_owned()];
        all.extend(names.names.iter().filter(|name| *name != SERVER_NAME).cloned());
        let pair = authority.sign(&all, now)?;
        out.send_replace(Some(served(&pair.chain, &pair.key)?));
        info!(names = all.join(", "), "serving a new certificate");
        *made = Some(Made { authority: authority.clone(), not_due: pair });
    }
    publish(client, names, &authority.bundle()).await?;
    match &names.webhook {
        Some(webhook) => trust(client, webhook, &authority.bundle()).await,
        None => Ok(()),
    }
}

/// The CA of the Secret, made or renewed if need be. `known` is put back when somebody deleted or damaged the Secret.
async fn authority(
    client: &Client,
    names: &Own,
    known: Option<&Authority>,
    now: SystemTime,
) -> Result<Authority, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &names.namespace);
    for _ in 0..COLLISIONS_MAX {
        let found = within(api.get_opt(&names.secret)).await?;
        let data = |secret: &Secret| -> BTreeMap<String, Vec<u8>> {
            secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect()
        };
        let read = found.as_ref().map(|secret| Authority::read(&data(secret)));
        let (current, is_new) = match (read, known) {
            (Some(Ok(current)), _) => (current, false),
            (None, Some(known)) => (known.clone(), true),
            // Whoever damaged it, data planes trust the CA that it was.
            (Some(Err(e)), Some(known)) => {
                warn!("Secret {}/{} {e}; writing it as it was", names.namespace, names.secret);
                (known.clone(), true)
            }
            (None, None) => (Authority::new(now)?, true),
            (Some(Err(e)), None) => {
                warn!("Secret {}/{} {e}; making it anew", names.namespace, names.secret);
                (Authority::new(now)?, true)
            }
        };
        let renewed = current.renewed(now)?;
        if renewed.is_none() && !is_new {
            return Ok(current);
        }
        let current = renewed.unwrap_or(current);
        match write(&api, names, found, &current).await {
            Ok(()) => return Ok(current),
            Err(Error::Kube(e)) if is_collision(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Error::Collisions)
}

async fn write(api: &Api<Secret>, names: &Own, found: Option<Secret>, authority: &Authority) -> Result<(), Error> {
    let data = authority.write().into_iter().map(|(key, bytes)| (key, ByteString(bytes))).collect();
    let params = PostParams::default();
    match found {
        Some(found) => {
            let secret = Secret { data: Some(data), ..found };
            within(api.replace(&names.secret, &params, &secret)).await?;
        }
        None => {
            let secret = Secret { metadata: metadata(names, &names.secret), data: Some(data), ..Secret::default() };
            within(api.create(&params, &secret)).await?;
        }
    }
    info!("wrote the CA of the push to Secret {}/{}", names.namespace, names.secret);
    Ok(())
}

/// Writes what is to be trusted where data planes read it.
async fn publish(client: &Client, names: &Own, bundle: &str) -> Result<(), Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &names.namespace);
    let found = within(api.get_opt(&names.config_map)).await?;
    let has = found.as_ref().and_then(|map| map.data.as_ref()).and_then(|data| data.get(BUNDLE_KEY));
    if has.is_some_and(|has| has == bundle) {
        return Ok(());
    }
    let params = PostParams::default();
    let written = match found {
        Some(mut map) => {
            map.data.get_or_insert_default().insert(BUNDLE_KEY.into(), bundle.into());
            within(api.replace(&names.config_map, &params, &map)).await
        }
        None => {
            let data = BTreeMap::from([(BUNDLE_KEY.to_owned(), bundle.to_owned())]);
            let metadata = metadata(names, &names.config_map);
            within(api.create(&params, &ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })).await
        }
    };
    match written {
        // The other one writes the same.
        Err(Error::Kube(e)) if is_collision(&e) => Ok(()),
        written => written.map(|_| ()),
    }
}

/// Lets the API server trust the webhook.
async fn trust(client: &Client, name: &str, bundle: &str) -> Result<(), Error> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let Some(found) = within(api.get_opt(name)).await? else {
        return Err(Error::Content(format!("there is no ValidatingWebhookConfiguration {name}")));
    };
    let webhooks = found.webhooks.unwrap_or_default();
    let stale = webhooks
        .iter()
        .filter(|hook| hook.client_config.ca_bundle.as_ref().is_none_or(|has| has.0 != bundle.as_bytes()));
    let bundle = ByteString(bundle.into());
    let patches: Vec<_> = stale.map(|hook| json!({"name": hook.name, "clientConfig": {"caBundle": bundle}})).collect();
    if patches.is_empty() {
        return Ok(());
    }
    // Webhooks are merged by their names.
    let patch = Patch::Strategic(json!({"webhooks": patches}));
    within(api.patch(name, &PatchParams::default(), &patch)).await?;
    info!("the API server trusts the webhooks of {name} by our CA");
    Ok(())
}

fn metadata(names: &Own, name: &str) -> ObjectMeta {
    let label = ("app.kubernetes.io/managed-by".to_owned(), "moongate-controller".to_owned());
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(names.namespace.clone()),
        labels: Some(BTreeMap::from([label])),
        ..ObjectMeta::default()
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    Ok(tokio::time::timeout(REQUEST_MAX, request).await.map_err(|_| Error::Silent)??)
}

fn is_collision(e: &kube::Error) -> bool {
    matches!(e, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

/// Serves what a directory has, if it is another than before.
fn check_files(
    directory: &Path,
    before: &mut Option<(Vec<u8>, Vec<u8>)>,
    out: &watch::Sender<Option<Served>>,
) -> Result<(), Error> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|why| Error::File { path, why })
    };
    let files = (read("tls.crt")?, read("tls.key")?);
    if before.as_ref() == Some(&files) {
        return Ok(());
    }
    let wrong = |name: &str, why: String| Error::Content(format!("{}: {why}", directory.join(name).display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&files.0)
        .collect::<Result<_, _>>()
        .map_err(|e| wrong("tls.crt", format!("is not PEM: {e}")))?;
    let key = PrivateKeyDer::from_pem_slice(&files.1)
        .map_err(|_| wrong("tls.key", "has no unencrypted private key in PEM".into()))?;
    out.send_replace(Some(served(&chain, &key)?));
    info!(directory = %directory.display(), "serving the certificate of a directory");
    *before = Some(files);
    Ok(())
}

fn served(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<Served, Error> {
    let config = |protocols: &[&str]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain.to_vec(), key.clone_key())?;
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok::<_, Error>(Arc::new(config))
    };
    Ok(Served { push: config(&["h2"])?, webhook: config(&["h2", "http/1.1"])? })
}
