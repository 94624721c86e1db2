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
        controller::scale_down::scale_down(client, &options.deployment, patience).await?;
        Ok(ExitCode::SUCCESS)
    })
}
