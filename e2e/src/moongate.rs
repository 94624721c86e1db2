//! The binary under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::manifests::{config, ingress, service};
use crate::process::{self, Process};
use crate::{Client, Manifests, Response, until};

/// `moongate run` on free loopback ports.
pub struct Moongate {
    /// The process.
    pub process: Process,
    /// Plain HTTP.
    pub http: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
    /// `/live`, `/ready`, `/metrics`.
    pub admin: SocketAddr,
}

impl Moongate {
    /// Starts it with two workers, and waits until it is ready.
    pub fn start(manifests: &Manifests) -> Self {
        Self::start_with(manifests, &[])
    }

    /// The same, with further arguments.
    pub fn start_with(manifests: &Manifests, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("run").arg(manifests.path()).args(["--log-format=json", "--workers=2"]);
        command.args(["--http=127.0.0.1:0", "--https=127.0.0.1:0", "--admin=127.0.0.1:0"]).args(arguments);
        let moongate = Self::of(&mut command, manifests);
        until("readiness", || match moongate.admin("/ready").status {
            200 => Ok(()),
            other => Err(other.to_string()),
        });
        moongate
    }

    /// Runs a command that serves, and waits until it says where; its output goes to the manifests' logs.
    pub fn of(command: &mut Command, manifests: &Manifests) -> Self {
        let mut process = Process::start(command, manifests.logs(), "moongate");
        let serving = until("the line that says where moongate serves", || {
            assert!(process.ended().is_none(), "moongate ended:\n{}", process.log());
            lines(&process.log()).into_iter().find(|l| l["message"] == "serving").ok_or_else(|| process.log())
        });
        let address = |field: &str| {
            let text = serving[field].as_str().unwrap_or_default();
            text.trim_matches(['[', ']']).parse().unwrap_or_else(|_| panic!("no address in {field}: {serving}"))
        };
        Self { http: address("http"), https: address("https"), admin: address("admin"), process }
    }

    /// One with one host that goes to these ports, the MoongateConfig's spec (lines; may be empty) and further
    /// arguments.
    pub fn proxy(host: &str, ports: &[u16], spec: &str, arguments: &[&str]) -> (Manifests, Self) {
        let mut documents = vec![service("backend", ports), ingress("shop", host, "/", "backend", &[])];
        documents.extend((!spec.is_empty()).then(|| config(spec)));
        let manifests = Manifests::of(&documents);
        let moongate = Self::start_with(&manifests, arguments);
        (manifests, moongate)
    }

    /// One request to the admin listener.
    pub fn admin(&self, path: &str) -> Response {
        Client::connect(self.admin).get("admin", path)
    }

    /// The value of a metric's line, given with its labels as it is printed.
    pub fn metric(&self, line: &str) -> Option<f64> {
        let metrics = self.admin("/metrics").text();
        let rest = metrics.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '))?;
        rest.trim().parse().ok()
    }

    /// One GET on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Response {
        Client::connect(self.http).get(host, path)
    }

    /// Waits until a GET is answered as wished.
    pub fn await_answer(&self, host: &str, path: &str, wished: impl Fn(&Response) -> bool) -> Response {
        until(&format!("the awaited answer of {host}{path}"), || {
            let response = self.get(host, path);
            if wished(&response) { Ok(response) } else { Err(format!("{response:?}\n{}", self.process.log())) }
        })
    }

    /// The log's lines so far.
    pub fn log(&self) -> Vec<Value> {
        lines(&self.process.log())
    }

    /// Waits for a log line that has this text anywhere.
    pub fn await_log(&self, text: &str) -> Value {
        until(&format!("a log line with {text:?}"), || {
            let found = self.log().into_iter().find(|line| line.to_string().contains(text));
            found.ok_or_else(|| self.process.log())
        })
    }

    /// The access log's lines so far.
    pub fn access_log(&self) -> Vec<Value> {
        lines(&self.process.output())
    }

    /// Asks it to end and waits for that.
    pub fn stop(mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }
}

/// JSON lines; others are left out, since a line may be half written.
fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Runs a subcommand to its end.
pub fn command(arguments: &[&str]) -> Output {
    process::run(Command::new(binary()).args(arguments))
}

/// The binary, built as these tests are: `MOONGATE_BIN`, or what cargo makes of the workspace now.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("MOONGATE_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// cargo does not build another package's binary for a test. Nothing is to do when it is there already.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its file");
    let profile = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--bin=moongate", "--locked", "--quiet"]).current_dir(crate::tidy::root());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = process::run(&mut cargo);
    assert!(built.status.success(), "cannot build moongate:\n{}", String::from_utf8_lossy(&built.stderr));
    profile.join("moongate")
}
