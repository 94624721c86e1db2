//! The programs that a cluster is made of.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::process;

/// Where the programs are that `scripts/build-kube` built.
#[derive(Clone)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Builds what is not built yet.
    pub fn get() -> anyhow::Result<Self> {
        let wanted =
            ["containerd", "ctr", "runc", "iptables", "nft", "conntrack", "ip", "nsenter", "setpriv", "busybox"];
        let is_there = |name: &&str| {
            ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|place| PathBuf::from(place).join(name).exists())
        };
        let missing: Vec<&str> = wanted.into_iter().filter(|name| !is_there(name)).collect();
        anyhow::ensure!(missing.is_empty(), "run scripts/install-cluster-deps: missing {}", missing.join(", "));
        Ok(Self { folder: built()?.context("scripts/build-kube says that no cluster is run here")? })
    }

    /// `kube`, `etcd`, `kubectl`, `helm`, `coredns`, `cert-manager` or `cert-manager.yaml`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The folder of what `scripts/build-kube` builds once and keeps; none where it builds nothing.
pub fn built() -> anyhow::Result<Option<PathBuf>> {
    let output = process::run(&mut Command::new(crate::tidy::root().join("scripts/build-kube")));
    anyhow::ensure!(output.status.success(), "build-kube: {}", String::from_utf8_lossy(&output.stderr));
    let folder = String::from_utf8(output.stdout)?;
    Ok(Some(folder.trim()).filter(|folder| !folder.is_empty()).map(PathBuf::from))
}

/// Whether no cluster can be had here; then the test says on stderr that it is not run, and why.
pub fn is_barred() -> bool {
    let Some(reason) = barred() else { return false };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not by eprintln!, whose output the test runner hides when a test passes.
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: no cluster, since {reason}");
    true
}

/// Why no cluster can be had here, if so. What can be installed is no such reason.
pub fn barred() -> Option<&'static str> {
    if std::env::var_os("MOONGATE_CLUSTER").is_some_and(|value| value == "0") {
        Some("MOONGATE_CLUSTER=0")
    } else if std::env::var_os("MOONGATE_PODS").is_some_and(|value| value == "0") {
        Some("MOONGATE_PODS=0")
    } else if !cfg!(target_os = "linux") {
        Some("it needs Linux")
    } else if !rustix::process::geteuid().is_root() {
        Some("it needs root, for namespaces and containers")
    } else {
        None
    }
}

/// What is kept between runs, outside of the clone.
pub fn cache() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("moongate"))
}
