//! Moongate in the cluster, installed by Helm from this repository's chart.

use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::Context;

use super::{Cluster, MOONGATE};

/// The namespace and the name of the release.
pub const RELEASE: &str = "moongate";

/// Installs it and waits until it is ready; `values` are further `--set` arguments.
pub fn install(cluster: &Cluster, values: &[&str]) -> anyhow::Result<String> {
    let fixed = [
        "install",
        RELEASE,
        "charts/moongate",
        "--namespace",
        RELEASE,
        "--create-namespace",
        "--wait",
        "--timeout=110s",
    ];
    helm(cluster, &fixed, values)
}

/// Upgrades it to other values, and waits until they have taken effect.
pub fn upgrade(cluster: &Cluster, values: &[&str]) -> anyhow::Result<String> {
    let fixed = ["upgrade", RELEASE, "charts/moongate", "--namespace", RELEASE, "--wait", "--timeout=110s"];
    helm(cluster, &fixed, values)
}

fn helm(cluster: &Cluster, fixed: &[&str], values: &[&str]) -> anyhow::Result<String> {
    let (repository, tag) = MOONGATE.rsplit_once(':').context("it has a tag")?;
    let (registry, repository) = repository.split_once('/').context("it has a registry")?;
    let image =
        [format!("image.registry={registry}"), format!("image.repository={repository}"), format!("image.tag={tag}")];
    // Tests end data planes often: what a balancer outside needs to notice that is a moment here.
    let drain = ["dataplane.drain.delaySeconds=2".to_owned(), "dataplane.drain.graceSeconds=20".to_owned()];
    let values: Vec<String> = image.into_iter().chain(drain).chain(values.iter().map(|v| (*v).to_owned())).collect();
    let mut arguments: Vec<&str> = fixed.to_vec();
    for value in &values {
        arguments.extend([if value.starts_with("image.") { "--set-string" } else { "--set" }, value]);
    }
    cluster.helm(&arguments)
}

/// The address of the data planes' Service, as clients outside of the cluster see it.
pub fn address(cluster: &Cluster) -> anyhow::Result<SocketAddr> {
    let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
    let said = cluster.kubectl(&["-n", RELEASE, "get", "service", RELEASE, "-o", path])?;
    let address = said.trim().parse().with_context(|| format!("the Service has no address: {said:?}"))?;
    Ok(SocketAddr::new(address, 80))
}

/// The release of the shared cluster; the first that asks installs it.
pub fn shared(cluster: &Cluster) -> SocketAddr {
    static SHARED: OnceLock<SocketAddr> = OnceLock::new();
    *SHARED.get_or_init(|| {
        install(cluster, &[]).unwrap_or_else(|e| panic!("{e}\n{}", state(cluster)));
        address(cluster).unwrap_or_else(|e| panic!("{e:?}"))
    })
}

/// What a failed test wants to know of the release.
pub fn state(cluster: &Cluster) -> String {
    let ask = |arguments: &[&str]| cluster.kubectl(arguments).unwrap_or_else(|e| e.to_string());
    let logs = |component: &str| {
        let label = format!("app.kubernetes.io/component={component}");
        ask(&["-n", RELEASE, "logs", "-l", &label, "--tail=30", "--prefix", "--ignore-errors"])
    };
    format!(
        "{}\n{}\n{}\n{}",
        ask(&["-n", RELEASE, "get", "pods,services", "-o", "wide"]),
        ask(&["-n", RELEASE, "get", "events", "--sort-by=.lastTimestamp"]),
        logs("controller"),
        logs("dataplane")
    )
}
