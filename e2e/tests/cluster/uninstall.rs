//! A second release beside the shared one, as another controller is: it goes without a trace, and comes again.

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::release::Own;
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;
use serde_json::{Value, json};

const SECOND: &str = "second-moongate";
const VALUES: [&str; 4] = [
    "controller.ingressClassResource.name=second",
    "controller.ingressClassResource.controllerValue=moongate.test/second",
    // Of the cluster, and the shared release's.
    "plugins.install=false",
    "dataplane.replicaCount=1",
];
/// What the chart makes, and what objects of it make.
const KINDS: [&str; 16] = [
    "ValidatingWebhookConfiguration",
    "IngressClass",
    "MoongateConfig",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ServiceAccount",
    "Service",
    "EndpointSlice",
    "Deployment",
    "Pod",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Job",
    "Secret",
];

/// Objects of the second release, as `Kind name`.
fn objects(site: &Site) -> Vec<String> {
    let label = format!("app.kubernetes.io/instance={SECOND}");
    let of = |kind: &&str| {
        let name = |o: Value| format!("{kind} {}", o["metadata"]["name"].as_str().unwrap_or_default());
        site.list(SECOND, kind, &label).into_iter().map(name).collect::<Vec<_>>()
    };
    KINDS.iter().flat_map(of).collect()
}

fn address(ingress: &Value) -> &Value {
    &ingress["status"]["loadBalancer"]["ingress"]
}

#[test]
fn a_release_is_taken_away_and_comes_again() {
    let Some(site) = Site::new("uninstall") else { return };
    site.backend("web", 1);
    site.apply(&ingress("other", "other.uninstall.test", "web", ""));
    site.apply(&ingress("own", "uninstall.test", "web", "").replace("Name: moongate", "Name: second"));
    site.await_everywhere("other.uninstall.test", "/", 200);
    let load = site.load("other.uninstall.test", "/");
    let second = Own::new(site.cluster, SECOND);
    // The first time with the addresses taken out at the end, the second time without.
    for clear in [true, false] {
        let at = second.install(&[&VALUES[..], &[&format!("controller.clearStatusOnExit={clear}")]].concat());
        let ip = json!([{"ip": at.ip().to_string()}]);
        site.await_object("Ingress", "own", "with its address", |i| address(i) == &ip);
        site.await_status_at(at, "uninstall.test", "/", 200);
        assert!(objects(&site).len() > 15, "{:?}", objects(&site));
        second.uninstall();
        until_slowly(PATIENCE, "no object of the release", || match objects(&site) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some:?}")),
        });
        let left = site.get("Ingress", "own").unwrap();
        assert!(address(&left).is_null() || !clear, "{left}");
    }
    // What the controller made stays, and says so: the README names it.
    for (kind, name) in [("Secret", "push-tls"), ("ConfigMap", "push-ca"), ("Lease", "controller")] {
        assert!(site.look(SECOND, kind, &format!("{SECOND}-{name}")).unwrap().is_some(), "{kind} {name}");
    }
    let definitions = site.list("", "CustomResourceDefinition", "");
    assert!(definitions.iter().any(|d| d["metadata"]["name"] == "luaplugins.moongate.dev"), "definitions stay");
    load.await_answers(50);
    site.assert_none_failed(load);
    site.apply(&ingress("later", "later.uninstall.test", "web", ""));
    site.await_status("later.uninstall.test", "/", 200);
}
