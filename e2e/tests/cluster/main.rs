//! Moongate on a real Kubernetes: one cluster serves all of these tests, each with a namespace of its own.
//!
//! They need Linux and root. Elsewhere, or with `MOONGATE_CLUSTER=0`, each says on stderr that it is not run.

#![forbid(unsafe_code)]

mod controller;
mod smoke;
