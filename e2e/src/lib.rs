//! Tests of Moongate as its users meet it: the real binary, real servers behind it, real clients before it.
//!
//! - [`tidy`]: the rules of the house
#![forbid(unsafe_code)]

pub mod tidy;
