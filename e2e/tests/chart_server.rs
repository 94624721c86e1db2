//! The chart as a real API server takes it: one without nodes, where no Pod runs.

#![forbid(unsafe_code)]

use e2e::chart::{self, CHART};
use e2e::cluster::{Cluster, Options, tools};
use serde_json::{Value, json};

/// Kinds of operators that are not in this cluster.
const OTHERS: [&str; 4] = ["Certificate", "Issuer", "ServiceMonitor", "PrometheusRule"];

/// A control plane with the custom resources and the namespaces that the values name.
fn control_plane() -> Option<Cluster> {
    if tools::is_barred() {
        return None;
    }
    let cluster = Cluster::start(&Options { nodes: 0 }).expect("a control plane starts");
    let apply = ["apply", "--server-side", "-f", "charts/moongate/crds"];
    cluster.kubectl(&apply).expect("the definitions are valid");
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all"];
    cluster.kubectl(&wait).expect("they are established");
    for namespace in ["moongate", "shop", "blog", "edge"] {
        cluster.kubectl(&["create", "namespace", namespace]).expect("a namespace is made");
    }
    Some(cluster)
}

#[test]
fn an_api_server_accepts_every_object_and_a_webhook_that_fails_closed_lets_the_release_in() {
    let Some(cluster) = control_plane() else { return };
    for file in chart::values_files() {
        let objects: Vec<Value> = chart::render_file(&file);
        let objects: Vec<Value> =
            objects.into_iter().filter(|o| OTHERS.iter().all(|kind| o["kind"] != *kind)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let said = cluster.kubectl_with(&apply, &list);
        assert!(said.is_ok(), "{file}: {said:?}");
    }
    // With `failurePolicy: Fail` there is nobody yet who could let anything in. Installed, upgraded (without the Job, for
    // which there is no node), and gone again.
    let values = format!("{CHART}/ci/scoped-values.yaml");
    let with = ["moongate", CHART, "--namespace=moongate", "--values", &values, "--set=crds.upgrade.enabled=false"];
    for verb in ["install", "upgrade"] {
        let mut arguments = vec![verb];
        arguments.extend(with);
        let said = cluster.helm(&arguments);
        assert!(said.is_ok(), "{verb}: {said:?}");
    }
    let refused = cluster.kubectl_with(
        &["apply", "-f", "-"],
        r#"{"apiVersion": "moongate.dev/v1alpha1", "kind": "MoongateConfig", "metadata": {"name": "other"}, "spec": {}}"#,
    );
    assert!(refused.is_err_and(|e| e.to_string().contains("validate.moongate.dev")), "others are asked about");
    cluster.helm(&["uninstall", "moongate", "--namespace=moongate"]).expect("it can be taken away");
}
