//! `moongate explain`: what happens to a request.

use std::process::ExitCode;

use crate::cli::Explain;

/// Prints the route, why it won, its plugins and its upstream.
pub(crate) fn explain(_options: &Explain) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
