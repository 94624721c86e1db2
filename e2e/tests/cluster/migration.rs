//! Beside ingress-nginx: its Ingresses are served, and their status stays its own until they are moved.

use e2e::cluster::site::{Site, ingress};
use serde_json::{Value, json};

const THEIRS: &str = "192.0.2.55";

fn class(controller: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: nginx}}\nspec: {{controller: {controller}}}"
    )
}

fn of_nginx(name: &str, host: &str) -> String {
    ingress(name, host, "web", "").replace("ingressClassName: moongate", "ingressClassName: nginx")
}

/// What ingress-nginx does.
fn publish_theirs(site: &Site, name: &str) {
    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": THEIRS}]}}}).to_string();
    site.kubectl(&["patch", "ingress", name, "--subresource=status", "--type=merge", "-p", &patch]);
}

fn address(ingress: &Value) -> &Value {
    &ingress["status"]["loadBalancer"]["ingress"]
}

fn assert_untouched(site: &Site, name: &str) {
    let object = site.get("Ingress", name).unwrap();
    assert_eq!(address(&object), &json!([{"ip": THEIRS}]));
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().all(|field| field["manager"] != "moongate"), "{managers:?}");
}

/// An Ingress of ours that got its status: one of the same moment as others would have got it by then.
fn await_written(site: &Site, name: &str) {
    site.apply(&ingress(name, &format!("{name}.migration.test"), "web", ""));
    site.await_object("Ingress", name, "with our address", |i| address(i)[0]["ip"] == site.address.ip().to_string());
}

#[test]
fn ingresses_of_nginx_move_one_by_one_under_load() {
    let Some(site) = Site::new("migration") else { return };
    site.backend("web", 2);
    site.apply(&class("k8s.io/ingress-nginx"));
    for name in ["moved", "kept"] {
        site.apply(&of_nginx(name, &format!("{name}.test")));
        publish_theirs(&site, name);
    }
    await_written(&site, "before");
    assert_eq!(site.try_get("moved.test", "/").unwrap().status, 404, "another controller's");

    let migration = site.configure(&json!({"migration": {"ingressClasses": ["nginx"]}}));
    for name in ["moved", "kept"] {
        site.await_everywhere(&format!("{name}.test"), "/", 200);
    }
    await_written(&site, "side-by-side");
    for name in ["moved", "kept"] {
        assert_untouched(&site, name);
    }

    let ours = |i: &Value| address(i) == &json!([{"ip": site.address.ip().to_string()}]);
    let loads = ["moved.test", "kept.test"].map(|host| site.load(host, "/"));
    // One at a time, by its class.
    site.patch("Ingress", "moved", &json!({"spec": {"ingressClassName": "moongate"}}));
    site.await_object("Ingress", "moved", "with our address", ours);
    assert_untouched(&site, "kept");
    // Or all that are left: their class goes with ingress-nginx, and then there is one of ours.
    site.delete("IngressClass", "nginx");
    await_written(&site, "without-a-class");
    site.await_everywhere("kept.test", "/", 200);
    site.apply(&class("moongate.dev/ingress-controller"));
    site.await_object("Ingress", "kept", "with our address", ours);
    drop(migration);
    await_written(&site, "after");
    for load in loads {
        load.await_answers(50);
        site.assert_none_failed(load);
    }
    site.delete("IngressClass", "nginx");
}
