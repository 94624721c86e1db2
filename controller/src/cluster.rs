//! The API server as the source of objects: watches in, [`Batch`]es of updates out.
//!
//! Each watch ([`source`]) lists and follows one kind, or a part of one ([`resource`]); the collector ([`collect`]) is the
//! one task that knows which objects there are, takes out what is gone after a new list, fetches what is only read when
//! some object names it ([`referenced`]), and sends what is different in batches. It keeps names, never objects: those
//! are in the store.

mod collect;
mod referenced;
mod references;
mod resource;
mod source;
mod stats;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use routing::ObjectName;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::problem::Problem;
use crate::status::Meta;
use crate::store::{ObjectId, Update};
pub use references::{Reference, references};
pub use stats::Stats;

/// Events that wait for the collector; a watch that is told more waits with the rest in its socket.
const EVENTS_MAX: usize = 256;

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these namespaces, so that Roles suffice; empty: all of them, which takes a ClusterRole. What has no
    /// namespace is then read as far as the rights allow: without them there is no MoongateConfig, no cluster plugin,
    /// and of the classes only [`Self::fallback_class`].
    pub namespaces: Vec<String>,
    /// The labels of Namespaces are needed: there is a selector of namespaces, so the right to list them is, too.
    pub needs_namespaces: bool,
    /// The name and controller of the class that is ours where IngressClasses may not be read.
    pub fallback_class: Option<(String, String)>,
    /// A Secret that is read although no object names it: the default certificate of the command line.
    pub default_certificate: Option<ObjectName>,
}

/// What is different since the batch before.
#[derive(Debug, Default)]
pub struct Batch {
    /// For the store; at most one for an object.
    pub updates: Vec<Update>,
    /// Per watch, the resource version of its last object that changed: what the updates so far are made of.
    pub versions: BTreeMap<String, String>,
    /// Per watch, the resource version up to which all changes are known; never less than in `versions`.
    pub reached: BTreeMap<String, String>,
    /// The metadata of the objects that changed, of kinds that have a status of ours; none of those that are gone.
    pub metas: Vec<(ObjectId, Option<Meta>)>,
    /// The objects that cannot be read, or can be again. What they were before goes on being used.
    pub malformed: Vec<(ObjectId, Option<Problem>)>,
    /// When the first of the changes came from the API server.
    pub since: Option<Instant>,
    /// How many events it is made of.
    pub events: u64,
}

/// Why a watch does not work at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("it may not be read: {0}")]
    Forbidden(String),
    #[error("the API server does not know the kind")]
    NotInstalled,
    #[error("the API server has forgotten the last version; listing again")]
    Gone,
    #[error("the API server does not stream lists")]
    NotStreamed,
    #[error("the API server has older data than before, as after a restore; listing again")]
    FromTheFuture,
    #[error("the API server said nothing for too long")]
    Silent,
    #[error("refused: {0}")]
    Refused(String),
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the API server's answer cannot be understood: {0}")]
    Protocol(String),
    #[error("no one listens")]
    Closed,
}

impl Why {
    /// Whether a person has to do something before it can work.
    fn is_denied(&self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::NotInstalled)
    }
}

/// A client for the API server of the pod's ServiceAccount, or else of the kubeconfig.
pub async fn client() -> Result<Client, kube::Error> {
    let mut config = kube::Config::infer().await.map_err(kube::Error::InferConfig)?;
    // Watches have time-outs of their own; a server that does not even answer a connection has none.
    config.connect_timeout = Some(Duration::from_secs(10));
    Client::try_from(config)
}

/// Why a request to the API server did not work.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It is refused, or the API server cannot be reached.
    #[error("{0}")]
    Refused(Box<kube::Error>),
    /// 30 s are over.
    #[error("the API server does not answer")]
    Silent,
}

/// The answer to a single request of a command that runs once.
pub(crate) async fn answer<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
    let answer = tokio::time::timeout(Duration::from_secs(30), request).await.map_err(|_| Unanswered::Silent)?;
    answer.map_err(|e| Unanswered::Refused(Box::new(e)))
}

/// Watches, for as long as `out` has a receiver. The first batch comes when every kind has been listed and every object
/// that is fetched by name has been asked for; what fails is tried again for ever, and said in the log.
pub async fn watch(client: Client, scope: Scope, stats: Arc<Stats>, out: mpsc::Sender<Batch>) {
    let Some(streams) = streams_lists(&client, &out).await else { return };
    let (events, received) = mpsc::channel(EVENTS_MAX);
    let watched = resource::watched(&scope);
    info!(watches = watched.len(), streamed = streams, "watching the API server");
    collect::Collector::new(client, scope, watched, streams, stats, events).run(received, out).await;
}

/// Whether the server streams lists: from Kubernetes 1.32 on. An older one ignores that it is asked to, and would never
/// say that the list is complete. None: no one listens any more.
async fn streams_lists(client: &Client, out: &mpsc::Sender<Batch>) -> Option<bool> {
    const FIRST: (u32, u32) = (1, 32);
    let mut pause = Duration::from_millis(200);
    let mut told = false;
    loop {
        let asked = tokio::time::timeout(Duration::from_secs(10), client.apiserver_version()).await;
        let why = match asked.map(|answer| answer.map_err(Why::from)) {
            Ok(Ok(version)) => {
                let number = |text: &str| text.trim_end_matches('+').parse().unwrap_or(0);
                info!(version = version.git_version, "found the API server");
                return Some((number(&version.major), number(&version.minor)) >= FIRST);
            }
            Ok(Err(why)) => why,
            Err(_) => Why::Silent,
        };
        if !std::mem::replace(&mut told, true) {
            warn!("{why}; trying again");
        }
        tokio::select! {
            () = out.closed() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}
