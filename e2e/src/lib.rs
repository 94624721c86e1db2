//! Tests of Moongate as its users meet it: the real binary, real servers behind it, real clients before it.
//!
//! - [`moongate`]: the binary, on free ports, with a directory of manifests
//! - [`manifests`]: the directory and the objects in it
//! - [`upstream`]: servers behind it: scripted TCP, nginx, Python
//! - [`client`]: clients before it: raw sockets, curl, openssl
//! - [`load`]: a steady load, of which no request may fail
//! - [`wait`]: for a condition, with a deadline
//! - [`metrics`]: what a scrape says
//! - [`h2`]: HTTP/2 frames written by hand
//! - [`certificates`]: made by openssl
//! - [`chart`]: the Helm chart, rendered
//! - [`cluster`]: a real Kubernetes
//! - [`console`]: commands of a document
//! - [`plugin_tests`]: tests of plugins, as data
//! - [`tidy`]: the rules of the house
#![forbid(unsafe_code)]
#![expect(clippy::panic, reason = "all of this is test code: a panic is the failure of a test")]

pub mod certificates;
pub mod chart;
pub mod client;
pub mod cluster;
pub mod console;
pub mod h2;
pub mod load;
pub mod manifests;
pub mod metrics;
pub mod moongate;
pub mod plugin_tests;
pub mod process;
pub mod tidy;
pub mod upstream;
pub mod wait;

pub use client::{Client, Response, curl};
pub use load::Load;
pub use manifests::Manifests;
pub use moongate::Moongate;
pub use upstream::Upstream;
pub use wait::{DEADLINE, until, until_within};
