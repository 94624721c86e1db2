//! How many connections the admin endpoints of both sides serve at once, and of one address: a pod that opens more than it
//! needs must not keep probes and scrapers out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Connections at once.
const MAX: usize = 256;
/// Those of one address: probes and scrapers have one or two.
const EACH_MAX: usize = 8;

/// Who has how many connections.
#[derive(Debug, Default)]
pub struct Seats(HashMap<IpAddr, Arc<()>>);

/// A place for one connection, until it is dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Seats {
    /// A place for one more connection of an address. None: there are enough.
    pub fn take(&mut self, ip: IpAddr) -> Option<Seat> {
        self.0.retain(|_, seats| Arc::strong_count(seats) > 1);
        let taken: usize = self.0.values().map(|seats| Arc::strong_count(seats) - 1).sum();
        let seats = self.0.entry(ip).or_default();
        (taken < MAX && Arc::strong_count(seats) <= EACH_MAX).then(|| Seat(seats.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{EACH_MAX, MAX, Seats};

    #[test]
    fn one_address_leaves_room_for_others() {
        let mut seats = Seats::default();
        let ip = |n: usize| IpAddr::from([10, 0, u8::try_from(n / 250).unwrap(), u8::try_from(n % 250).unwrap()]);
        let mut held: Vec<_> = (0..EACH_MAX).map(|_| seats.take(ip(0)).expect("a seat")).collect();
        assert!(seats.take(ip(0)).is_none(), "the address has enough");
        held.extend((1..=MAX - EACH_MAX).map(|n| seats.take(ip(n)).expect("a seat")));
        assert!(seats.take(ip(999)).is_none(), "all together have enough");
        held.truncate(1);
        assert!(seats.take(ip(0)).is_some() && seats.take(ip(999)).is_some());
        assert!(seats.0.len() <= 2, "those that left are forgotten");
    }
}
