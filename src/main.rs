//! `moongate`: one binary with subcommands.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod controller;
mod crds;
mod dataplane;
mod explain;
mod follow;
mod logging;
mod probe;
mod run;
mod scale_down;
mod serving;
mod watch;

use std::process::ExitCode;

use clap::Parser;

// Requests allocate small things of few sizes, freed by the thread that made them: what mimalloc is best at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match cli::Cli::parse().command {
        cli::Command::Run(options) => run::run(&options),
        cli::Command::Dataplane(options) => dataplane::run(&options),
        cli::Command::Check(options) => check::check(&options),
        cli::Command::Explain(options) => explain::explain(&options),
        cli::Command::Probe(options) => probe::run(&options),
        cli::Command::Controller(options) => controller::run(*options),
        cli::Command::Crds(options) => crds::run(&options),
        cli::Command::ScaleDown(options) => scale_down::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("moongate: {}", told(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes. Many libraries' errors end with their cause's text already: that is not said again.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.contains(&cause) => told,
        cause if told.is_empty() => cause,
        cause => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::told;

    #[test]
    fn causes_are_told_once() {
        let inner = || std::io::Error::other("no such host");
        assert_eq!(told(&anyhow::Error::new(inner()).context("cannot connect")), "cannot connect: no such host");
        let wrapped = Err::<(), _>(inner()).context("lookup: no such host").context("cannot connect");
        assert_eq!(told(&wrapped.unwrap_err()), "cannot connect: lookup: no such host");
    }
}
