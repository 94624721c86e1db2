//! Clocks and seeds.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch, with fractions.
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A seed from the operating system's randomness (by way of the standard library's hasher keys); never 0.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(0u8) | 1
}
