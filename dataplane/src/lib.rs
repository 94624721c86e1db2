//! The data plane: an async proxy that runs Lua phases on every request.
//!
//! In the order in which a request travels:
//! - [`push`]: commits from the controllers of a cluster
//! - [`server`]: workers, one thread each; applies commits
//! - [`table`]: a commit compiled into what requests read
//! - [`listener`]: sockets and accepting
//! - [`tls`]: certificates by SNI
//! - [`downstream`]: HTTP/1.1 and HTTP/2 towards clients
//! - [`exchange`]: one request and one response, whatever the protocol
//! - [`life`]: the life of a request
//! - [`lua`]: phases and the `ngx.*` API
//! - [`proxy`]: the upstream's part of it
//! - [`upstream`]: pools, balancing, HTTP towards upstreams
//! - [`respond`]: errors and short responses, in one place
//! - [`access_log`], [`metrics`], [`admin`]: seeing it run
#![forbid(unsafe_code)]

pub mod access_log;
pub mod admin;
pub mod clock;
pub mod downstream;
pub mod error;
pub mod exchange;
pub mod io;
pub mod life;
pub mod listener;
pub mod lua;
mod memory;
pub mod metrics;
pub mod proxy;
pub mod push;
pub mod respond;
pub mod server;
pub mod table;
pub mod tls;
pub mod upstream;
pub mod worker;
