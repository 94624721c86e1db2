//! What is published as the address.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use serde_json::{Value, json};

use crate::status::address::Looks;
use crate::status::{of_nodes, of_service};

/// Addresses as a status writes them.
fn written(addresses: impl serde::Serialize) -> Value {
    serde_json::to_value(addresses).unwrap()
}

#[test]
fn a_service_publishes_what_its_type_has() {
    let check = |spec: Value, given: Value, expected: Value| {
        let service: Service =
            serde_json::from_value(json!({"spec": spec, "status": {"loadBalancer": {"ingress": given}}})).unwrap();
        assert_eq!(written(of_service(&service)), expected, "{spec}");
    };
    let none = json!([]);
    check(json!({"type": "LoadBalancer"}), none.clone(), none.clone());
    let given = json!([{"hostname": "lb.example", "ports": [{"port": 80, "protocol": "TCP"}]}, {"ip": "192.0.2.1"}]);
    check(json!({"type": "LoadBalancer"}), given.clone(), json!([{"hostname": "lb.example"}, {"ip": "192.0.2.1"}]));
    let external = json!({"type": "LoadBalancer", "externalIPs": ["192.0.2.1", "2001:db8::1"]});
    check(external, given, json!([{"hostname": "lb.example"}, {"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]));
    check(json!({"type": "ClusterIP", "clusterIP": "10.0.0.1"}), none.clone(), json!([{"ip": "10.0.0.1"}]));
    check(json!({"clusterIP": "None"}), none.clone(), none.clone());
    let node_port = json!({"type": "NodePort", "clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.7"]});
    check(node_port, none.clone(), json!([{"ip": "192.0.2.7"}]));
    let elsewhere = json!({"type": "ExternalName", "externalName": "lb.example"});
    check(elsewhere, none.clone(), json!([{"hostname": "lb.example"}]));
}

#[test]
fn nodes_publish_their_external_addresses_or_else_the_internal_ones() {
    let node = |name: &str, addresses: Value| -> Node {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {"addresses": addresses}})).unwrap()
    };
    let nodes = [
        node("b", json!([{"type": "InternalIP", "address": "10.0.0.2"}, {"type": "Hostname", "address": "b"}])),
        node(
            "a",
            json!([{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "192.0.2.1"}]),
        ),
    ];
    let check = |names: &[&str], expected: Value| {
        let names: BTreeSet<String> = names.iter().map(|n| n.to_string()).collect();
        assert_eq!(written(of_nodes(&nodes, &names)), expected, "{names:?}");
    };
    check(&["b"], json!([{"ip": "10.0.0.2"}]));
    check(&["a", "b"], json!([{"ip": "192.0.2.1"}, {"ip": "10.0.0.2"}]));
    check(&[], json!([{"ip": "192.0.2.1"}, {"ip": "10.0.0.2"}]));
    check(&["gone"], json!([{"ip": "192.0.2.1"}, {"ip": "10.0.0.2"}]));
}

#[test]
fn nodes_are_looked_at_once_the_data_planes_have_settled() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let pods = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<String>>();
    let mut looks = Looks::default();
    looks.see(pods(&[]), at(0));
    assert_eq!(looks.due(), None, "no data plane is known yet");
    // They come one by one.
    looks.see(pods(&["a"]), at(100));
    looks.see(pods(&["a", "b"]), at(104));
    looks.see(pods(&["a", "b"]), at(107));
    assert_eq!(looks.due(), Some(at(114)));
    assert_eq!(*looks.look(at(114)), pods(&["a", "b"]));
    assert_eq!(looks.due(), Some(at(144)), "nodes come and go as well");
    // Cut off from one after the other: what the last look found stays.
    looks.see(pods(&["b"]), at(120));
    looks.see(pods(&[]), at(121));
    assert_eq!(looks.due(), None);
    looks.see(pods(&["b"]), at(500));
    assert_eq!(looks.due(), Some(at(510)));
    // What changes all the time is not put off for ever.
    for second in 501..560 {
        looks.see(pods(&[if second % 2 == 0 { "b" } else { "c" }]), at(second));
    }
    assert_eq!(looks.due(), Some(at(560)));
}
