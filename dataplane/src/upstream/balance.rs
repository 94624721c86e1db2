//! Which endpoint a request goes to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use crate::table::Upstream;
use crate::worker::Worker;

/// Round-robin positions, one per upstream and worker.
#[derive(Default)]
pub struct Turns(RefCell<HashMap<u64, usize, crate::clock::FastHash>>);

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
    let mut turns = worker.pools.turns.0.borrow_mut();
    // A random start: otherwise every worker of every replica would begin with the same endpoint.
    let turn = turns.entry(upstream.id).or_insert_with(|| worker.random() as usize);
    for _ in 0..n {
        let address = addresses[*turn % n];
        *turn = turn.wrapping_add(1);
        if !tried(address) {
            return Some(address);
        }
    }
    let address = addresses[*turn % n];
    *turn = turn.wrapping_add(1);
    Some(address)
}

impl Turns {
    /// Forgets upstreams that are gone.
    pub fn retain(&self, alive: impl Fn(u64) -> bool) {
        self.0.borrow_mut().retain(|id, _| alive(*id));
    }
}
