//! Every command of docs/kubernetes.md, in its order, in a cluster of its own: what the page says is what happens.
//!
//! Needs what `e2e/tests/cluster` needs.

#![forbid(unsafe_code)]

use std::process::Command;

use e2e::cluster::{Cluster, Options, bed::PATIENCE, image, tools};
use e2e::process::Process;
use e2e::wait::until_slowly;
use e2e::{Manifests, console, moongate, tidy, upstream};

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
        ("PATH", format!("{}:{path}", cluster.tools.path("").display())),
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
        let command = step.command.replace("localhost:8080", &format!("localhost:{port}"));
        // What changes nothing may be asked until it is so.
        let words = ["curl ", "get ", " events ", " wait "];
        let only_asks = words.iter().any(|word| command.contains(word)) && !command.contains("apply");
        until_slowly(PATIENCE, &format!("what the page says of {command}"), || {
            let said = console::perform_with(&command, &variables);
            let right = console::matches(&step.expected, &said);
            assert!(right || only_asks, "{command}\nsaid:\n{said}\nthe page says:\n{}", step.expected.join("\n"));
            if right { Ok(()) } else { Err(said) }
        });
    }
}
