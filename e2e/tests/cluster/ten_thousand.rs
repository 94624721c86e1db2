//! Ten thousand Ingresses, each with a Secret of its own: what a controller's start takes. Only with `MOONGATE_SLOW=1`.

use std::io::Write;
use std::time::{Duration, Instant};

use e2e::cluster::Bed;
use e2e::metrics;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::controller::{Controller, class, class_controller, install_definitions};

const COUNT: usize = 10_000;
/// Requests to the API server at once.
const TOGETHER: usize = 32;
/// What watches may be told to take, on a machine that does something else too.
const START: Duration = Duration::from_secs(300);
/// Beyond this a connection would be there for each of something.
const CONNECTIONS_MAX: usize = 64;

fn create_all(bed: &Bed, kind: &str, object: impl Fn(usize) -> Value) {
    let api = bed.api(kind);
    bed.block(async {
        let mut under_way = JoinSet::new();
        for number in 0..COUNT {
            if under_way.len() == TOGETHER {
                under_way.join_next().await.unwrap().unwrap();
            }
            let (api, object) = (api.clone(), object(number));
            under_way.spawn(async move {
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object).await.unwrap();
            });
        }
        while let Some(done) = under_way.join_next().await {
            done.unwrap();
        }
    });
}

/// TCP connections of a process that are established.
fn connections(pid: u32) -> usize {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = links.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let sockets: Vec<String> = links.map(|link| link.display().to_string()).collect();
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap());
    let fields =
        tables.iter().flat_map(|table| table.lines().skip(1)).map(|l| l.split_whitespace().collect::<Vec<_>>());
    let established = fields.filter(|fields| fields[3] == "01");
    established.filter(|fields| sockets.contains(&format!("socket:[{}]", fields[9]))).count()
}

#[test]
fn a_controller_starts_with_ten_thousand_ingresses_and_secrets() {
    if std::env::var_os("MOONGATE_SLOW").is_none() {
        let _ = writeln!(std::io::stderr(), "NOT RUN: ten thousand Ingresses: MOONGATE_SLOW is not set");
        return;
    }
    let Some(bed) = Bed::alone("ten-thousand") else { return };
    install_definitions(&bed);
    class(&bed, &class_controller(&bed));
    let directory = tempfile::tempdir().unwrap();
    let pair = e2e::certificates::make(directory.path(), &["*.ten-thousand.test"]);
    let begun = Instant::now();
    create_all(&bed, "Secret", |number| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": format!("tls-{number}")},
            "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
        })
    });
    create_all(&bed, "Ingress", |number| {
        let host = format!("host-{number}.ten-thousand.test");
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": format!("web-{number}")},
            "spec": {
                "ingressClassName": bed.namespace,
                "tls": [{"hosts": [host], "secretName": format!("tls-{number}")}],
                "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
            },
        })
    });
    let created = begun.elapsed();

    let begun = Instant::now();
    // 10,000 statuses and Events would be another test.
    let controller = Controller::start(&bed, "one", &["--no-publish-status"]);
    controller.await_ready_within(START);
    let ready = begun.elapsed();
    let (rss, connections) = (controller.process.rss(), connections(controller.process.pid()));
    // Not by eprintln!, whose output the test runner hides when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{COUNT} Ingresses and as many Secrets, created in {created:.1?}: a controller is ready after {ready:.1?}, with \
         {} MiB and {connections} connections",
        rss >> 20,
    );
    let table = controller.get("/debug/table");
    for key in ["route host-", "certificate ten-thousand/tls-"] {
        let count = table.lines().filter(|line| line.contains(key)).count();
        assert_eq!(count, COUNT, "{key}");
    }
    let text = controller.get("/metrics");
    for kind in ["Ingress", "Secret"] {
        let label = format!("kind=\"{kind}\"");
        assert_eq!(metrics::sum(&text, "moongate_controller_objects", &[&label]), COUNT as f64, "{kind}");
    }
    assert!((1..=CONNECTIONS_MAX).contains(&connections), "{connections} connections");
    bed.delete("IngressClass", &bed.namespace);
}
