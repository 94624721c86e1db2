//! `moongate run`: files in, requests served.

use std::process::ExitCode;

use anyhow::Context;
use dataplane::server::{Options, Server};

use crate::cli::Run;
use crate::ending::{self, Ending};
use crate::follow::Follow;
use crate::logging;
use crate::watch::Watch;

/// Serves until a signal ends it.
pub(crate) fn run(options: &Run) -> anyhow::Result<ExitCode> {
    dataplane::server::prepare_process();
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
    ending::tell(&server);
    loop {
        tokio::select! {
            changed = watch.changed() => follow.reload(&mut server, &changed?),
            () = ending.asked() => break,
        }
    }
    ending.drain(server, options.shutdown_delay, options.shutdown_grace).await
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
