//! Moongate in the cluster, installed by Helm from this repository's chart.

use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::Context;

use super::{Cluster, MOONGATE};

/// The release that most tests share; its namespace has the same name, as that of any other has.
pub const RELEASE: &str = "moongate";

/// Installs a release, whose name has to have `moongate` in it, and waits until it is ready; `values` are further
/// `--set` arguments.
pub fn install(cluster: &Cluster, release: &str, values: &[&str]) -> anyhow::Result<String> {
    install_chart(cluster, release, "charts/moongate", MOONGATE, values)
}

fn install_chart(
    cluster: &Cluster,
    release: &str,
    chart: &str,
    image: &str,
    values: &[&str],
) -> anyhow::Result<String> {
    let fixed = ["install", release, chart, "--namespace", release, "--create-namespace", "--wait", "--timeout=230s"];
    helm(cluster, image, &fixed, values)
}

/// A release of a test's own beside the shared one, which is gone when this is dropped.
pub struct Own {
    cluster: &'static Cluster,
    /// Of the release, and of its namespace.
    pub name: &'static str,
}

impl Own {
    /// Nothing yet.
    pub fn new(cluster: &'static Cluster, name: &'static str) -> Self {
        Self { cluster, name }
    }

    /// Installs it and waits until it is ready; the address of its data planes' Service.
    pub fn install(&self, values: &[&str]) -> SocketAddr {
        self.install_chart("charts/moongate", MOONGATE, values)
    }

    /// The same of another chart than the repository's, and of another image.
    pub fn install_chart(&self, chart: &str, image: &str, values: &[&str]) -> SocketAddr {
        let installed = install_chart(self.cluster, self.name, chart, image, values);
        let installed = installed.and_then(|_| address(self.cluster, self.name));
        installed.unwrap_or_else(|e| panic!("{e}\n{}", state(self.cluster, self.name)))
    }

    /// Installs it without waiting for anything.
    pub fn begin(&self, values: &[&str]) {
        let fixed = ["install", self.name, "charts/moongate", "--namespace", self.name, "--create-namespace"];
        helm(self.cluster, MOONGATE, &fixed, values).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Takes it away, and waits for that.
    pub fn uninstall(&self) {
        let arguments = ["uninstall", self.name, "--namespace", self.name, "--wait", "--timeout=230s"];
        self.cluster.helm(&arguments).unwrap_or_else(|e| panic!("{e}"));
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", state(self.cluster, self.name));
        }
        // Either may be gone already; nobody waits for the rest.
        let _ = self.cluster.helm(&["uninstall", self.name, "--namespace", self.name, "--ignore-not-found"]);
        let _ = self.cluster.kubectl(&["delete", "namespace", self.name, "--ignore-not-found", "--wait=false"]);
    }
}

/// Upgrades a release to other values, and waits until they have taken effect.
pub fn upgrade(cluster: &Cluster, release: &str, values: &[&str]) -> anyhow::Result<String> {
    let fixed = ["upgrade", release, "charts/moongate", "--namespace", release, "--wait", "--timeout=230s"];
    helm(cluster, MOONGATE, &fixed, values)
}

fn helm(cluster: &Cluster, image: &str, fixed: &[&str], values: &[&str]) -> anyhow::Result<String> {
    let (repository, tag) = image.rsplit_once(':').context("it has a tag")?;
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
pub fn address(cluster: &Cluster, release: &str) -> anyhow::Result<SocketAddr> {
    let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
    let said = cluster.kubectl(&["-n", release, "get", "service", release, "-o", path])?;
    let address = said.trim().parse().with_context(|| format!("the Service has no address: {said:?}"))?;
    Ok(SocketAddr::new(address, 80))
}

/// The release of the tests' cluster; the first that asks installs it, with these values.
pub fn shared(cluster: &Cluster, values: &[&str]) -> SocketAddr {
    static SHARED: OnceLock<SocketAddr> = OnceLock::new();
    *SHARED.get_or_init(|| {
        install(cluster, RELEASE, values).unwrap_or_else(|e| panic!("{e}\n{}", state(cluster, RELEASE)));
        address(cluster, RELEASE).unwrap_or_else(|e| panic!("{e:?}"))
    })
}

/// What a failed test wants to know of a release.
pub fn state(cluster: &Cluster, release: &str) -> String {
    let ask = |arguments: &[&str]| cluster.kubectl(arguments).unwrap_or_else(|e| e.to_string());
    let logs = |component: &str| {
        let label = format!("app.kubernetes.io/component={component}");
        ask(&["-n", release, "logs", "-l", &label, "--tail=30", "--prefix", "--ignore-errors"])
    };
    format!(
        "{}\n{}\n{}\n{}",
        ask(&["-n", release, "get", "pods,services", "-o", "wide"]),
        ask(&["-n", release, "get", "events", "--sort-by=.lastTimestamp"]),
        logs("controller"),
        logs("dataplane")
    )
}
