//! Namespaces that the cluster's processes live in, and their end.
//!
//! Each node is a PID, mount and network namespace with a first process of its own; the outside client is a network
//! namespace. Nothing in the machine's own network or mounts is touched, and no name in `/run/netns` is made. A shell
//! (`reap.sh`) waits for the end of the harness, however it ends, and then ends the namespaces, with all that runs in
//! them, and removes what they leave: cgroups and the state folder.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const REAP: &str = include_str!("reap.sh");
/// Where the programs are that a node's programs call by name.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a node's first process does: mounts of its own where programs have fixed paths, then nothing. It ignores
/// SIGCHLD, so that the kernel reaps what is left to it.
const NODE: &str = "set -e
mount --make-rshared /
mount -t tmpfs tmpfs /run
for place in /var/lib/kubelet /var/lib/cni /var/log/containers /var/log/pods; do
  mkdir -p $place
  mount -t tmpfs tmpfs $place
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo ready
exec env --ignore-signal=CHLD sleep infinity";

/// The client's: a bridge that every node is connected to, and the route to services and pods.
const CLIENT: &str = "set -e
ip link set lo up
ip link add outside type bridge
ip addr add 10.200.0.1/24 dev outside
ip link set outside up
echo ready
exec sleep infinity";

/// The state folder of a cluster, and the shell that cleans up after it.
pub struct Sandbox {
    /// What the cluster writes lies here. Its last part is the cluster's name.
    pub state: PathBuf,
    /// The network namespace that the harness was started in.
    host: File,
    input: Option<ChildStdin>,
    reaper: Child,
}

/// A process that keeps namespaces alive.
pub struct Holder {
    /// The process inside, as the machine numbers it.
    pub pid: u32,
    network: File,
    has_processes: bool,
    _child: Child,
}

impl Sandbox {
    /// Removes what dead harnesses left, and makes a state folder.
    pub fn new() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let clusters = super::tools::cache()?.join("clusters");
        sweep(&clusters)?;
        let own = std::process::id();
        let state = clusters.join(format!("moongate-{own}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
        std::fs::write(state.join("owner"), identity(own)?)?;
        let mut reaper = reap(&state).stdin(Stdio::piped()).spawn().context("cannot start sh")?;
        let input = reaper.stdin.take();
        Ok(Self { state, host: File::open("/proc/thread-self/ns/net")?, input, reaper })
    }

    /// The cluster's name: of its cgroup too.
    pub fn name(&self) -> &str {
        self.state.file_name().and_then(|name| name.to_str()).expect("the folder's name is ours")
    }

    /// The outside client's network.
    pub fn client(&self) -> anyhow::Result<Holder> {
        self.hold(&["--net"], CLIENT, false)
    }

    /// A node.
    pub fn node(&self) -> anyhow::Result<Holder> {
        self.hold(&["--net", "--mount", "--propagation=private", "--pid", "--mount-proc"], NODE, true)
    }

    /// Puts the calling thread, and threads that it will start, into the network that the harness was started in.
    pub fn leave(&self) -> anyhow::Result<()> {
        move_into_link_name_space(self.host.as_fd(), Some(LinkNameSpaceType::Network)).context("cannot leave")
    }

    /// Ends all of it, and waits for that.
    pub fn end(&mut self) {
        drop(self.input.take());
        // Its own waits are bounded.
        let _ = self.reaper.wait();
    }

    fn hold(&self, namespaces: &[&str], script: &str, has_processes: bool) -> anyhow::Result<Holder> {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["--fork", "--kill-child=KILL", "sh", "-c", script]).env("PATH", PATH);
        let log = File::create(self.state.join(format!("holder-{}.log", namespaces.len())))?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().context("unshare")?;
        // Recorded before anything is done in it.
        let mut record = File::options().append(true).create(true).open(self.state.join("holders"))?;
        record.write_all(identity(child.id())?.as_bytes())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("unshare has an output")?).read_line(&mut line)?;
        anyhow::ensure!(line == "ready\n", "cannot make namespaces: see {}", self.state.display());
        let pid = inner(child.id()).context("unshare has no child")?;
        record.write_all(identity(pid)?.as_bytes())?;
        let network = File::open(format!("/proc/{pid}/ns/net"))?;
        Ok(Holder { pid, network, has_processes, _child: child })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end();
    }
}

impl Holder {
    /// A program in these namespaces that ends with the process that is started by this command.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid)).arg("--net");
        if self.has_processes {
            command.args(["--mount", "--pid"]);
        }
        command.args(["--", "setpriv", "--pdeathsig=KILL", "--"]).arg(program.as_ref()).env("PATH", PATH);
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Runs a shell script there, to its end.
    pub fn script(&self, script: &str) -> anyhow::Result<()> {
        let output = self.command("sh").args(["-ec", script]).output().context("nsenter")?;
        anyhow::ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Puts the calling thread, and threads and processes that it will start, into this network.
    pub fn enter(&self) -> anyhow::Result<()> {
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network)).context("cannot enter")
    }
}

/// The one child of a process.
pub fn inner(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_whitespace().next()?.parse().ok()
}

/// A process's id and its start.
fn identity(pid: u32) -> anyhow::Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let start = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)).context("stat has 22 fields")?;
    Ok(format!("{pid} {start}\n"))
}

fn reap(state: &Path) -> Command {
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", REAP, "reap"]).arg(state).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Ends clusters whose harness is gone and that nothing ended: a machine that killed both, for instance.
fn sweep(clusters: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(clusters)?;
    for entry in std::fs::read_dir(clusters)? {
        let state = entry?.path();
        // A folder without an owner is one that its harness is making or its reaper is removing now.
        let Ok(owner) = std::fs::read_to_string(state.join("owner")) else { continue };
        let pid = owner.split(' ').next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        if identity(pid).ok().as_ref() != Some(&owner) {
            let _ = reap(&state).stdin(Stdio::null()).status();
        }
    }
    Ok(())
}
