//! `moongate dataplane`: requests served by the table that the controllers of a cluster push.

use std::process::ExitCode;

use anyhow::bail;
use dataplane::push::{self, Metrics, Times};

use crate::cli::Dataplane;
use crate::serving::{self, Ending};

/// Serves until a signal ends it.
pub(crate) fn run(options: &Dataplane) -> anyhow::Result<ExitCode> {
    serving::run(&options.serving, serve(options))
}

async fn serve(options: &Dataplane) -> anyhow::Result<()> {
    let mut ending = Ending::new()?;
    let server = serving::start(&options.serving, options.admin)?;
    serving::tell(&server);
    let metrics = Metrics::default();
    server.state().shared.metrics.add(|registry| metrics.register(registry));
    let mut following = Box::pin(push::run(source(options), server.tables().clone(), metrics));
    tokio::select! {
        () = &mut following => bail!("following the controllers ended"),
        () = ending.asked() => {}
    }
    // Requests come for a while still, and endpoints change meanwhile.
    ending.drain(server, options.shutdown_delay, options.shutdown_grace, following).await
}

fn source(options: &Dataplane) -> push::Options {
    push::Options {
        controllers: options.controllers.clone(),
        ca: options.ca.clone(),
        token: options.token.clone(),
        table_file: options.table_file.clone(),
        persist_secrets: options.persist_secrets,
        version: env!("CARGO_PKG_VERSION").into(),
        times: Times::default(),
    }
}
