//! What the objects' statuses and Events say, and who writes them.
//!
//! Everything that decides is pure and stands in the order of the data: a [`View`] of the translation and
//! [what the data planes say](crate::publish::Planes) come in, the [`judge`] says what an object's status should be, the [`ledger`] which
//! writes are due, and when. The [`writer`] is the thin asynchronous rest: it sends them while this controller leads.
//!
//! The conditions follow GEP-713. A status is written when its object, its code or the set of its failures changes,
//! never because data planes come and go.

mod address;
mod conditions;
mod events;
pub mod judge;
pub mod ledger;
mod meta;
mod metrics;
mod planes;
mod queue;
pub mod view;
mod writer;

pub use address::{Publish, of_nodes, of_service};
pub use meta::{Meta, Stated, Status};
pub use metrics::Metrics;
pub use view::{Facts, Subject, View};
pub use writer::{Options, StatusWriter};

#[cfg(test)]
mod tests;
