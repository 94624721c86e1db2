//! A serving process's beginning and end, whatever feeds it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use dataplane::server::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

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

    /// Lets what is under way finish, unless it is asked again. Seconds.
    pub(crate) async fn drain(&mut self, server: Server, delay: u32, grace: u32) -> anyhow::Result<()> {
        info!(delay, grace, "ending: what is under way may finish");
        let drained = tokio::task::spawn_blocking(move || server.shutdown(seconds(delay), seconds(grace)));
        tokio::select! {
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
