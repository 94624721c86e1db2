//! Every command of docs/kubernetes.md, in its order, in a cluster of its own: what the page says is what happens.
//!
//! Needs what `e2e/tests/cluster` needs.

#![forbid(unsafe_code)]

use std::process::Command;

use e2e::cluster::site::{backend, ingress};
use e2e::cluster::{Cluster, Options, bed::PATIENCE, image, tools};
use e2e::process::Process;
use e2e::wait::until_slowly;
use e2e::{Manifests, console, moongate, tidy, upstream};

/// What the part about ingress-nginx tells of: a release of it, as far as it matters here, and a site of its class, whose
/// address it has written.
fn a_site_of_nginx(cluster: &Cluster) -> anyhow::Result<()> {
    let chart = cluster.sandbox.state.join("ingress-nginx");
    std::fs::create_dir_all(chart.join("templates"))?;
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: ingress-nginx\nversion: 4.15.0\n")?;
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n";
    std::fs::write(chart.join("templates/ingressclass.yaml"), class)?;
    let folder = chart.display().to_string();
    cluster.helm(&["install", "ingress-nginx", &folder, "--namespace", "ingress-nginx", "--create-namespace"])?;
    let objects = format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
{}
---
{}
",
        backend("web", 1, ""),
        ingress("web", "shop.example.com", "web", SNIPPET).replace("Name: moongate", "Name: nginx"),
    );
    cluster.kubectl_with(&["--namespace", "shop", "apply", "-f", "-"], &objects)?;
    let status = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.55"}]}}}"#;
    let patch =
        ["--namespace", "shop", "patch", "ingress", "web", "--subresource=status", "--type=merge", "-p", status];
    cluster.kubectl(&patch)?;
    cluster.kubectl(&["--namespace", "shop", "rollout", "status", "deployment/web", "--timeout=180s"])?;
    Ok(())
}

const SNIPPET: &str = ", annotations: {nginx.ingress.kubernetes.io/configuration-snippet: 'more_set_headers a;'}";

/// The image that the chart names by itself.
const IMAGE: &str = "ghcr.io/moongate-dev/moongate:";

#[test]
fn the_page_tells_what_happens() {
    if tools::is_barred() {
        return;
    }
    let cluster = Cluster::start(&Options { nodes: 1 }).unwrap();
    let state = cluster.sandbox.state.clone();
    let version = env!("CARGO_PKG_VERSION");
    cluster.load(&image::moongate(&state, moongate::binary(), &format!("{IMAGE}{version}")).unwrap()).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut variables = vec![
        ("KUBECONFIG", cluster.kubeconfig_outside().unwrap().display().to_string()),
        (
            "PATH",
            format!("{}:{}:{path}", cluster.tools.path("").display(), moongate::binary().parent().unwrap().display()),
        ),
    ];
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        variables.push((name, state.join("helm").display().to_string()));
    }

    let port = upstream::free_port().to_string();
    let logs = Manifests::new();
    let mut forwards: Option<Process> = None;
    let steps = console::steps(&tidy::read("docs/kubernetes.md").unwrap());
    assert!(steps.len() > 20, "the page shows each part");
    for step in steps {
        if step.command.contains("> all.yaml") {
            a_site_of_nginx(&cluster).unwrap();
        } else if step.command.starts_with("helm uninstall moongate") {
            // It ends with what it leads to.
            forwards = None;
        }
        // The page tells the reader to forward a port in another terminal before the first request.
        if step.command.starts_with("curl") && forwards.is_none() {
            let mut kubectl = Command::new(cluster.tools.path("kubectl"));
            kubectl.args(["--namespace", "moongate", "port-forward", "service/moongate", &format!("{port}:80")]);
            kubectl.envs(variables.iter().map(|(name, value)| (name, value)));
            let process = Process::start(&mut kubectl, logs.logs(), "port-forward");
            until_slowly(PATIENCE, "the forwarded port", || {
                if process.output().contains("Forwarding from") { Ok(()) } else { Err(process.log()) }
            });
            forwards = Some(process);
        }
        // The copy of the cluster's objects is none of the repository's files.
        let copy = state.join("all.yaml").display().to_string();
        let command = step.command.replace("localhost:8080", &format!("localhost:{port}")).replace("all.yaml", &copy);
        // What changes nothing may be asked until it is so.
        let words = ["curl ", "get ", " events ", " wait ", "moongate check ", "moongate explain "];
        let only_asks = words.iter().any(|word| command.contains(word)) && !command.contains("apply");
        until_slowly(PATIENCE, &format!("what the page says of {command}"), || {
            let said = console::perform_with(&command, &variables).replace(&copy, "all.yaml");
            let right = console::matches(&step.expected, &said);
            assert!(right || only_asks, "{command}\nsaid:\n{said}\nthe page says:\n{}", step.expected.join("\n"));
            if right { Ok(()) } else { Err(said) }
        });
    }
}
