//! The router and the forms in which it matches, from outside, as the data plane uses them.

mod host;
mod naive;
mod path;
mod precedence;
mod random;
mod sharing;
