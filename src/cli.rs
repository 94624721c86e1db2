//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod controller;

pub(crate) use controller::{Controller, Publish};

/// A Kubernetes ingress controller that runs OpenResty-style Lua on every request.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the Ingress objects and plugins of YAML files, without a cluster, and follow every change of the files
    Run(Run),
    /// Serve by the table that the controllers of a cluster push
    Dataplane(Dataplane),
    /// Print every problem of YAML files: file, object, field and what to do. Exits with 1 when there is an error
    Check(Files),
    /// Tell what happens to a request: which route and why, which plugins in which order, which upstream
    Explain(Explain),
    /// Watch a Kubernetes API server, and push the routing table to data planes
    Controller(Box<Controller>),
    /// Send a request until its status is the expected one: for `helm test`, and within the image, which has no curl
    Probe(Probe),
    /// Print the CustomResourceDefinitions, for `kubectl apply -f -`
    Crds(Crds),
    /// Scale a Deployment to nothing and wait until its pods are gone: before `helm uninstall` takes their rights away
    ScaleDown(ScaleDown),
}

#[derive(Args)]
pub(crate) struct Files {
    /// Files, or directories that are read with everything below them: *.yaml, *.yml and *.json
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) serving: Serving,
    /// Where /live, /ready, /serving and /metrics are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub(crate) admin: SocketAddr,
    /// On SIGTERM: how long to go on accepting, not ready, until nobody sends requests here any more
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) shutdown_delay: u32,
    /// On SIGTERM: how long requests that are under way may take after that. A second signal ends at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) shutdown_grace: u32,
}

/// What every process that serves has.
#[derive(Args)]
pub(crate) struct Serving {
    /// Where plain HTTP is served; may be given several times
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub(crate) http: Vec<SocketAddr>,
    /// Where HTTPS is served; may be given several times
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    pub(crate) https: Vec<SocketAddr>,
    /// Threads that serve [default: the CPU quota of the cgroup, or the number of CPUs]
    #[arg(long, value_name = "N", overrides_with = "workers", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Logs go to stderr, the access log to stdout
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Args)]
pub(crate) struct Dataplane {
    /// Where the controllers' push is: a name with a port, each of whose addresses is one; may be given several times
    #[arg(long = "controller", value_name = "HOST:PORT", required = true, value_parser = host_port)]
    pub(crate) controllers: Vec<String>,
    /// PEM of the CAs that a controller's certificate may be of; read again for each connection
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// The ServiceAccount token that controllers know this pod by; read again for each connection, and when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) token: PathBuf,
    /// Where the last table is kept, for a start while no controller answers [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub(crate) table_file: Option<PathBuf>,
    /// Keep private keys and passwords in that file even though it is not on a memory-backed file system
    #[arg(long, requires = "table_file")]
    pub(crate) persist_secrets: bool,
    #[command(flatten)]
    pub(crate) serving: Serving,
    /// Where /live, /ready, /serving and /metrics are served
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9090")]
    pub(crate) admin: SocketAddr,
    /// On SIGTERM: how long to go on accepting, not ready, until nobody sends requests here any more
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub(crate) shutdown_delay: u32,
    /// On SIGTERM: how long requests that are under way may take after that. A second signal ends at once
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) shutdown_grace: u32,
}

fn host_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("a name and a port are needed, as in `moongate-controller-headless.moongate.svc:8444`".into()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people, and for greps made for OpenResty's error log
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Args)]
pub(crate) struct Crds {
    /// Apply them to the API server instead, and wait until it serves them
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Args)]
pub(crate) struct ScaleDown {
    /// The Deployment
    #[arg(value_name = "NAMESPACE/NAME", value_parser = controller::object_name)]
    pub(crate) deployment: routing::ObjectName,
    /// How long its pods may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u16,
}

#[derive(Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The request's URL, such as https://shop.example.com/cart?id=1
    #[arg(long)]
    pub(crate) url: String,
    /// The request's method
    #[arg(long, default_value = "GET")]
    pub(crate) method: String,
    /// A header of the request, `Name: value`; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Args)]
pub(crate) struct Probe {
    /// What to ask for, http://HOST[:PORT][/PATH]
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The Host header, if not the URL's
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The status that is expected
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) status: u16,
    /// How long to try again
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) timeout: u16,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("a header is written `Name: value`".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command, header};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_may_be_given_several_times() {
        let line = ["moongate", "run", "a", "b", "--http", "127.0.0.1:1", "--http", "[::1]:1", "--workers", "2"];
        let Command::Run(run) = Cli::try_parse_from(line).unwrap().command else { panic!("not run") };
        assert_eq!((run.files.paths.len(), run.serving.http.len(), run.serving.workers), (2, 2, Some(2)));
        assert_eq!(run.serving.https, ["0.0.0.0:8443".parse().unwrap()]);
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        let check = |line: &[&str]| assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        check(&["moongate", "run"]);
        check(&["moongate", "run", "a", "--workers", "0"]);
        check(&["moongate", "run", "a", "--http", "8080"]);
        check(&["moongate", "explain", "a"]);
        check(&["moongate", "dataplane", "--ca", "c", "--token", "t"]);
        check(&["moongate", "dataplane", "--ca", "c", "--token", "t", "--controller", "name-without-port"]);
        check(&["moongate", "explain", "a", "--url", "http://x/", "--header", "X"]);
    }

    #[test]
    fn a_header_may_have_colons_in_its_value() {
        assert_eq!(header("X-A:b: c"), Ok(("X-A".into(), "b: c".into())));
        assert!(header(": a").is_err());
    }
}
