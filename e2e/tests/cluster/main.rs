//! Moongate on a real Kubernetes: one cluster serves all of these tests, each with a namespace of its own.
//!
//! They need Linux and root. Elsewhere, or with `MOONGATE_CLUSTER=0`, each says on stderr that it is not run.

#![forbid(unsafe_code)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "all of this is test code: a panic is the failure of a test")]

mod cert_manager;
mod controller;
mod failures;
mod install;
mod migration;
mod ownership;
mod plugins;
mod rights;
mod rolling;
mod seen;
mod smoke;
mod ten_thousand;
mod tenants;
mod thousand;
mod tls;
mod traffic;
mod uninstall;
mod upgrade;
mod webhook;
