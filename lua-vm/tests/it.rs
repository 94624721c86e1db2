//! The VM as a host sees it.
#[path = "it/basics.rs"]
mod basics;
#[path = "it/fake.rs"]
mod fake;
#[path = "it/limits.rs"]
mod limits;
