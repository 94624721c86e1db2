//! `moongate scale-down`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::cli::ScaleDown;
use crate::logging;

/// Ends the pods of a Deployment, and waits for that.
pub(crate) fn run(options: &ScaleDown) -> anyhow::Result<ExitCode> {
    logging::start(crate::cli::LogFormat::Text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = controller::cluster::client().await.context("cannot find the API server")?;
        let patience = Duration::from_secs(options.timeout.into());
        match controller::scale_down::scale_down(client, &options.deployment, patience).await {
            // A node that is lost must not keep a release from being uninstalled.
            Err(e @ controller::scale_down::NotEnded::Running(..)) => tracing::warn!("{e}; going on without"),
            done => done?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
