//! The control plane: etcd, the API server, the controllers and the scheduler.

use std::path::Path;

use super::part::Part;
use super::pki::Pki;
use super::sandbox::Holder;
use super::tools::Tools;
use super::{NODE_ADDRESS, SERVICES, START};
use crate::process;
use crate::wait::until_slowly;

/// The programs of the control plane, each of which a test may end and start again.
pub struct Control {
    /// etcd.
    pub etcd: Part,
    /// The API server.
    pub apiserver: Part,
    /// kube-controller-manager.
    pub controllers: Part,
    /// kube-scheduler; only where there are nodes.
    pub scheduler: Option<Part>,
}

/// Where the API server is, from inside the cluster's networks.
pub fn server() -> String {
    format!("https://{}:6443", NODE_ADDRESS[0])
}

/// Signs what the control plane and its clients need.
pub fn certificates(pki: &Pki) -> anyhow::Result<()> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "127.0.0.1",
        NODE_ADDRESS[0],
        "10.201.0.1",
    ];
    pki.sign("apiserver", "kube-apiserver", None, &names)?;
    pki.sign("apiserver-kubelet", "apiserver-kubelet-client", Some("system:masters"), &[])?;
    pki.sign("admin", "admin", Some("system:masters"), &[])?;
    for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        pki.sign(component, &format!("system:{component}"), None, &[])?;
    }
    pki.sign("coredns", "coredns", Some("system:masters"), &[])?;
    for name in ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"] {
        pki.kubeconfig(name, &server())?;
    }
    Ok(())
}

impl Control {
    /// Starts it, and waits until the API server is ready.
    pub fn start(
        node: &'static Holder,
        tools: &Tools,
        pki: &Pki,
        client: &Holder,
        state: &Path,
        nodes: bool,
    ) -> anyhow::Result<Self> {
        let (program, arguments) = (tools.path("etcd"), etcd(state));
        let etcd = Part::start("etcd", state, move || {
            let mut command = node.command(&program);
            command.args(&arguments);
            command
        })?;
        let apiserver = component(node, tools, state, "kube-apiserver", apiserver(pki))?;
        await_ready(client, &apiserver);
        let controllers = component(node, tools, state, "kube-controller-manager", controllers(pki))?;
        let scheduler = [
            format!("--kubeconfig={}", pki.file("kube-scheduler.kubeconfig")),
            "--bind-address=127.0.0.1".into(),
            "--leader-elect=false".into(),
        ];
        let scheduler = nodes.then(|| component(node, tools, state, "kube-scheduler", scheduler.into())).transpose()?;
        Ok(Self { etcd, apiserver, controllers, scheduler })
    }

    /// All of them.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.etcd, &self.apiserver, &self.controllers].into_iter().chain(self.scheduler.as_ref())
    }
}

/// One of the programs in `kube`.
pub fn component(
    node: &'static Holder,
    tools: &Tools,
    logs: &Path,
    name: &'static str,
    arguments: Vec<String>,
) -> anyhow::Result<Part> {
    let program = tools.path("kube");
    Part::start(name, logs, move || {
        let mut command = node.command(&program);
        command.arg(name).args(&arguments);
        command
    })
}

/// Waits until the API server answers that it is ready.
pub fn await_ready(client: &Holder, apiserver: &Part) {
    until_slowly(START, "the API server's readiness", || {
        apiserver.assert_running();
        let mut curl = client.command("curl");
        let said = process::run(curl.args(["-sk", "--max-time", "5", &format!("{}/readyz", server())]));
        match said.stdout.as_slice() {
            b"ok" => Ok(()),
            other => Err(format!("{}\n{}", String::from_utf8_lossy(other), apiserver.tail())),
        }
    });
}

fn etcd(state: &Path) -> Vec<String> {
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    vec![
        format!("--data-dir={}", state.join("etcd").display()),
        // The cluster does not outlive the machine.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
        format!("--initial-cluster=default={peer}"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
    ]
}

fn apiserver(pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.file(name));
    vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        "--bind-address=0.0.0.0".into(),
        format!("--advertise-address={}", NODE_ADDRESS[0]),
        "--secure-port=6443".into(),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("client-ca-file", "ca.crt"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        file("kubelet-client-certificate", "apiserver-kubelet.crt"),
        file("kubelet-client-key", "apiserver-kubelet.key"),
        file("kubelet-certificate-authority", "ca.crt"),
        "--kubelet-preferred-address-types=InternalIP".into(),
        // Each test makes its own namespace: events of one hour would only be memory.
        "--event-ttl=30m".into(),
    ]
}

fn controllers(pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.file(name));
    vec![
        file("kubeconfig", "kube-controller-manager.kubeconfig"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        file("service-account-private-key-file", "sa.key"),
        file("root-ca-file", "ca.crt"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        "--bind-address=127.0.0.1".into(),
        // With the defaults its controllers start 150 ms apart, and the first ServiceAccount comes after 7 s.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
        // Before a node whose kubelet is silent counts as dead: far beyond what a starved machine does to it, and what a
        // test's absent API server does, since all of its pods are not ready from then on.
        "--node-monitor-grace-period=600s".into(),
    ]
}
