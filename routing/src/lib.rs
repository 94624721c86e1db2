//! The contract between the controller and the data plane: the routing table as plain types,
//! and the router that is compiled from it. No kube, no tokio, no Lua.
//!
//! In the order in which data travels:
//! - [`key`]: what a resource of the table is called
//! - [`value`]: what it says
//! - [`names()`]: what it refers to
//! - [`hash`]: whether it changed
//! - [`change`]: how a table moves from one state to the next
//! - [`path`]: the form in which request paths are matched
//! - [`router`]: host and path to route
//! - [`wire`]: how a table goes from a controller to a data plane
//!
//! And what both sides need alike: [`secret`], [`seats`].
#![forbid(unsafe_code)]

pub mod change;
pub mod hash;
pub mod key;
mod names;
pub mod path;
pub mod router;
pub mod seats;
pub mod secret;
pub mod value;
pub mod wire;

pub use change::{Change, Commit, KeyProblem, Table};
pub use hash::Hash;
pub use key::{Key, ObjectName, PathKind, RouteKey};
pub use names::names;
pub use secret::PrivateBytes;
pub use value::Value;
