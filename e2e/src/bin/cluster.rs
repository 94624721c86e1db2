//! A Kubernetes for trials by hand: `cargo run -p e2e --bin cluster [-- --control-plane | --nodes N]`.
//!
//! It runs until Ctrl-C; then everything of it is gone.
#![forbid(unsafe_code)]

use std::io::Write;

use e2e::cluster::{Cluster, Options, tools};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let nodes = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 1,
        ["--control-plane"] => 0,
        ["--nodes", number] => number.parse()?,
        _ => anyhow::bail!("usage: cluster [--control-plane | --nodes N]"),
    };
    if let Some(reason) = tools::barred() {
        anyhow::bail!("no cluster: {reason}");
    }
    let cluster = Cluster::start(&Options { nodes })?;
    let kubeconfig = cluster.kubeconfig_outside()?;
    let mut out = std::io::stdout();
    writeln!(out, "export KUBECONFIG={} PATH={}:$PATH", kubeconfig.display(), cluster.tools.path("").display())?;
    writeln!(out, "# inside the cluster's network: nsenter --target {} --net COMMAND", cluster.client.pid)?;
    writeln!(out, "# with KUBECONFIG={}; logs in {}", cluster.kubeconfig().display(), cluster.sandbox.state.display())?;
    out.flush()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    Ok(())
}
