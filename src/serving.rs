//! A serving process's beginning and end, whatever feeds it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use dataplane::server::{self, Options, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::Serving;
use crate::logging;

/// Runs what feeds a server until a signal ends it.
pub(crate) fn run(options: &Serving, serve: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    server::prepare_process();
    logging::start(options.log_format);
    // Workers have runtimes of their own; this one waits for what feeds them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve)?;
    // A drain that was cut short may still have its thread.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// Starts a server.
pub(crate) fn start(options: &Serving, admin: SocketAddr) -> anyhow::Result<Server> {
    let options = Options {
        http: options.http.clone(),
        https: options.https.clone(),
        admin: Some(admin),
        // 0: what the cgroup's CPU quota grants.
        workers: options.workers.map_or(0, usize::from),
    };
    Server::start(&options).context("cannot start serving")
}

/// SIGTERM, as Kubernetes and systemd send it, and SIGINT, as Ctrl-C does.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Lets what is under way finish, unless it is asked again. Seconds. What feeds the server goes on as long as it
    /// accepts; then it ends, so that whoever counts it does so no more.
    pub(crate) async fn drain(
        &mut self,
        server: Server,
        delay: u32,
        grace: u32,
        feed: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        info!(delay, grace, "ending: what is under way may finish");
        let drained = tokio::task::spawn_blocking(move || server.shutdown(seconds(delay), seconds(grace)));
        let fed = async {
            let _ = tokio::time::timeout(seconds(delay), feed).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = fed => {}
            result = drained => result.context("draining failed")?,
            () = self.asked() => warn!("asked again: ending at once"),
        }
        Ok(())
    }
}

/// Tells where it serves.
pub(crate) fn tell(server: &Server) {
    let at = server.addresses();
    info!(http = %list(&at.http), https = %list(&at.https), admin = %list(&at.admin), "serving");
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> String {
    addresses.into_iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(n.into())
}
