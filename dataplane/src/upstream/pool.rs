//! Idle connections to endpoints, per worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::h1;

/// Connections may be shared by requests that would open the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The endpoint.
    pub address: SocketAddr,
    /// TLS: the verified or unverified name sent; none: plain.
    pub tls: Option<(String, bool)>,
}

/// Pools kept at once. Where an endpoint gets the request's host as its TLS name there is one for each host that a
/// client makes up below a wildcard.
const KEYS_MAX: usize = 8192;

struct Idle {
    connection: Box<h1::Connection>,
    since: Instant,
}

/// A worker's idle connections.
#[derive(Default)]
pub struct Pools {
    idle: RefCell<HashMap<PoolKey, Vec<Idle>, crate::clock::FastHash>>,
    /// HTTP/2 connections.
    pub h2: super::h2::Pool,
    /// Names of ExternalName Services, resolved.
    pub names: super::connect::Names,
}

impl Pools {
    /// The connection used last, if it is still open.
    pub async fn take(&self, key: &PoolKey) -> Option<Box<h1::Connection>> {
        loop {
            let mut idle = self.idle.borrow_mut().get_mut(key)?.pop()?;
            let stale = poll_fn(|cx| Poll::Ready(idle.connection.poll_stale(cx))).await;
            if !stale {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection that can carry another request. Beyond `max` the oldest one goes.
    pub fn give(&self, key: PoolKey, connection: Box<h1::Connection>, max: usize) {
        let mut idle = self.idle.borrow_mut();
        if max == 0 || !idle.contains_key(&key) && idle.len() >= KEYS_MAX {
            return;
        }
        let list = idle.entry(key).or_default();
        if list.len() >= max {
            list.remove(0);
        }
        list.push(Idle { connection, since: crate::clock::now() });
    }

    /// Closes connections that idled for longer than `timeout` or that the endpoint closed.
    pub fn sweep(&self, timeout: Duration) {
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain(|_, list| {
            list.retain_mut(|idle| idle.since.elapsed() < timeout && !idle.connection.poll_stale(&mut cx));
            !list.is_empty()
        });
        self.h2.sweep(timeout);
    }
}
