//! The VM as a host sees it.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not in #[test] functions")]
#[path = "it/basics.rs"]
mod basics;
#[path = "it/bounded.rs"]
mod bounded;
#[path = "it/compiled.rs"]
mod compiled;
#[path = "it/coroutines.rs"]
mod coroutines;
#[path = "it/fake.rs"]
mod fake;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/modules.rs"]
mod modules;
#[path = "it/sandbox.rs"]
mod sandbox;
#[path = "it/soak.rs"]
mod soak;
#[path = "it/sweep.rs"]
mod sweep;
