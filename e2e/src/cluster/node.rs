//! A node: containerd, the kubelet and kube-proxy in namespaces of their own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::control::{component, server};
use super::part::Part;
use super::pki::Pki;
use super::sandbox::{Holder, Sandbox};
use super::tools::Tools;
use super::{DNS, NODE_ADDRESS, PAUSE};
use crate::process;

/// A node of the cluster.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its namespaces.
    pub holder: &'static Holder,
    /// containerd. Pods outlive it.
    pub containerd: Part,
    /// The kubelet. Pods outlive it.
    pub kubelet: Part,
    /// kube-proxy.
    pub proxy: Part,
    socket: PathBuf,
}

/// Gives a node its address and the client a way to it; `index` counts from 0.
pub fn connect(client: &Holder, node: &Holder, index: usize) -> anyhow::Result<()> {
    let (number, address) = (index + 1, NODE_ADDRESS[index]);
    let mut script = format!(
        "ip link add node{number} type veth peer name eth0 netns {}
         ip link set node{number} master outside up
         ip route add 10.202.{index}.0/24 via {address}\n",
        node.pid
    );
    if index == 0 {
        // Services, and the addresses that a load balancer would have, are reached through the first node.
        write!(script, "ip route add 10.201.0.0/16 via {address}\nip route add 10.203.0.0/24 via {address}\n")?;
    }
    client.script(&script)?;
    let mut script = format!(
        "ip addr add {address}/24 dev eth0
         ip link set eth0 up
         ip route add default via 10.200.0.1\n"
    );
    for (other, address) in NODE_ADDRESS.iter().enumerate().filter(|(other, _)| *other != index) {
        writeln!(script, "ip route add 10.202.{other}.0/24 via {address}")?;
    }
    // All of the tests' clients have one address, whose ports come round in about a minute, when their sockets have left
    // TIME_WAIT: a connection that the node still remembered then, as it does for two minutes, would be sent to the pod that
    // the earlier one went to, which may be gone.
    script.push_str("[ -e /proc/sys/net/netfilter ] || modprobe nf_conntrack\n");
    for state in ["time_wait", "fin_wait"] {
        writeln!(script, "echo 30 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{state}")?;
    }
    node.script(&script)
}

impl Node {
    /// Starts its programs; the API server is there.
    pub fn start(
        sandbox: &Sandbox,
        holder: &'static Holder,
        tools: &Tools,
        pki: &Pki,
        index: usize,
    ) -> anyhow::Result<Self> {
        let name = format!("node{}", index + 1);
        let folder = sandbox.state.join(&name);
        for part in ["cni", "podlogs", "volplugins"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let cgroup = format!("/{}/{name}", sandbox.name());
        make_cgroups(&cgroup)?;
        std::fs::write(folder.join("resolv.conf"), "")?;
        std::fs::write(folder.join("containerd.toml"), containerd(&folder))?;
        std::fs::write(folder.join("cni/10-bridge.conflist"), cni(&folder, index))?;
        let user = format!("system:node:{name}");
        pki.sign(&name, &user, Some("system:nodes"), &[&name, NODE_ADDRESS[index]])?;
        let kubeconfig = pki.kubeconfig(&name, &server())?;
        std::fs::write(folder.join("kubelet.yaml"), kubelet(&folder, pki, &name, &cgroup))?;
        std::fs::write(folder.join("proxy.yaml"), proxy(pki, &name))?;

        let config = folder.join("containerd.toml");
        let containerd = Part::start("containerd", &folder, move || {
            let mut command = holder.command("containerd");
            command.arg("--config").arg(&config);
            command
        })?;
        let arguments = vec![
            format!("--config={}", folder.join("kubelet.yaml").display()),
            format!("--kubeconfig={kubeconfig}"),
            format!("--root-dir={}", folder.join("kubelet").display()),
            format!("--hostname-override={name}"),
            format!("--node-ip={}", NODE_ADDRESS[index]),
        ];
        let socket = folder.join("c.sock");
        // The kubelet ends when it finds no runtime.
        crate::until("containerd's socket", || {
            containerd.assert_running();
            if socket.exists() { Ok(()) } else { Err(containerd.tail()) }
        });
        let kubelet = component(holder, tools, &folder, "kubelet", arguments)?;
        let config = format!("--config={}", folder.join("proxy.yaml").display());
        let proxy = component(holder, tools, &folder, "kube-proxy", vec![config])?;
        Ok(Self { name, holder, containerd, kubelet, proxy, socket })
    }

    /// Makes an image known to the node.
    pub fn load(&self, archive: &Path) -> anyhow::Result<()> {
        let mut ctr = self.ctr();
        ctr.args(["images", "import"]).arg(archive);
        let output = process::run(&mut ctr);
        anyhow::ensure!(output.status.success(), "ctr images import: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// containerd's client.
    pub fn ctr(&self) -> Command {
        let mut command = self.holder.command("ctr");
        command.arg("-a").arg(&self.socket).args(["-n", "k8s.io"]);
        command
    }

    /// All of its programs.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.containerd, &self.kubelet, &self.proxy].into_iter()
    }
}

/// What the cluster's pods weigh against whatever else runs on the machine, in the terms of both versions of cgroups.
/// With the default they would share one program's part of the CPU: a compiler beside them, and probes time out.
const WEIGHT: [(&str, &str); 2] = [("cpu.shares", "8192"), ("cpu.weight", "800")];

/// Makes a cgroup in each hierarchy, since the kubelet wants its root to be there.
fn make_cgroups(cgroup: &str) -> anyhow::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let parts: Vec<&str> = cgroup.split('/').filter(|part| !part.is_empty()).collect();
    let unified = root.join("cgroup.controllers").exists();
    let hierarchies: Vec<PathBuf> = match unified {
        true => vec![root.to_path_buf()],
        false => std::fs::read_dir(root)?.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect(),
    };
    for hierarchy in hierarchies {
        let mut place = hierarchy;
        for part in &parts {
            if unified {
                // Only what the parent hands down can be limited; those that the machine lacks are refused one by one.
                for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
                    let _ = std::fs::write(place.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
            let inner = place.join(part);
            if !inner.exists() {
                std::fs::create_dir(&inner).with_context(|| format!("cannot make {}", inner.display()))?;
                for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| !unified && place.join(file).exists()) {
                    std::fs::write(inner.join(file), std::fs::read(place.join(file))?)?;
                }
                for (file, weight) in WEIGHT.iter().filter(|(file, _)| inner.join(file).exists()) {
                    std::fs::write(inner.join(file), weight)?;
                }
            }
            place = inner;
        }
    }
    Ok(())
}

fn containerd(folder: &Path) -> String {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|path| Path::new(path).exists());
    format!(
        r#"version = 2
root = "{0}/root"
state = "{0}/state"
[grpc]
  address = "{0}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{0}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Where a process may not lower oom_score_adj (no CAP_SYS_RESOURCE), every pod would fail without this.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{1}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{0}/cni"
"#,
        folder.display(),
        runc.unwrap_or("runc"),
    )
}

fn cni(folder: &Path, index: usize) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "ipMasq": false, "hairpinMode": true,
    "ipam": {{"type": "host-local", "dataDir": "{}/ipam", "ranges": [[{{"subnet": "10.202.{index}.0/24"}}]]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
"#,
        folder.display()
    )
}

fn kubelet(folder: &Path, pki: &Pki, name: &str, cgroup: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {ca}}}}}
authorization: {{mode: Webhook}}
clusterDomain: cluster.local
clusterDNS: [{DNS}]
resolvConf: {folder}/resolv.conf
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix://{folder}/c.sock
maxOpenFiles: 20000
oomScoreAdj: 0
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
podLogsDir: {folder}/podlogs
volumePluginDir: {folder}/volplugins
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}}
# A test that changes a ConfigMap or Secret of a pod does not wait for a minute.
syncFrequency: 10s
configMapAndSecretChangeDetectionStrategy: Watch
registryPullQPS: 0
",
        ca = pki.file("ca.crt"),
        folder = folder.display(),
        certificate = pki.file(&format!("{name}.crt")),
        key = pki.file(&format!("{name}.key")),
    )
}

fn proxy(pki: &Pki, name: &str) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
bindAddress: 0.0.0.0
hostnameOverride: {name}
clientConnection: {{kubeconfig: {}}}
clusterCIDR: 10.202.0.0/16
nftables: {{minSyncPeriod: 100ms}}
# The sysctls of conntrack are not settable in a network namespace.
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
",
        pki.file("kube-proxy.kubeconfig")
    )
}
