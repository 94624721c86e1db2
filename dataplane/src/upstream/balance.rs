//! Which endpoint a request goes to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::table::Upstream;
use crate::worker::Worker;

/// An upstream's round-robin positions, one per worker. They start at random: otherwise every worker of every replica
/// would begin with the same endpoint.
#[derive(Debug)]
pub struct Turns(Box<[Turn]>);

/// In a cache line of its own: only its worker touches it.
#[derive(Debug)]
#[repr(align(64))]
struct Turn(AtomicUsize);

/// The next endpoint in turn that `tried` does not have; when all were tried, the next in turn. None: no endpoint.
pub fn next(
    worker: &Worker,
    upstream: &Upstream,
    addresses: &[SocketAddr],
    tried: impl Fn(SocketAddr) -> bool,
) -> Option<SocketAddr> {
    let n = addresses.len();
    if n <= 1 {
        return addresses.first().copied();
    }
    let next = || addresses[upstream.turns.next(worker.id) % n];
    for _ in 0..n {
        let address = next();
        if !tried(address) {
            return Some(address);
        }
    }
    Some(next())
}

impl Turns {
    /// Positions for so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Turn(AtomicUsize::new(crate::clock::random_seed() as usize))).collect())
    }

    fn next(&self, worker: usize) -> usize {
        // No other thread writes it, so this needs no locked instruction.
        let turn = &self.0[worker % self.0.len()].0;
        let at = turn.load(Ordering::Relaxed);
        turn.store(at.wrapping_add(1), Ordering::Relaxed);
        at
    }
}
