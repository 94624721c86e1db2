//! The control side: objects in, routing table and problems out. In this order:
//! - [`problem`]: what is wrong with an object, and what to do
#![forbid(unsafe_code)]

pub mod problem;

pub use problem::{ObjectRef, Problem, Severity};
