//! A real Kubernetes on this machine: API server, etcd, controllers, scheduler, kubelet, containerd, kube-proxy, DNS.
//!
//! - [`tools`]: the programs, and whether a cluster can be had here
//! - [`sandbox`]: the namespaces that all of it lives in, and their end
//! - [`part`]: one program, which can be ended and started again
//! - [`pki`]: certificates and kubeconfigs
//! - [`control`]: the control plane
//! - [`node`]: containerd, kubelet and kube-proxy
//! - [`dns`]: CoreDNS and its Service
//! - [`cloud`]: addresses for load balancers
//! - [`image`]: images without a registry
//! - [`forward`]: the machine's loopback ports into the cluster
//! - [`release`]: Moongate, installed by Helm
//! - [`bed`]: a test's namespace and its client
//! - [`site`]: a namespace behind Moongate
//! - [`balancer`]: a load balancer in front of nodes
//!
//! One cluster serves a test binary ([`shared`]); each test has a namespace ([`bed::Bed`]). The cluster's networks are
//! namespaces of its own, so its addresses are fixed and several clusters may run at the same time.

pub mod balancer;
pub mod bed;
pub mod cloud;
pub mod control;
pub mod dns;
pub mod forward;
pub mod image;
pub mod node;
pub mod part;
pub mod pki;
pub mod release;
pub mod sandbox;
pub mod site;
pub mod tools;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;

pub use bed::Bed;
use control::Control;
use node::Node;
use part::Part;
use pki::Pki;
use sandbox::{Holder, Sandbox};
use tools::Tools;

use crate::wait::until_slowly;

/// The nodes' addresses, in the network of the outside client, which is 10.200.0.1.
pub const NODE_ADDRESS: [&str; 2] = ["10.200.0.10", "10.200.0.11"];
/// The addresses of Services.
pub const SERVICES: &str = "10.201.0.0/16";
/// Where pods ask for names.
pub const DNS: &str = "10.201.0.10";
/// What keeps a pod's namespaces.
pub const PAUSE: &str = "moongate.test/pause:1";
/// A shell with its tools.
pub const BUSYBOX: &str = "moongate.test/busybox:1";
/// `e2e/src/bin/backend.rs`.
pub const BACKEND: &str = "moongate.test/backend:1";
/// Moongate as it is now.
pub const MOONGATE: &str = "moongate.test/moongate:1";
/// Starting anything of a cluster takes no longer, on a machine that builds at the same time too.
const START: Duration = Duration::from_secs(120);

/// What is started.
pub struct Options {
    /// How many nodes; without one, it is a control plane alone, with no pods and no DNS.
    pub nodes: usize,
}

/// A running cluster; it ends when this is dropped, and when the process ends in whatever way.
pub struct Cluster {
    /// The control plane.
    pub control: Control,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// CoreDNS; only where there are nodes.
    pub dns: Option<Part>,
    /// Certificates.
    pub pki: Pki,
    /// The programs.
    pub tools: Tools,
    /// The network of a client outside of the cluster.
    pub client: &'static Holder,
    /// The namespaces and the state folder.
    pub sandbox: Sandbox,
}

/// The cluster of this test binary, with one node; started by the first that asks. `None`, and a line that says so,
/// where none can be had.
pub fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    if tools::is_barred() {
        return None;
    }
    let start = || Cluster::start(&Options { nodes: 1 }).unwrap_or_else(|e| panic!("no cluster: {e:?}"));
    Some(SHARED.get_or_init(start))
}

impl Cluster {
    /// Starts one and waits until it works. It has the custom resources of `/crds` not yet.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        anyhow::ensure!(options.nodes <= NODE_ADDRESS.len(), "at most {} nodes", NODE_ADDRESS.len());
        let tools = Tools::get()?;
        let sandbox = Sandbox::new()?;
        let client: &'static Holder = Box::leak(Box::new(sandbox.client()?));
        let mut holders: Vec<&'static Holder> = Vec::new();
        for index in 0..options.nodes.max(1) {
            let holder: &'static Holder = Box::leak(Box::new(sandbox.node()?));
            node::connect(client, holder, index)?;
            holders.push(holder);
        }
        let pki = Pki::new(&sandbox.state.join("pki"))?;
        control::certificates(&pki)?;
        let pods = options.nodes > 0;
        let images = sandbox.state.clone();
        let images = pods.then(|| std::thread::spawn(move || image::all(&images)));
        let control = Control::start(holders[0], &tools, &pki, client, &sandbox.state, pods)?;
        let mut cluster = Self { control, nodes: Vec::new(), dns: None, pki, tools, client, sandbox };
        let Some(images) = images else { return Ok(cluster) };
        for (index, holder) in holders.iter().enumerate() {
            cluster.nodes.push(Node::start(&cluster.sandbox, holder, &cluster.tools, &cluster.pki, index)?);
        }
        cluster.dns = Some(dns::start(holders[0], &cluster.tools, &cluster.pki, &cluster.sandbox.state)?);
        cluster.kubectl_with(&["apply", "-f", "-"], &dns::objects())?;
        for archive in images.join().expect("it does not panic")? {
            cluster.load(&archive)?;
            std::fs::remove_file(archive)?;
        }
        cluster.start_cloud();
        cluster.await_nodes();
        Ok(cluster)
    }

    /// Waits until every node is ready.
    pub fn await_nodes(&self) {
        let wished = self.nodes.len();
        until_slowly(START, "ready nodes", || {
            self.assert_running();
            let path = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
            let said = self.kubectl(&["get", "nodes", "-o", path]).map_err(|e| e.to_string())?;
            match said.split(' ').filter(|status| *status == "True").count() == wished {
                true => Ok(()),
                false => Err(said),
            }
        });
    }

    /// Starts again what has ended, by a test or because the API server was away: the scheduler and the controllers
    /// may end then.
    pub fn revive(&self) {
        self.parts().for_each(|part| part.revive().unwrap_or_else(|e| panic!("{e:?}")));
    }

    /// Panics if a program of it ended by itself.
    pub fn assert_running(&self) {
        self.parts().for_each(Part::assert_running);
    }

    /// The kubeconfig of an administrator, for programs in the cluster's networks.
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki.file("admin.kubeconfig").into()
    }

    /// A kubeconfig of an administrator for programs in the machine's own network.
    pub fn kubeconfig_outside(&self) -> anyhow::Result<PathBuf> {
        let target = format!("{}:6443", NODE_ADDRESS[0]).parse()?;
        let address = self.forward(0, target)?;
        let file = PathBuf::from(self.pki.file("outside.kubeconfig"));
        let files = ["ca.crt", "admin.crt", "admin.key"].map(|name| self.pki.file(name));
        pki::write_kubeconfig(&file, &format!("https://{address}"), files.each_ref().map(String::as_str))?;
        Ok(file)
    }

    /// A loopback port of the machine that leads to an address in the cluster's networks; port 0 takes any.
    pub fn forward(&self, port: u16, target: SocketAddr) -> anyhow::Result<SocketAddr> {
        forward::forward(&self.sandbox, self.client, port, target)
    }

    /// Makes an image known to every node.
    pub fn load(&self, archive: &std::path::Path) -> anyhow::Result<()> {
        self.nodes.iter().try_for_each(|node| node.load(archive))
    }

    /// A command in the outside client's network, in the repository, ended after two minutes.
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = self.client.command("timeout");
        command.arg("240").arg(program).current_dir(crate::tidy::root()).env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// kubectl as an administrator; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with(arguments, "")
    }

    /// kubectl with something on its standard input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut command = self.command(&self.tools.path("kubectl"));
        said("kubectl", arguments, with_input(command.args(arguments), input)?)
    }

    /// helm as an administrator; what it printed.
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command(&self.tools.path("helm"));
        // Nothing of the user's own Helm is read or changed.
        for (variable, folder) in [("HELM_CACHE_HOME", "c"), ("HELM_CONFIG_HOME", "f"), ("HELM_DATA_HOME", "d")] {
            command.env(variable, self.sandbox.state.join("helm").join(folder));
        }
        said("helm", arguments, with_input(command.args(arguments), "")?)
    }

    /// All of its programs.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.control.parts().chain(self.nodes.iter().flat_map(Node::parts)).chain(&self.dns)
    }

    fn start_cloud(&self) {
        let (network, kubeconfig) = (self.client, self.kubeconfig());
        std::thread::spawn(move || -> anyhow::Result<()> {
            network.enter()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                cloud::serve(bed::client(&kubeconfig).await?).await;
                Ok(())
            })
        });
    }
}

fn with_input(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // What is given is small: it fits a pipe, or the program reads before it writes.
    child.stdin.take().context("it has a standard input")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn said(program: &str, arguments: &[&str], output: Output) -> anyhow::Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program} {arguments:?}: {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
