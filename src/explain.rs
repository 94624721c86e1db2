//! `moongate explain`: what happens to a request.

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::Explain;

/// Prints the route, why it won, its plugins and its upstream.
pub(crate) fn explain(options: &Explain) -> anyhow::Result<ExitCode> {
    let Explain { files, url, method, headers } = options;
    let text = controller::explain::explain(&files.paths, url, method, headers).context("--url")?;
    println!("{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}
