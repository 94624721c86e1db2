//! A Kubernetes for trials by hand, with Moongate in it: `make cluster`, or `cargo run -p e2e --bin cluster`.
//!
//! It runs until Ctrl-C; then everything of it is gone. `--bare` leaves Moongate out, `--control-plane` leaves out the
//! nodes as well; `--nodes N` starts more than one.
#![forbid(unsafe_code)]

use std::io::Write;
use std::net::SocketAddr;

use e2e::cluster::release::{self, RELEASE};
use e2e::cluster::{Cluster, Options, tools};
use tokio::signal::unix::{SignalKind, signal};

/// Ports of the machine that lead to Moongate, if they are free; else any.
const PORTS: [(u16, u16); 2] = [(8080, 80), (8443, 443)];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (nodes, is_bare) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (1, false),
        ["--bare"] => (1, true),
        ["--control-plane"] => (0, true),
        ["--nodes", number] => (number.parse()?, false),
        ["--bare", "--nodes", number] => (number.parse()?, true),
        _ => anyhow::bail!("usage: cluster [--control-plane | [--bare] [--nodes N]]"),
    };
    if let Some(reason) = tools::barred() {
        anyhow::bail!("no cluster: {reason}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cluster = Cluster::start(&Options { nodes })?;
    let mut out = std::io::stdout();
    let kubeconfig = cluster.kubeconfig_outside()?;
    writeln!(out, "export KUBECONFIG={} PATH={}:$PATH", kubeconfig.display(), cluster.tools.path("").display())?;
    writeln!(out, "# inside the cluster's network: nsenter --target {} --net COMMAND", cluster.client.pid)?;
    writeln!(out, "# with KUBECONFIG={}; logs in {}", cluster.kubeconfig().display(), cluster.sandbox.state.display())?;
    out.flush()?;
    if !is_bare {
        install(&cluster, &mut out)?;
    }
    out.flush()?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended,
            _ = term.recv() => Ok(()),
        }
    })?;
    Ok(())
}

fn install(cluster: &Cluster, out: &mut impl Write) -> anyhow::Result<()> {
    release::install(cluster, RELEASE, &[])
        .map_err(|e| anyhow::anyhow!("{e}\n{}", release::state(cluster, RELEASE)))?;
    let address = release::address(cluster, RELEASE)?;
    let mut forwarded = Vec::new();
    for (wished, port) in PORTS {
        let target = SocketAddr::new(address.ip(), port);
        forwarded.push(cluster.forward(wished, target).or_else(|_| cluster.forward(0, target))?);
    }
    writeln!(out, "# Moongate is installed as release `{RELEASE}` in namespace `{RELEASE}`:")?;
    writeln!(out, "kubectl -n {RELEASE} get pods")?;
    writeln!(out, "curl -i -H 'Host: shop.example.com' http://{}/", forwarded[0])?;
    writeln!(out, "curl -ik --connect-to ::{} https://shop.example.com/", forwarded[1])?;
    writeln!(out, "# an image of your own: cargo build, then run this again; Ctrl-C ends all of it")?;
    Ok(())
}
