//! `moongate crds`.

use std::io::Write;
use std::process::ExitCode;

/// Prints all definitions as one stream of documents.
pub(crate) fn print() -> anyhow::Result<ExitCode> {
    let documents: Vec<String> = controller::crd::yaml().into_iter().map(|(_, text)| text).collect();
    std::io::stdout().write_all(documents.join("---\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
