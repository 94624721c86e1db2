//! `moongate crds`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::Crds;
use crate::logging;

/// Prints all definitions, or applies them.
pub(crate) fn run(options: &Crds) -> anyhow::Result<ExitCode> {
    match options.apply {
        true => apply(),
        false => print(),
    }
}

/// As one stream of documents.
fn print() -> anyhow::Result<ExitCode> {
    let documents: Vec<String> = controller::crd::yaml().into_iter().map(|(_, text)| text).collect();
    std::io::stdout().write_all(documents.join("---\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn apply() -> anyhow::Result<ExitCode> {
    logging::start(crate::cli::LogFormat::Text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = controller::cluster::client().await.context("cannot find the API server")?;
        controller::crd::apply(client).await?;
        Ok(ExitCode::SUCCESS)
    })
}
