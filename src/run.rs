//! `moongate run`: files in, requests served.

use std::process::ExitCode;

use crate::cli::Run;
use crate::follow::Follow;
use crate::serving::{self, Ending};
use crate::watch::Watch;

/// Serves until a signal ends it.
pub(crate) fn run(options: &Run) -> anyhow::Result<ExitCode> {
    serving::run(&options.serving, serve(options))
}

async fn serve(options: &Run) -> anyhow::Result<()> {
    // Before anything is read, so that no change falls between reading and watching.
    let mut watch = Watch::new(&options.files.paths)?;
    let mut ending = Ending::new()?;
    let mut follow = Follow::open(&options.files.paths);
    let mut server = serving::start(&options.serving, options.admin)?;
    follow.start(&mut server);
    serving::tell(&server);
    loop {
        tokio::select! {
            changed = watch.changed() => follow.reload(&mut server, &changed?),
            () = ending.asked() => break,
        }
    }
    ending.drain(server, options.shutdown_delay, options.shutdown_grace, std::future::pending()).await
}
