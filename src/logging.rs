//! Logs of the process, on stderr. `RUST_LOG` chooses what is shown; `info` by default.

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Sets up the process's logging; once.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
