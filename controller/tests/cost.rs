//! What a change costs: the keys that are derived for it, among a thousand Ingresses that share a host.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use controller::Translator;
use controller::store::{Object, Update, convert};
use controller::translate::Options;
use serde_json::{Value, json};

const INGRESSES: usize = 1_000;

fn ingress(number: usize, service: &str) -> Object {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let path = json!({"path": format!("/{number}"), "pathType": "Prefix", "backend": backend});
    convert::ingress(typed(json!({
        "metadata": {"namespace": "shop", "name": format!("ingress-{number}")},
        "spec": {"ingressClassName": "ours", "rules": [{"host": "shop.example.com", "http": {"paths": [path]}}]},
    })))
}

fn slice(last: usize) -> Object {
    convert::endpoint_slice(typed(json!({
        "metadata": {"namespace": "shop", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": [format!("10.0.0.{last}")]}],
    })))
}

fn service(name: &str) -> Object {
    convert::service(typed(json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"ports": [{"port": 80}]}})))
}

fn typed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn thousand() -> Translator {
    let mut translator = Translator::new(Options::default());
    let class = json!({"metadata": {"name": "ours"}, "spec": {"controller": "moongate.dev/ingress-controller"}});
    let mut objects = vec![convert::ingress_class(typed(class)), service("web"), service("api"), slice(1)];
    objects.extend((0..INGRESSES).map(|number| ingress(number, "web")));
    let step = translator.change(objects.into_iter().map(Update::Apply));
    assert!(step.changes.len() > INGRESSES);
    translator
}

#[test]
fn a_change_derives_what_it_touches() {
    let mut translator = thousand();
    let mut check = |what: &str, object: Object, derived: usize, changed: &[&str]| {
        let step = translator.change([Update::Apply(object)]);
        let keys: Vec<String> = step.changes.iter().map(|change| change.key().to_string()).collect();
        assert_eq!(
            (step.derived, keys.as_slice()),
            (derived, &*changed.iter().map(|s| s.to_string()).collect::<Vec<_>>()),
            "{what}"
        );
    };
    check("an endpoint moves", slice(2), 1, &["endpoints shop/web:80"]);
    check("the same again", slice(2), 0, &[]);
    let upstream = ["route shop.example.com/7 (Prefix)", "upstream shop/api:80", "endpoints shop/api:80"];
    check("a path's backend changes to a new one: with its upstream and endpoints", ingress(7, "api"), 3, &upstream);
    check(
        "a path's backend changes to one that is there",
        ingress(8, "api"),
        1,
        &["route shop.example.com/8 (Prefix)"],
    );
    // The host is looked at too: it has one more Ingress, which changes nothing.
    check("an Ingress comes", ingress(INGRESSES, "web"), 2, &["route shop.example.com/1000 (Prefix)"]);
}

#[test]
fn a_binding_to_a_class_changes_no_route() {
    let mut translator = thousand();
    let plugin = json!({"metadata": {"name": "p"}, "spec": {"phases": {"access": "return"}}});
    let binding = json!({
        "metadata": {"name": "b"},
        "spec": {"pluginRef": {"name": "p"}, "targetRefs": [{"kind": "IngressClass", "name": "ours"}]},
    });
    let objects = [convert::cluster_lua_plugin(typed(plugin)), convert::cluster_lua_plugin_binding(typed(binding))];
    let step = translator.change(objects.map(Update::Apply));
    let sections: Vec<&str> = step.changes.iter().map(|change| change.key().section()).collect();
    assert_eq!(sections, ["chain", "binding", "plugin", "script"]);
    // The chain twice: before and after its plugin and binding are there. And the settings, for `serverRewrite`.
    assert!(step.derived <= 8, "{} keys were derived", step.derived);
}
