//! `moongate dataplane`: requests served by the table that the controllers of a cluster push.

use std::process::ExitCode;

use anyhow::{Context, bail};
use dataplane::push::{self, Metrics, Times};
use dataplane::server::{Options, Server};

use crate::cli::Dataplane;
use crate::ending::{self, Ending};
use crate::logging;

/// Serves until a signal ends it.
pub(crate) fn run(options: &Dataplane) -> anyhow::Result<ExitCode> {
    dataplane::server::prepare_process();
    logging::start(options.log_format);
    // Workers have runtimes of their own; this one has the streams to the controllers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))?;
    // A drain that was cut short may still have its thread.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: &Dataplane) -> anyhow::Result<()> {
    let mut ending = Ending::new()?;
    let server = Server::start(&listeners(options)).context("cannot start serving")?;
    ending::tell(&server);
    let metrics = Metrics::default();
    server.state().shared.metrics.add(|registry| metrics.register(registry));
    tokio::select! {
        () = push::run(source(options), server.tables().clone(), metrics) => bail!("following the controllers ended"),
        () = ending.asked() => {}
    }
    ending.drain(server, options.shutdown_delay, options.shutdown_grace).await
}

fn listeners(options: &Dataplane) -> Options {
    Options {
        http: options.http.clone(),
        https: options.https.clone(),
        admin: Some(options.admin),
        // 0: what the cgroup's CPU quota grants.
        workers: options.workers.map_or(0, usize::from),
    }
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
