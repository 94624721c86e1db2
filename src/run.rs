//! `moongate run`: files in, requests served.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use dataplane::server::{Options, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::cli::Run;
use crate::follow::Follow;
use crate::logging;
use crate::watch::Watch;

/// Serves until a signal ends it.
pub(crate) fn run(options: &Run) -> anyhow::Result<ExitCode> {
    logging::start(options.log_format);
    // Workers have runtimes of their own; this one waits for signals and for files to change.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))?;
    // A drain that was cut short may still have its thread.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: &Run) -> anyhow::Result<()> {
    // Before anything is read, so that no change falls between reading and watching.
    let mut watch = Watch::new(&options.files.paths)?;
    let mut ending = Ending::new()?;
    let mut follow = Follow::open(&options.files.paths);
    let mut server = Server::start(&listeners(options)).context("cannot start serving")?;
    follow.start(&mut server);
    let at = server.addresses();
    info!(http = %list(&at.http), https = %list(&at.https), admin = %list(&at.admin), "serving");
    loop {
        tokio::select! {
            changed = watch.changed() => follow.reload(&mut server, &changed?),
            () = ending.asked() => break,
        }
    }
    info!(delay = options.shutdown_delay, grace = options.shutdown_grace, "ending: what is under way may finish");
    let (delay, grace) = (seconds(options.shutdown_delay), seconds(options.shutdown_grace));
    let drained = tokio::task::spawn_blocking(move || server.shutdown(delay, grace));
    tokio::select! {
        result = drained => result.context("draining failed")?,
        () = ending.asked() => warn!("asked again: ending at once"),
    }
    Ok(())
}

/// SIGTERM, as Kubernetes and systemd send it, and SIGINT, as Ctrl-C does.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listeners(options: &Run) -> Options {
    Options {
        http: options.http.clone(),
        https: options.https.clone(),
        admin: Some(options.admin),
        // 0: what the cgroup's CPU quota grants.
        workers: options.workers.map_or(0, usize::from),
    }
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> String {
    addresses.into_iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(n.into())
}
