//! Routes: hosts, paths, classes, load balancing, and what the Ingress's status and Events say.

use std::collections::BTreeSet;

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;
use serde_json::{Value, json};

fn addresses(ingress: &Value) -> &Value {
    &ingress["status"]["loadBalancer"]["ingress"]
}

#[test]
fn an_ingress_is_served_and_says_where() {
    let Some(site) = Site::new("traffic") else { return };
    site.backend("web", 1);
    site.apply(&ingress("web", "traffic.test", "web", ""));
    let answer = site.await_status("traffic.test", "/", 200);
    assert!(answer.text().starts_with("web-"), "{answer:?}");
    let seen = site.try_get("traffic.test", "/echo").unwrap().text();
    for line in ["Host: traffic.test", "X-Forwarded-For: 10.200.0.1", "X-Forwarded-Proto: http"] {
        assert!(seen.to_lowercase().contains(&line.to_lowercase()), "{line} is not in {seen}");
    }
    let object = site.await_object("Ingress", "web", "with an address", |i| addresses(i).is_array());
    assert_eq!(addresses(&object), &json!([{"ip": site.address.ip().to_string()}]));
    assert_eq!(site.try_get("other.traffic.test", "/").unwrap().status, 404);
    site.delete("Ingress", "web");
    site.await_status("traffic.test", "/", 404);
}

#[test]
fn hosts_and_paths_match_as_the_api_says() {
    let Some(site) = Site::new("matching") else { return };
    for name in ["exact", "short", "long", "wild", "named"] {
        site.backend(name, 1);
    }
    site.apply(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec:
  ingressClassName: moongate
  rules:
  - host: matching.test
    http:
      paths:
      - {path: /foo, pathType: Exact, backend: {service: {name: exact, port: {number: 80}}}}
      - {path: /aaa, pathType: Prefix, backend: {service: {name: short, port: {number: 80}}}}
      - {path: /aaa/bbb/, pathType: Prefix, backend: {service: {name: long, port: {number: 80}}}}
      - {path: /named, pathType: Prefix, backend: {service: {name: named, port: {name: http}}}}
  - host: '*.matching.test'
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: wild, port: {number: 80}}}}]}
",
    );
    site.await_everywhere("matching.test", "/foo", 200);
    site.await_everywhere("sub.matching.test", "/", 200);
    for (host, path, by) in [
        ("matching.test", "/foo", "exact-"),
        ("MATCHING.test:80", "/foo?x=1", "exact-"),
        ("matching.test", "/foo/", ""),
        ("matching.test", "/FOO", ""),
        ("matching.test", "/bar", ""),
        ("matching.test", "/aaa", "short-"),
        ("matching.test", "/aaa/ccc", "short-"),
        ("matching.test", "/aaaccc", ""),
        ("matching.test", "/aaa/bbb", "long-"),
        ("matching.test", "/aaa/bbb/ccc", "long-"),
        ("matching.test", "/aaa/bbbccc", "short-"),
        ("matching.test", "/named", "named-"),
        ("sub.matching.test", "/", "wild-"),
        ("a.sub.matching.test", "/", ""),
    ] {
        let answer = site.try_get(host, path).unwrap();
        let right = if by.is_empty() { answer.status == 404 } else { answer.text().starts_with(by) };
        assert!(right, "{host}{path} should be {by:?}: {answer:?}");
    }
}

/// Of the published ingress-controller-conformance suite: what it asks of a default backend and of load balancing.
/// An Ingress that has all hosts of the release; it is gone when this is dropped, or other tests would see it.
struct All<'a>(&'a Site);

impl Drop for All<'_> {
    fn drop(&mut self) {
        let _ = self.0.cluster.kubectl(&["-n", &self.0.namespace, "delete", "ingress", "all"]);
    }
}

#[test]
fn a_default_backend_gets_what_no_rule_has_and_every_pod_its_share() {
    let Some(site) = Site::alone("default-backend") else { return };
    site.backend("many", 10);
    let all = All(&site);
    site.apply(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec: {ingressClassName: moongate, defaultBackend: {service: {name: many, port: {name: http}}}}
",
    );
    site.await_everywhere("no-host.test", "/", 200);
    for (method, host, path) in [
        ("GET", "my-host", "/echo"),
        ("GET", "my-host", "/sub-path/echo"),
        ("POST", "some-host", "/echo"),
        ("PUT", "no-host", "/resource/echo"),
        ("DELETE", "some-host", "/resource/echo"),
        ("PATCH", "my-host", "/resource/echo"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Go-http-client/1.1\r\n");
        let answer = site.try_send(&format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n")).unwrap();
        assert_eq!(answer.status, 200, "{method} {host}{path}: {answer:?}");
        for field in ["content-length", "content-type", "date", "server"] {
            assert!(answer.has(field), "{field} is missing: {answer:?}");
        }
        let seen = answer.text().to_lowercase();
        let first = format!("{method} {path} http/1.1\r\n").to_lowercase();
        assert!(seen.starts_with(&first) && seen.contains("user-agent: go-http-client/1.1"), "{seen}");
    }
    // Pods that are ready are in the table a moment later.
    until_slowly(PATIENCE, "answers of all ten pods", || {
        let pods: BTreeSet<String> = (0..100).map(|_| site.try_get("balance", "/").unwrap().text()).collect();
        if pods.len() == 10 { Ok(()) } else { Err(format!("{pods:?}")) }
    });
    drop(all);
    site.await_everywhere("no-host.test", "/", 404);
}

#[test]
fn hosts_are_kept_apart_over_https() {
    let Some(site) = Site::new("https-hosts") else { return };
    let (host, files) = ("foo.https-hosts.test", e2e::Manifests::new());
    for name in ["foo", "wild"] {
        site.backend(name, 1);
    }
    let pair = e2e::certificates::make(files.logs(), &[host, "*.https-hosts.test"]);
    site.apply(&crate::tls::of("shown", &pair));
    site.apply(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec:
  ingressClassName: moongate
  tls: [{hosts: [foo.https-hosts.test, '*.https-hosts.test'], secretName: shown}]
  rules:
  - host: foo.https-hosts.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: foo, port: {name: http}}}}]}
  - host: '*.https-hosts.test'
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: wild, port: {name: http}}}}]}
",
    );
    crate::tls::await_trusted(&site, host, &pair, "HTTPS of the host");
    let get = |host: &str, path: &str| crate::tls::get(&site, host, path, &pair);
    let seen = get(host, "/echo").unwrap();
    assert!(seen.contains(&format!("host: {host}\r\n")) && seen.contains("x-forwarded-proto: https"), "{seen}");
    for (host, by) in [(host, "foo-"), ("bar.https-hosts.test", "wild-")] {
        let said = get(host, "/").unwrap();
        assert!(said.starts_with(by), "{host} is served by {said}");
    }
}

#[test]
fn endpoints_that_are_missing_and_come_back() {
    let Some(site) = Site::new("empty") else { return };
    site.apply(&ingress("late", "empty.test", "late", ""));
    site.await_status("empty.test", "/", 503);
    site.backend("late", 1);
    site.await_status("empty.test", "/", 200);
    site.patch("Deployment", "late", &json!({"spec": {"replicas": 0}}));
    site.await_status("empty.test", "/", 503);
    site.patch("Deployment", "late", &json!({"spec": {"replicas": 1}}));
    site.await_status("empty.test", "/", 200);
}

#[test]
fn only_our_class_is_served_and_it_may_change() {
    let Some(site) = Site::new("classes") else { return };
    site.backend("web", 1);
    site.apply(
        &ingress("web", "classes.test", "web", "").replace("ingressClassName: moongate", "ingressClassName: other"),
    );
    // Of the same moment, so what is not served by then is not going to be.
    site.apply(&ingress("ours", "ours.classes.test", "web", ""));
    site.await_status("ours.classes.test", "/", 200);
    site.await_object("Ingress", "ours", "with an address", |i| addresses(i).is_array());
    assert_eq!(site.try_get("classes.test", "/").unwrap().status, 404);
    assert_eq!(addresses(&site.get("Ingress", "web").unwrap()), &Value::Null, "another's Ingress is left alone");
    site.patch("Ingress", "web", &json!({"spec": {"ingressClassName": "moongate"}}));
    site.await_status("classes.test", "/", 200);
    site.await_object("Ingress", "web", "with an address", |i| addresses(i).is_array());
    site.patch("Ingress", "web", &json!({"spec": {"ingressClassName": "other"}}));
    site.await_status("classes.test", "/", 404);
    site.await_object("Ingress", "web", "without our address", |i| !addresses(i).is_array());
    // A class of its own that comes later, and goes.
    site.apply("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: classes-late}\nspec: {controller: moongate.dev/ingress-controller}");
    site.patch("Ingress", "web", &json!({"spec": {"ingressClassName": "classes-late"}}));
    site.await_status("classes.test", "/", 200);
    site.delete("IngressClass", "classes-late");
    site.await_status("classes.test", "/", 404);
}

#[test]
fn a_refused_part_is_told_by_one_event() {
    let Some(site) = Site::new("events") else { return };
    site.backend("web", 1);
    site.apply(&ingress("web", "events.test", "web", ", annotations: {moongate.dev/plugins: absent}"));
    site.await_status("events.test", "/", 503);
    let told = || -> Vec<Value> {
        let events = site.list(&site.namespace, "Event", "");
        events.into_iter().filter(|e| e["involvedObject"]["kind"] == "Ingress").collect()
    };
    let events = until_slowly(PATIENCE, "an Event about the Ingress", || match told() {
        none if none.is_empty() => Err("none".into()),
        some => Ok(some),
    });
    let message = events[0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("absent") && message.contains("create it"), "{events:?}");
    assert_eq!(events[0]["type"], "Warning");
    let described = site.kubectl(&["describe", "ingress", "web"]);
    assert!(described.contains(&message[..40]), "{described}");
    // Something else of it changes: the same problem is not told once more.
    site.patch("Ingress", "web", &json!({"metadata": {"labels": {"a": "b"}}}));
    site.patch(
        "Ingress",
        "web",
        &json!({"spec": {"rules": [{"host": "two.events.test", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}}),
    );
    site.await_status("two.events.test", "/", 503);
    assert_eq!(told().len(), 1, "{:?}", told());
}

#[test]
fn of_two_ingresses_with_one_path_the_older_wins() {
    let Some(site) = Site::new("oldest") else { return };
    site.backend("old", 1);
    site.backend("new", 1);
    site.apply(&ingress("zz-first", "oldest.test", "old", ""));
    site.await_status("oldest.test", "/", 200);
    // creationTimestamp counts seconds: the second one has to be of another.
    let of = |name: &str| site.get("Ingress", name).unwrap()["metadata"]["creationTimestamp"].to_string();
    until_slowly(PATIENCE, "a younger Ingress", || {
        site.delete("Ingress", "aa-second");
        site.apply(&ingress("aa-second", "oldest.test", "new", ""));
        if of("aa-second") > of("zz-first") { Ok(()) } else { Err(of("aa-second")) }
    });
    until_slowly(PATIENCE, "an Event about the conflict", || {
        let described = site.kubectl(&["describe", "ingress", "aa-second"]);
        if described.contains("PathConflict") { Ok(()) } else { Err(described) }
    });
    assert!(site.try_get("oldest.test", "/").unwrap().text().starts_with("old-"));
    site.delete("Ingress", "zz-first");
    site.await_answer("oldest.test", "/", "by the younger", |a| a.text().starts_with("new-"));
}
