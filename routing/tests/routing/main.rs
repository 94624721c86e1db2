//! The router and the forms in which it matches, from outside, as the data plane uses them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests too, which clippy.toml does not know"
)]

mod host;
mod naive;
mod path;
mod precedence;
mod random;
mod sharing;
