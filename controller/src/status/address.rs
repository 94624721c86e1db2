//! Where clients reach the data planes: what an Ingress's `status.loadBalancer` says.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::networking::v1::IngressLoadBalancerIngress;
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use routing::ObjectName;
use tokio::sync::watch;

use crate::publish::Planes;

/// Nodes come and go rarely, and a node's address that is a minute old is no worse than the node's own news.
const NODES_EVERY: Duration = Duration::from_secs(30);
/// Every Ingress is written when the data planes are others, and at a start or a takeover they come one by one. One that
/// has lost its controller tries again at least every 10 s: once none has come or gone for so long, all are there.
const SETTLE: Duration = Duration::from_secs(10);
/// Data planes that come and go all the time are taken as they are after so long.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Pods that are asked for their node at once.
const PODS_AT_ONCE: usize = 8;
/// The longest status: clients use the first entries.
const ADDRESSES_MAX: usize = 64;

/// What Ingresses publish as their address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Nothing: their status is left alone.
    Nothing,
    /// The addresses of a Service, `--publish-service`.
    Service(ObjectName),
    /// Given ones, `--publish-address`: IP addresses or host names.
    Addresses(Vec<String>),
    /// Those of the nodes that data planes run on, or of all nodes where that cannot be told. While no data plane is
    /// connected, nobody knows better than what is published already, so that stays.
    Nodes,
}

/// An address as a status says it.
fn entry(address: &str) -> IngressLoadBalancerIngress {
    match address.parse::<IpAddr>() {
        Ok(_) => IngressLoadBalancerIngress { ip: Some(address.into()), ..Default::default() },
        Err(_) => IngressLoadBalancerIngress { hostname: Some(address.into()), ..Default::default() },
    }
}

/// Each address once, in the order in which they come first.
fn entries<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Vec<IngressLoadBalancerIngress> {
    let mut seen = BTreeSet::new();
    addresses.into_iter().filter(|a| !a.is_empty() && seen.insert(*a)).take(ADDRESSES_MAX).map(entry).collect()
}

/// The addresses of a Service: what its load balancer has been given, then its external IPs; of a Service without a
/// load balancer those, else its cluster IP. As ingress-nginx's `--publish-service`.
pub fn of_service(service: &Service) -> Vec<IngressLoadBalancerIngress> {
    let spec = service.spec.clone().unwrap_or_default();
    let external = spec.external_ips.unwrap_or_default();
    let given = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|b| b.ingress.as_ref());
    let given = given.into_iter().flatten().filter_map(|i| i.ip.as_deref().or(i.hostname.as_deref()));
    let external = external.iter().map(String::as_str);
    match spec.type_.as_deref().unwrap_or("ClusterIP") {
        "ExternalName" => entries(spec.external_name.as_deref()),
        "LoadBalancer" => entries(given.chain(external)),
        _ => {
            let found = entries(external);
            let own = spec.cluster_ip.as_deref().filter(|ip| *ip != "None");
            if found.is_empty() { entries(own) } else { found }
        }
    }
}

/// The addresses of nodes, by name of the node: the external ones where it has any, else the internal ones. `names`
/// says which nodes; when none of them is there, all count.
pub fn of_nodes(nodes: &[Node], names: &BTreeSet<String>) -> Vec<IngressLoadBalancerIngress> {
    let mut chosen: Vec<&Node> = nodes.iter().filter(|node| names.contains(&node.name_any())).collect();
    if chosen.is_empty() {
        chosen = nodes.iter().collect();
    }
    chosen.sort_by_key(|node| node.name_any());
    let of_type = |node: &'_ Node, wanted: &str| -> Vec<String> {
        let addresses = node.status.as_ref().and_then(|s| s.addresses.clone()).unwrap_or_default();
        addresses.into_iter().filter(|a| a.type_ == wanted).map(|a| a.address).collect()
    };
    let addresses = chosen.into_iter().flat_map(|node| match of_type(node, "ExternalIP") {
        external if external.is_empty() => of_type(node, "InternalIP"),
        external => external,
    });
    let addresses: Vec<String> = addresses.collect();
    entries(addresses.iter().map(String::as_str))
}

/// The addresses; none: not known yet.
pub(super) type Found = Option<Vec<IngressLoadBalancerIngress>>;

/// Keeps `out` at the addresses that are to be published, until nobody listens.
pub(super) async fn follow(
    client: Client,
    publish: Publish,
    planes: watch::Receiver<std::sync::Arc<Planes>>,
    out: watch::Sender<Found>,
) {
    match publish {
        Publish::Nothing => {}
        Publish::Addresses(given) => {
            out.send_replace(Some(entries(given.iter().map(String::as_str))));
        }
        Publish::Service(name) => follow_service(client, name, out).await,
        Publish::Nodes => follow_nodes(client, planes, out).await,
    }
}

async fn follow_service(client: Client, name: ObjectName, out: watch::Sender<Found>) {
    let api: Api<Service> = Api::namespaced(client, &name.namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={}", name.name));
    let mut seen = std::pin::pin!(watcher(api, only).default_backoff());
    let mut is_told = false;
    let mut is_there = false;
    while let Some(event) = tokio::select! {
        event = seen.next() => event,
        () = out.closed() => None,
    } {
        match event {
            Ok(watcher::Event::Apply(service) | watcher::Event::InitApply(service)) => {
                (is_told, is_there) = (false, true);
                out.send_replace(Some(of_service(&service)));
            }
            Ok(watcher::Event::Init) => is_there = false,
            // Reinstalled or renamed: what Ingresses say stays until it is known what is true.
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) if !is_there && !is_told => {
                is_told = true;
                tracing::warn!(service = %name, "there is no such Service to publish; Ingress statuses stay as they are");
            }
            Ok(watcher::Event::InitDone) => {}
            Ok(watcher::Event::Delete(_)) => is_there = false,
            Err(e) if !is_told => {
                is_told = true;
                tracing::warn!(service = %name, error = %e, "the Service to publish cannot be watched; trying on");
            }
            Err(_) => {}
        }
    }
}

async fn follow_nodes(client: Client, mut planes: watch::Receiver<std::sync::Arc<Planes>>, out: watch::Sender<Found>) {
    let mut looks = Looks::default();
    loop {
        let pods = planes.borrow_and_update().planes.values().map(|p| p.peer.to_string()).collect();
        looks.see(pods, Instant::now());
        let due = looks.due();
        tokio::select! {
            changed = planes.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = out.closed() => return,
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
        }
        match nodes(&client, looks.look(Instant::now())).await {
            // Without a node there is no cluster: that is no answer.
            Ok(found) if found.is_empty() => {}
            Ok(found) => _ = out.send_replace(Some(found)),
            Err(e) => {
                tracing::warn!(error = %e, "data planes' nodes cannot be told, so Ingress statuses stay as they are")
            }
        }
    }
}

/// Which data planes there are, and when their nodes are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pods: BTreeSet<String>,
    due: Option<Instant>,
    /// Since when they are others than at the last look.
    changing: Option<Instant>,
}

impl Looks {
    /// Takes over which pods are connected.
    pub(super) fn see(&mut self, pods: BTreeSet<String>, now: Instant) {
        if pods == self.pods {
            return;
        }
        self.pods = pods;
        if self.pods.is_empty() {
            // Cut off from them, most likely, while requests go on; or there are none to send clients to.
            (self.due, self.changing) = (None, None);
            return;
        }
        let since = *self.changing.get_or_insert(now);
        self.due = Some((now + SETTLE).min(since + SETTLE_MAX));
    }

    /// When there is something to look at; never while no data plane is connected.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The pods to look at, now that it is time.
    pub(super) fn look(&mut self, now: Instant) -> &BTreeSet<String> {
        (self.due, self.changing) = (Some(now + NODES_EVERY), None);
        &self.pods
    }
}

/// The addresses of the nodes of these pods; none if all of the pods are gone.
async fn nodes(client: &Client, pods: &BTreeSet<String>) -> Result<Vec<IngressLoadBalancerIngress>, kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await?.items;
    let node_of = |pod: String| async move {
        let (namespace, name) = pod.split_once('/').unwrap_or_default();
        match Api::<Pod>::namespaced(client.clone(), namespace).get_opt(name).await {
            Ok(found) => Ok(found.map(|pod| pod.spec.and_then(|spec| spec.node_name))),
            // In a namespace that the release gives no right to look into.
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Some(None)),
            Err(e) => Err(e),
        }
    };
    let found = stream::iter(pods.clone()).map(node_of).buffer_unordered(PODS_AT_ONCE);
    let found: Vec<Option<Option<String>>> = found.try_collect().await?;
    let there: Vec<Option<String>> = found.into_iter().flatten().collect();
    if there.is_empty() {
        return Ok(Vec::new());
    }
    Ok(of_nodes(&nodes, &there.into_iter().flatten().collect()))
}
