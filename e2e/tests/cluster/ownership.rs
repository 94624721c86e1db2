//! `hostOwnership: Namespace`: a host belongs to the namespace of its oldest Ingress.

use e2e::Manifests;
use serde_json::json;

use crate::tls;
use e2e::cluster::site::{Site, ingress};

const HOST: &str = "owned.test";

/// A path, a certificate and a plugin for the host of another namespace.
fn guest() -> String {
    format!(
        "
apiVersion: moongate.dev/v1alpha1
kind: LuaPlugin
metadata: {{name: marks}}
spec: {{phases: {{headerFilter: \"ngx.header['X-Guest'] = 'here'\"}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: guest, annotations: {{moongate.dev/plugins: marks, nginx.ingress.kubernetes.io/ssl-redirect: 'false'}}}}
spec:
  ingressClassName: moongate
  tls: [{{hosts: [{HOST}], secretName: guest}}]
  rules:
  - host: {HOST}
    http: {{paths: [{{path: /guest, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}
"
    )
}

fn await_told(site: &Site, name: &str) {
    let events = site.await_event(name, "HostOwned");
    assert!(events.contains("ask the platform"), "{events}");
}

#[test]
fn a_host_is_its_oldest_namespaces_unless_it_is_granted() {
    let Some(owner) = Site::alone("owned-a") else { return };
    let files = Manifests::new();
    let [own, other] = [(); 2].map(|()| e2e::certificates::make(files.logs(), &[HOST]));
    owner.backend("web", 1);
    owner.apply(&tls::of("own", &own));
    // Not over HTTPS alone, so that both schemes can be asked.
    let open = ", annotations: {nginx.ingress.kubernetes.io/ssl-redirect: 'false'}";
    let of_owner = format!("{}  tls: [{{hosts: [{HOST}], secretName: own}}]\n", ingress("web", HOST, "web", open));
    owner.apply(&of_owner);
    owner.await_everywhere(HOST, "/", 200);
    let settings = json!({"hostOwnership": "Namespace"});
    let _strict = owner.configure(&settings);
    let tenant = owner.beside("owned-b");
    tenant.backend("web", 1);
    tenant.apply(&tls::of("guest", &other));
    tenant.apply(&guest());
    let by_owner = |what: &str| {
        let answer = owner.await_answer(HOST, "/guest", what, |a| a.status == 200 && !a.has("x-guest"));
        assert_eq!(answer.text().trim(), pod(&owner), "{answer:?}");
        tls::await_trusted(&owner, HOST, &own, "the owner's certificate");
    };
    await_told(&tenant, "guest");
    by_owner("by the owner");

    let granted = owner.configure(&json!({"hostGrants": [{"host": HOST, "namespaces": ["owned-b"]}]}));
    let answer = owner.await_answer(HOST, "/guest", "by the guest", |a| a.header("x-guest") == "here");
    assert_eq!(answer.text().trim(), pod(&tenant), "{answer:?}");
    assert!(!owner.try_get(HOST, "/").unwrap().has("x-guest"), "the owner's path stays the owner's");
    // Of two certificates the older Ingress's is served, whatever is granted.
    tls::await_trusted(&owner, HOST, &own, "the older certificate");
    drop(granted);
    owner.await_answer(HOST, "/guest", "by the owner again", |a| a.status == 200 && !a.has("x-guest"));

    // The oldest is gone: the next one owns it, and who comes back is a guest.
    owner.delete("Ingress", "web");
    owner.await_answer(HOST, "/guest", "by the next owner", |a| a.header("x-guest") == "here");
    tls::await_trusted(&owner, HOST, &other, "the next owner's certificate");
    owner.apply(&of_owner);
    await_told(&owner, "web");
    assert_eq!(owner.try_get(HOST, "/").unwrap().status, 404);
    assert!(owner.try_get(HOST, "/guest").unwrap().has("x-guest"));
}

fn pod(site: &Site) -> String {
    let pods = site.list(&site.namespace, "Pod", "app=web");
    pods[0]["metadata"]["name"].as_str().unwrap().to_owned()
}
