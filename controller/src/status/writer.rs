//! Sends what the [`super::ledger`] says is due, while this controller leads.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::address::{self, Publish};
use super::events::{Telling, once_more};
use super::ledger::{Ledger, Now, Outcome, Write};
use super::metrics::Metrics;
use super::view::View;
use crate::publish::Planes;
use crate::store::{Kind, ObjectId};

/// Under this name the API server notes who wrote a field.
const MANAGER: &str = "moongate";
/// Requests at the same time: enough for the pace at 100 ms a request.
const AT_ONCE: usize = 16;
/// Writes a second, and how many of them may come at once. The API server gives one client that much without its
/// fairness queues showing it, and a thousand Ingresses have their address after ten seconds.
const PACE: (u32, u32) = (100, 100);
/// How long a request may take. A hung one must not hold a place for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Data planes confirm key by key: what they say is looked at this often.
const PLANES_EVERY: Duration = Duration::from_millis(200);
/// Labels in which pods of one Deployment differ.
const OF_REVISION: [&str; 3] = ["pod-template-hash", "controller-revision-hash", "pod-template-generation"];
/// How long to wait before asking again whether this is a pod.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// On the way out, for taking all addresses out.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(20);

/// What the release says about statuses.
#[derive(Clone, Debug)]
pub struct Options {
    /// What Ingresses publish.
    pub publish: Publish,
    /// Whether [`StatusWriter::close`] takes the addresses out again.
    pub clear_on_exit: bool,
    /// What Events name as their reporter: our `spec.controller` of IngressClasses.
    pub controller: String,
    /// The name of our pod, which Events name; at most 128 characters count.
    pub instance: String,
    /// Its namespace.
    pub namespace: String,
}

/// Writes statuses and Events from a task of its own.
#[derive(Debug)]
pub struct StatusWriter {
    shared: Arc<Shared>,
    sender: Sender,
    task: JoinHandle<()>,
    address: JoinHandle<()>,
    clear_on_exit: Option<Clearing>,
}

/// What is needed to take the addresses out on the way out.
#[derive(Debug)]
struct Clearing {
    /// Whether this is a pod of the cluster; none: not known yet.
    is_pod: watch::Receiver<Option<bool>>,
    asking: JoinHandle<()>,
}

/// Why it cannot be told whether other controllers run.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("our own pod was deleted already, and another one may come in its place")]
    Deleted,
    #[error(transparent)]
    Api(#[from] kube::Error),
}

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    wake: Notify,
    leading: watch::Sender<bool>,
}

impl StatusWriter {
    /// Starts the task; it writes nothing until it is told to [lead](Self::lead).
    pub fn spawn(client: Client, options: Options, planes: watch::Receiver<Arc<Planes>>, metrics: Metrics) -> Self {
        let shared =
            Arc::new(Shared { ledger: Mutex::default(), wake: Notify::new(), leading: watch::Sender::new(false) });
        let (out, addresses) = watch::channel(None);
        let address = tokio::spawn(address::follow(client.clone(), options.publish, planes.clone(), out));
        let instance = options.instance.chars().take(128).collect();
        let sender = Sender { client, controller: options.controller, instance, namespace: options.namespace, metrics };
        let task = tokio::spawn(run(shared.clone(), sender.clone(), planes, addresses));
        let clear_on_exit = options.clear_on_exit.then(|| {
            let (out, is_pod) = watch::channel(None);
            Clearing { is_pod, asking: tokio::spawn(sender.clone().ask_for_pod(out)) }
        });
        Self { shared, sender, task, address, clear_on_exit }
    }

    /// Takes over what is different after a step of the translation. Cheap: the writes come later.
    pub fn observe(&self, view: View) {
        self.shared.ledger().observe(view, now());
        self.shared.wake.notify_one();
    }

    /// Whether this controller leads. Once it does not, nothing more is sent, and what is under way is given up.
    pub fn lead(&self, is_leading: bool) {
        self.shared.ledger().lead(is_leading, now());
        self.shared.leading.send_replace(is_leading);
        self.shared.wake.notify_one();
    }

    /// Ends the task. If the options say so, this controller leads and there is no other that could take over, Ingresses
    /// lose their address, all within 20 s. They keep it where that cannot be told, as when our pod was deleted with force.
    pub async fn close(&self) {
        self.task.abort();
        self.address.abort();
        let Some(clearing) = &self.clear_on_exit else { return };
        let is_leading = *self.shared.leading.borrow();
        if is_leading && tokio::time::timeout(CLEAR_TIMEOUT, self.clear(clearing)).await.is_err() {
            tracing::warn!("not all Ingress statuses could be cleared in 20 s");
        }
    }

    async fn clear(&self, clearing: &Clearing) {
        match self.sender.has_peers(clearing.is_pod.clone()).await {
            Ok(false) => {}
            Ok(true) => return,
            Err(e) => {
                tracing::warn!(error = %e, "it cannot be told whether other controllers run, so addresses stay");
                return;
            }
        }
        let writes = self.shared.ledger().clear();
        let count = writes.len();
        let send = |write| async move {
            self.sender.send(&write).await;
        };
        stream::iter(writes).for_each_concurrent(AT_ONCE, send).await;
        tracing::info!(ingresses = count, "took our addresses out of Ingress statuses");
    }
}

impl Drop for StatusWriter {
    fn drop(&mut self) {
        self.task.abort();
        self.address.abort();
        if let Some(clearing) = &self.clear_on_exit {
            clearing.asking.abort();
        }
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // The ledger's methods leave it whole whatever happens.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Now {
    Now { at: Instant::now(), wall: Timestamp::now() }
}

/// Sends writes at their pace, and hears what else happens meanwhile.
async fn run(
    shared: Arc<Shared>,
    sender: Sender,
    mut planes: watch::Receiver<Arc<Planes>>,
    mut addresses: watch::Receiver<address::Found>,
) {
    let mut leading = shared.leading.subscribe();
    let mut pace = Pace::default();
    let mut flights = FuturesUnordered::new();
    let mut planes_at = Instant::now();
    loop {
        let room = pace.room(Instant::now()).min(AT_ONCE.saturating_sub(flights.len()));
        let writes = shared.ledger().due(now(), room);
        pace.take(writes.len(), Instant::now());
        flights.extend(writes.into_iter().map(|write| sender.flight(write)));
        let next = shared.ledger().next_due();
        let wait = match (next, flights.len() < AT_ONCE) {
            (Some(due), true) => due.max(pace.free_at()),
            // A flight that lands makes room, and what is waited for is far away then.
            _ => Instant::now() + Duration::from_secs(3600),
        };
        tokio::select! {
            biased;
            changed = leading.changed() => {
                // The sender is in `shared`, which is ours as well.
                if changed.is_err() || !*leading.borrow_and_update() {
                    flights = FuturesUnordered::new();
                }
            }
            Some((write, outcome)) = flights.next(), if !flights.is_empty() => {
                shared.ledger().done(write, outcome, now());
            }
            Ok(()) = changed_after(&mut planes, planes_at) => {
                planes_at = Instant::now() + PLANES_EVERY;
                let planes = planes.borrow_and_update().clone();
                shared.ledger().planes(&planes, now());
            }
            Ok(()) = addresses.changed() => {
                let address = addresses.borrow_and_update().clone();
                shared.ledger().address(address, now());
            }
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(wait.into()) => {}
        }
    }
}

/// A change, though not before a time.
async fn changed_after<T>(seen: &mut watch::Receiver<T>, at: Instant) -> Result<(), watch::error::RecvError> {
    tokio::time::sleep_until(at.into()).await;
    seen.changed().await
}

/// How fast writes go out.
#[derive(Debug)]
struct Pace {
    /// When the burst will be all there again.
    full_at: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { full_at: Instant::now() }
    }
}

impl Pace {
    const EACH: Duration = Duration::from_nanos(1_000_000_000 / PACE.0 as u64);

    /// How many may go now.
    fn room(&self, now: Instant) -> usize {
        let used = self.full_at.saturating_duration_since(now);
        let free = (Self::EACH * PACE.1).saturating_sub(used);
        (free.as_nanos() / Self::EACH.as_nanos()) as usize
    }

    fn take(&mut self, count: usize, now: Instant) {
        self.full_at = self.full_at.max(now) + Self::EACH * u32::try_from(count).unwrap_or(u32::MAX);
    }

    /// When there is room for one.
    fn free_at(&self) -> Instant {
        let all_but_one = Self::EACH * (PACE.1 - 1);
        self.full_at.checked_sub(all_but_one).unwrap_or(self.full_at)
    }
}

/// Speaks to the API server.
#[derive(Clone)]
struct Sender {
    client: Client,
    controller: String,
    instance: String,
    namespace: String,
    metrics: Metrics,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Sender {
    /// A write on its way, and what the ledger hears of it.
    fn flight(&self, write: Write) -> impl Future<Output = (Write, Outcome)> + Send + 'static {
        let sender = self.clone();
        async move {
            let outcome = sender.send(&write).await;
            (write, outcome)
        }
    }

    async fn send(&self, write: &Write) -> Outcome {
        let (what, id) = match write {
            Write::Status { id, .. } => ("status", id),
            Write::Event(telling) => ("event", &telling.id),
        };
        let sent = async {
            match write {
                Write::Status { id, uid, status } => self.write(id, &status.patch(uid)).await,
                Write::Event(telling) => self.tell(telling).await.map(|()| String::new()),
            }
        };
        let outcome = match tokio::time::timeout(REQUEST_TIMEOUT, sent).await {
            Ok(Ok(version)) => Outcome::Written(version),
            // The object is gone, or one of the same name has come in its place.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Outcome::Gone,
            Ok(Err(e)) => {
                tracing::warn!(object = %id.reference(), error = %e, "the {what} could not be written; trying again");
                Outcome::Failed
            }
            Err(_) => {
                tracing::warn!(object = %id.reference(), "the {what} was not written within 15 s; trying again");
                Outcome::Failed
            }
        };
        self.metrics.sent(what, &outcome);
        outcome
    }

    /// Patches an object's status; its resourceVersion then.
    async fn write(&self, id: &ObjectId, patch: &serde_json::Value) -> Result<String, kube::Error> {
        let resource = resource(id.kind);
        let api: Api<DynamicObject> = match id.kind.is_cluster_scoped() {
            true => Api::all_with(self.client.clone(), &resource),
            false => Api::namespaced_with(self.client.clone(), &id.name.namespace, &resource),
        };
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let written = api.patch_status(&id.name.name, &params, &Patch::Merge(patch)).await?;
        Ok(written.resource_version().unwrap_or_default())
    }

    /// Our pod; none: there is none of that name.
    async fn pod(&self) -> Result<Option<Pod>, kube::Error> {
        Api::namespaced(self.client.clone(), &self.namespace).get_opt(&self.instance).await
    }

    /// Learns whether this is a pod, while that can be told: on the way out its object may be gone already.
    async fn ask_for_pod(self, out: watch::Sender<Option<bool>>) {
        loop {
            match tokio::time::timeout(REQUEST_TIMEOUT, self.pod()).await {
                Ok(Ok(pod)) => {
                    out.send_replace(Some(pod.is_some()));
                    return;
                }
                Ok(Err(_)) | Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// Whether another pod of our Deployment runs: one with our labels, but for those of the revision.
    async fn has_peers(&self, mut is_pod: watch::Receiver<Option<bool>>) -> Result<bool, Untold> {
        let Some(own) = self.pod().await? else {
            // Outside of a cluster there never was such a pod, and there is nobody else. Deleting one with force takes its
            // object away before the process is told to end.
            return match is_pod.wait_for(Option::is_some).await {
                Ok(known) if *known == Some(false) => Ok(false),
                _ => Err(Untold::Deleted),
            };
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let labels = own.labels().iter().filter(|(name, _)| !OF_REVISION.contains(&name.as_str()));
        let selector: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        if selector.is_empty() {
            return Ok(false);
        }
        let alike = api.list(&ListParams::default().labels(&selector.join(","))).await?;
        let stays = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && matches!(phase, Some("Running" | "Pending"))
        };
        Ok(alike.iter().any(|pod| pod.name_any() != self.instance && stays(pod)))
    }

    /// Makes an Event, or says of the one that is there that it has happened again.
    async fn tell(&self, telling: &Telling) -> Result<(), kube::Error> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), telling.namespace());
        let event = telling.event(&self.controller, &self.instance, Timestamp::now());
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        match api.create(&params, &event).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => return other.map(drop),
        }
        let known = api.get(&telling.name).await?;
        let patch = Patch::Merge(once_more(&known, Timestamp::now()));
        api.patch(&telling.name, &PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() }, &patch)
            .await
            .map(drop)
    }
}

fn resource(kind: Kind) -> ApiResource {
    let version = Kind::ALL.iter().find(|(k, ..)| *k == kind).map_or("", |(.., version)| version);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.name()))
}
