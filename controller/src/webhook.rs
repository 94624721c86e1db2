//! Whether the API server should take an object: validating admission over HTTPS.
//!
//! The check is that of `moongate check`: the object is read as one of a file, and put over the table as it is, which
//! stays as it is. What is wrong with the object itself is refused; what others could mend (something that is missing,
//! a host that another one has) is told as a warning, so that objects may come in any order. Nothing of Lua is run.
//!
//! - [`review`]: what the API server sends and gets
//! - [`judge`]: the check
//! - `server`: TLS and HTTP, bounded

pub mod judge;
pub mod review;
mod server;

use std::sync::{PoisonError, RwLock};

pub use judge::judge;
pub use review::{Request, Verdict};
pub use server::serve;

use crate::table::Translator;

/// Says whether an object should be taken.
pub trait Check: Send + Sync + 'static {
    /// Looks at a request. It may take a while: it is called outside the runtime's threads.
    fn check(&self, request: &Request) -> Verdict;
}

/// The check against the table as it is.
impl Check for RwLock<Translator> {
    fn check(&self, request: &Request) -> Verdict {
        // Whatever panicked under the lock, reading does no further harm.
        judge(&self.read().unwrap_or_else(PoisonError::into_inner), request)
    }
}

#[cfg(test)]
mod tests;
