//! The push's other end: the table from the controllers of a cluster, by [`routing::wire`]'s frames.
//!
//! A stream is kept to every controller; the one that leads is followed. In this order:
//! - `controllers`: names to addresses, a stream to each, again after a while where it ends
//! - `connect`: TCP, TLS, and the request that a stream is
//! - `stream`: frames in, batches out
//! - `claims`: whom to follow
//! - `hub`: applies what the followed one commits
//! - `held`: what the table has, as it was sent
//! - `disk`, `mount`: the same, for the next start
//! - [`metrics`]

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::server::Tables;

mod claims;
mod connect;
mod controllers;
mod disk;
mod held;
mod hub;
pub mod metrics;
mod mount;
mod stream;

pub use metrics::Metrics;

/// Where the controllers are, and how they are spoken to. Times have defaults for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct Options {
    /// `name:port`; each of a name's addresses is a controller.
    pub controllers: Vec<String>,
    /// PEM of the CAs that a controller's certificate may be of; read again for each connection.
    pub ca: PathBuf,
    /// The token that says which pod this is; read again for each connection, and sent again when it changes.
    pub token: PathBuf,
    /// Where the last table is kept for the next start; none: nowhere.
    pub table_file: Option<PathBuf>,
    /// Keep keys and passwords there too although it is not in memory.
    pub persist_secrets: bool,
    /// Moongate's version, as controllers see it.
    pub version: String,
    /// Times.
    pub times: Times,
}

/// How long what takes.
#[derive(Clone, Debug)]
pub struct Times {
    /// From connecting to the controller's welcome.
    pub connect: Duration,
    /// Names are looked up at least so often.
    pub resolve: Duration,
    /// Between the first tries; doubled with each failure.
    pub backoff: Duration,
    /// Between tries at most.
    pub backoff_max: Duration,
    /// A frame is sent at least so often.
    pub keep_alive: Duration,
    /// A controller that sends nothing for so long, or takes nothing, is given up.
    pub silence: Duration,
    /// How often the token's file and the scripts' failures are looked at.
    pub look: Duration,
    /// After a leader of a higher term is gone.
    pub refuse_lower: Duration,
    /// How long a controller is waited for before the table of the last run is used.
    pub start_from_disk: Duration,
    /// From a commit to its table on disk.
    pub write: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            resolve: Duration::from_secs(5),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            look: Duration::from_secs(2),
            refuse_lower: Duration::from_secs(60),
            start_from_disk: Duration::from_secs(5),
            write: Duration::from_secs(1),
        }
    }
}

/// Follows the controllers until it is dropped. It never ends by itself: without a controller what is there is served.
pub async fn run(options: Options, tables: Tables, metrics: Metrics) {
    // A handful of controllers, each with a few events under way.
    let (events, received) = mpsc::channel(64);
    let hub = hub::Hub::new(&options, tables, metrics.clone()).run(received);
    let controllers = controllers::follow(options.clone(), events, metrics);
    tokio::join!(hub, controllers);
}
