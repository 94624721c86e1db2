//! Which connections the NetworkPolicies among rendered objects allow: nothing in the tests' cluster enforces them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

type Labels = BTreeMap<String, String>;

/// Who connects, or is connected to.
#[derive(Clone, Debug)]
pub enum End {
    /// A Pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its labels.
        labels: Labels,
    },
    /// What is no Pod, or has the node's network.
    Address(Ipv4Addr),
}

/// A port of a Pod: its name and number.
pub type Port<'a> = (&'a str, i32);

impl End {
    /// A Pod with these labels.
    pub fn pod(namespace: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::Pod { namespace: namespace.to_owned(), labels }
    }

    /// A Pod of an object that makes Pods, or that is one.
    pub fn of(object: &Value) -> Self {
        let template = object.pointer("/spec/template/metadata").unwrap_or(&object["metadata"]);
        let labels = serde_json::from_value(template["labels"].clone()).unwrap_or_default();
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        Self::Pod { namespace: namespace.to_owned(), labels }
    }
}

/// Whether `from` may connect to a port of `to`, by what both ends' policies say.
pub fn allows(objects: &[Value], from: &End, to: &End, port: Port<'_>) -> bool {
    let policies: Vec<(String, NetworkPolicySpec)> = objects.iter().filter_map(policy).collect();
    let in_place = |end: &End, direction: &str| -> Vec<&(String, NetworkPolicySpec)> {
        let End::Pod { namespace, labels } = end else { return Vec::new() };
        let selects = |(of, spec): &&(String, NetworkPolicySpec)| {
            let selector = spec.pod_selector.as_ref();
            of == namespace
                && selector.is_none_or(|s| matches(s, labels))
                && spec.policy_types.iter().flatten().any(|t| t == direction)
        };
        policies.iter().filter(selects).collect()
    };
    let into = in_place(to, "Ingress");
    let lets_in = |(namespace, spec): &(String, NetworkPolicySpec)| {
        spec.ingress
            .iter()
            .flatten()
            .any(|rule| is_port(rule.ports.as_deref(), port) && is_peer(rule.from.as_deref(), from, namespace))
    };
    let out_of = in_place(from, "Egress");
    let lets_out = |(namespace, spec): &(String, NetworkPolicySpec)| {
        spec.egress
            .iter()
            .flatten()
            .any(|rule| is_port(rule.ports.as_deref(), port) && is_peer(rule.to.as_deref(), to, namespace))
    };
    (into.is_empty() || into.into_iter().any(lets_in)) && (out_of.is_empty() || out_of.into_iter().any(lets_out))
}

fn policy(object: &Value) -> Option<(String, NetworkPolicySpec)> {
    if object["kind"] != "NetworkPolicy" {
        return None;
    }
    let policy: NetworkPolicy = serde_json::from_value(object.clone()).expect("the render is of its type");
    Some((policy.metadata.namespace?, policy.spec?))
}

fn is_port(ports: Option<&[NetworkPolicyPort]>, (name, number): Port<'_>) -> bool {
    let is_it = |port: &NetworkPolicyPort| {
        port.protocol.as_deref().unwrap_or("TCP") == "TCP"
            && match &port.port {
                None => true,
                Some(IntOrString::String(wanted)) => wanted == name,
                Some(IntOrString::Int(wanted)) => *wanted == number,
            }
    };
    ports.is_none_or(|ports| ports.is_empty() || ports.iter().any(is_it))
}

fn is_peer(peers: Option<&[NetworkPolicyPeer]>, end: &End, namespace: &str) -> bool {
    let is_it = |peer: &NetworkPolicyPeer| match (end, &peer.ip_block) {
        (End::Address(address), Some(block)) => {
            let except = block.except.iter().flatten().any(|range| contains(range, *address));
            contains(&block.cidr, *address) && !except
        }
        (End::Pod { namespace: of, labels }, None) => {
            let own = Labels::from([("kubernetes.io/metadata.name".to_owned(), of.clone())]);
            let is_of = peer.namespace_selector.as_ref().map_or(of == namespace, |s| matches(s, &own));
            is_of && peer.pod_selector.as_ref().is_none_or(|s| matches(s, labels))
        }
        _ => false,
    };
    peers.is_none_or(|peers| peers.is_empty() || peers.iter().any(is_it))
}

fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    assert!(
        selector.match_expressions.as_ref().is_none_or(Vec::is_empty),
        "the chart has no expressions: {selector:?}"
    );
    selector.match_labels.iter().flatten().all(|(name, value)| labels.get(name) == Some(value))
}

fn contains(range: &str, address: Ipv4Addr) -> bool {
    let (network, bits) = range.split_once('/').expect("a range has a length");
    let network: Ipv4Addr = network.parse().expect("a range begins with an address");
    let bits: u32 = bits.parse().expect("a length is a number");
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(network) & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{End, allows};

    fn policy(spec: Value) -> Vec<Value> {
        let meta = json!({"name": "p", "namespace": "n"});
        vec![json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec})]
    }

    #[test]
    fn policies_allow_what_one_of_them_names_and_nothing_else() {
        let (own, same, other) =
            (End::pod("n", &[("a", "own")]), End::pod("n", &[("a", "peer")]), End::pod("m", &[("a", "peer")]));
        let (inside, outside) = ("10.1.2.3".parse().unwrap(), "10.2.0.1".parse().unwrap());
        let select = json!({"matchLabels": {"a": "own"}});
        let peers = json!([{"podSelector": {"matchLabels": {"a": "peer"}}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"]}}]);
        let objects = policy(json!({"podSelector": select, "policyTypes": ["Ingress"], "ingress": [
            {"ports": [{"port": "web"}], "from": peers}, {"ports": [{"port": 9}]}]}));
        let check =
            |from: &End, port, wished| assert_eq!(allows(&objects, from, &own, port), wished, "{from:?} {port:?}");
        check(&same, ("web", 1), true);
        check(&other, ("web", 1), false);
        check(&End::Address(inside), ("web", 1), true);
        check(&End::Address(outside), ("web", 1), false);
        check(&other, ("nine", 9), true);
        check(&same, ("else", 2), false);
        assert!(allows(&objects, &own, &same, ("else", 2)), "nothing selects the other Pod");
        let objects = policy(json!({"podSelector": select, "policyTypes": ["Egress"], "egress": [
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "m"}}}]}]}));
        assert!(allows(&objects, &own, &other, ("web", 1)) && !allows(&objects, &own, &same, ("web", 1)));
    }
}
