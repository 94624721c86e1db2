//! The control side: objects in, routing table and problems out. In this order:
//! - [`crd`]: our custom resources as types, and their definitions
//! - [`problem`]: what is wrong with an object, and what to do
#![forbid(unsafe_code)]

pub mod crd;
pub mod problem;

pub use problem::{ObjectRef, Problem, Severity};
