//! `moongate check`: every problem of files, as text.

use std::process::ExitCode;

use controller::Severity;

use crate::cli::Files;

/// Prints each problem in a line of its own, and a sum. Fails when there is an error; warnings alone pass.
pub(crate) fn check(options: &Files) -> anyhow::Result<ExitCode> {
    let problems = controller::check::check(&options.paths, crate::follow::now());
    problems.iter().for_each(|problem| println!("{problem}"));
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    println!("{}, {}", count(errors, "error"), count(problems.len() - errors, "warning"));
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
