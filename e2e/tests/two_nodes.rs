//! Two nodes, each of which may be drained: where Pods run, and that a balancer in front loses no request.
//!
//! Needs what `e2e/tests/cluster` needs.

#![forbid(unsafe_code)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "all of this is test code: a panic is the failure of a test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::Load;
use e2e::cluster::balancer::{Balancer, Checks, Target};
use e2e::cluster::bed::PATIENCE;
use e2e::cluster::release::{RELEASE, upgrade};
use e2e::cluster::site::{Site, ingress};
use e2e::cluster::{Cluster, NODE_ADDRESS, Options, tools};
use e2e::wait::until_slowly;
use serde_json::{Value, json};

/// A balancer needs up to eight seconds to notice, as those of clouds do: a data plane has to serve for as long.
const CHECKS: Checks = Checks { every: Duration::from_secs(4), failures: 2 };

const NODES: [&str; 2] = ["node1", "node2"];

/// The chart's own delay. With `externalTrafficPolicy: Local` a node fails its check as soon as its last data plane is
/// leaving, and by then the node that takes over may not know of its own yet.
const DRAIN: [&str; 2] = ["dataplane.drain.delaySeconds=15", "dataplane.drain.graceSeconds=30"];

fn site(namespace: &str) -> Option<Site> {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    if tools::is_barred() {
        return None;
    }
    let start = || Cluster::start(&Options { nodes: 2 }).unwrap_or_else(|e| panic!("no cluster: {e:?}"));
    Some(Site::alone_in(CLUSTER.get_or_init(start), namespace, &DRAIN))
}

/// The nodes that a component's Pods run on, one for each Pod.
fn nodes_of(site: &Site, namespace: &str, labels: &str) -> Vec<String> {
    let pods = site.list(namespace, "Pod", labels);
    pods.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect()
}

fn address(node: usize, port: u64) -> SocketAddr {
    format!("{}:{port}", NODE_ADDRESS[node]).parse().unwrap()
}

fn await_healthy(balancer: &Balancer, nodes: &[usize]) {
    until_slowly(PATIENCE, &format!("health of exactly {nodes:?}"), || match balancer.healthy() {
        found if found == nodes => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

/// Nodes may be used again, also when a test fails.
struct Cordoned<'a>(&'a Site, &'a str);

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        let _ = self.0.cluster.kubectl(&["uncordon", self.1]);
    }
}

fn drain<'a>(site: &'a Site, node: &'a str) -> Cordoned<'a> {
    let cordoned = Cordoned(site, node);
    let arguments = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=230s"];
    site.cluster.kubectl(&arguments).unwrap_or_else(|e| panic!("{e}"));
    cordoned
}

#[test]
fn a_node_is_drained_under_load() {
    let Some(site) = site("drained") else { return };
    site.backend("web", 2);
    // Whoever has backends says how many may be away; Moongate's chart says it of its own Pods.
    site.apply("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}");
    site.apply(&ingress("web", "drained.test", "web", ""));
    for component in ["controller", "dataplane"] {
        let nodes: BTreeSet<String> =
            nodes_of(&site, RELEASE, &format!("app.kubernetes.io/component={component}")).into_iter().collect();
        assert_eq!(nodes.len(), 2, "{component} is spread over both nodes: {nodes:?}");
    }
    let service = site.look(RELEASE, "Service", RELEASE).unwrap().unwrap();
    assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    let health = service["spec"]["healthCheckNodePort"].as_u64().unwrap();
    let target = |node| Target { traffic: address(node, port), health: address(node, health), path: "/healthz" };
    let balancer = Balancer::start(vec![target(0), target(1)], CHECKS).unwrap();
    await_healthy(&balancer, &[0, 1]);
    site.await_everywhere("drained.test", "/", 200);

    let load = Load::start(balancer.address, "drained.test", "/", 200);
    load.await_answers(100);
    for (node, name) in NODES.into_iter().enumerate() {
        // The second time both data planes are on the node that is drained: the budget lets one go at a time.
        let cordoned = drain(&site, name);
        let left = nodes_of(&site, RELEASE, "app.kubernetes.io/component=dataplane");
        assert!(left.iter().all(|on| on != name), "{name} is drained: {left:?}");
        site.await_release();
        await_healthy(&balancer, &[1 - node]);
        load.await_answers(100);
        drop(cordoned);
    }
    // A change still gets through.
    site.apply(&ingress("late", "late.drained.test", "web", ""));
    site.await_object("Ingress", "late", "with an address", |i| i["status"]["loadBalancer"]["ingress"].is_array());
    load.await_answers(100);
    site.assert_none_failed(load);
}

/// It serves for a while after it was told to end: what changes then counts for it, too.
#[test]
fn a_data_plane_that_ends_follows_what_changes() {
    let Some(site) = site("following") else { return };
    site.backend("web", 1);
    site.apply(&ingress("web", "following.test", "web", ""));
    site.await_everywhere("following.test", "/", 200);
    let pods = site.list(RELEASE, "Pod", "app.kubernetes.io/component=dataplane");
    let (name, ip) = (pods[0]["metadata"]["name"].as_str().unwrap(), pods[0]["status"]["podIP"].as_str().unwrap());
    let port = |port: u16| SocketAddr::new(ip.parse().unwrap(), port);
    let delete = ["-n", RELEASE, "delete", "pod", name, "--wait=false"];
    site.cluster.kubectl(&delete).unwrap_or_else(|e| panic!("{e}"));
    site.await_status_at(port(9090), "pod", "/ready", 503);
    site.await_status_at(port(9090), "pod", "/serving", 200);
    site.apply(&ingress("late", "late.following.test", "web", ""));
    // After its 15 seconds it accepts nothing.
    site.await_status_at(port(8080), "late.following.test", "/", 200);
    site.await_release();
}

/// A release with a data plane on each node, on the node's ports; it is as it was when this is dropped.
struct OnNodes<'a>(&'a Site);

const ON_NODES: [&str; 4] = [
    "dataplane.kind=DaemonSet",
    "dataplane.hostPort.enabled=true",
    "dataplane.hostPort.ports.metrics=9090",
    "controller.publishNodeAddresses=true",
];

impl<'a> OnNodes<'a> {
    fn new(site: &'a Site) -> Self {
        let own = Self(site);
        upgrade(site.cluster, RELEASE, &[&ON_NODES[..], &DRAIN].concat()).unwrap_or_else(|e| panic!("{e}"));
        own
    }
}

impl Drop for OnNodes<'_> {
    fn drop(&mut self) {
        let _ = upgrade(self.0.cluster, RELEASE, &DRAIN);
    }
}

fn daemons_rolled_out(object: &Value) -> bool {
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && ["currentNumberScheduled", "updatedNumberScheduled", "numberAvailable"].iter().all(|f| status[f] == 2)
}

#[test]
fn data_planes_on_the_nodes_ports_are_replaced_under_load() {
    let Some(site) = site("ports") else { return };
    let _on_nodes = OnNodes::new(&site);
    site.backend("web", 2);
    site.apply(&ingress("web", "ports.test", "web", ""));
    let await_daemons = |what: &str| {
        site.await_object_in(RELEASE, "DaemonSet", "moongate-dataplane", what, daemons_rolled_out);
    };
    await_daemons("on both nodes");
    let of_nodes = json!([{"ip": NODE_ADDRESS[0]}, {"ip": NODE_ADDRESS[1]}]);
    site.await_object("Ingress", "web", "with the nodes' addresses", |i| {
        i["status"]["loadBalancer"]["ingress"] == of_nodes
    });
    let target = |node| Target { traffic: address(node, 80), health: address(node, 9090), path: "/ready" };
    let balancer = Balancer::start(vec![target(0), target(1)], CHECKS).unwrap();
    await_healthy(&balancer, &[0, 1]);
    let load = Load::start(balancer.address, "ports.test", "/", 200);
    load.await_answers(100);
    let restart = ["-n", RELEASE, "rollout", "restart", "daemonset", "moongate-dataplane"];
    site.cluster.kubectl(&restart).unwrap_or_else(|e| panic!("{e}"));
    await_daemons("replaced on both nodes");
    await_healthy(&balancer, &[0, 1]);
    load.await_answers(100);
    site.assert_none_failed(load);
}
