//! Pods come and go under load, and no request fails.

use e2e::cluster::site::{Site, backend, ingress};
use serde_json::json;

#[test]
fn backends_are_replaced_and_scaled_under_load() {
    let Some(site) = Site::new("rolling") else { return };
    site.backend("web", 3);
    site.apply(&ingress("web", "rolling.test", "web", ""));
    site.await_everywhere("rolling.test", "/", 200);
    let load = site.load("rolling.test", "/");
    load.await_answers(100);
    for round in 1..=2 {
        site.apply(&backend("web", 3, &format!("{{name: ROUND, value: '{round}'}}")));
        site.await_rollout("web");
        load.await_answers(50);
    }
    for replicas in [6, 2] {
        site.patch("Deployment", "web", &json!({"spec": {"replicas": replicas}}));
        site.await_rollout("web");
        load.await_answers(50);
    }
    let report = site.assert_none_failed(load);
    assert!(report.bodies.len() >= 9, "two rounds of three pods and more have answered: {:?}", report.bodies);
}

#[test]
fn slow_requests_end_on_the_pod_that_is_leaving() {
    let Some(site) = Site::new("leaving") else { return };
    // It goes on for longer than its requests take, as a server that drains does.
    site.apply(&backend("web", 2, "{name: LINGER_MS, value: '8000'}"));
    site.await_rollout("web");
    site.apply(&ingress("web", "leaving.test", "web", ""));
    site.await_everywhere("leaving.test", "/", 200);
    let load = e2e::Load::start(site.address, "leaving.test", "/slow/2000", 20);
    load.await_answers(10);
    site.apply(&backend("web", 2, "{name: LINGER_MS, value: '8001'}"));
    site.await_rollout("web");
    load.await_answers(60);
    site.assert_none_failed(load);
}

#[test]
fn data_planes_are_replaced_under_load() {
    let Some(site) = Site::alone("dataplanes") else { return };
    site.backend("web", 2);
    site.apply(&ingress("web", "dataplanes.test", "web", ""));
    site.await_everywhere("dataplanes.test", "/", 200);
    let load = site.load("dataplanes.test", "/");
    load.await_answers(100);
    let release = e2e::cluster::release::RELEASE;
    let said = site.cluster.kubectl(&["-n", release, "rollout", "restart", "deployment", "moongate-dataplane"]);
    said.unwrap_or_else(|e| panic!("{e}"));
    site.await_release();
    load.await_answers(200);
    site.assert_none_failed(load);
}
