//! Places for connections, shared out by address, so that one pod, or many of one tenant, cannot keep others out of a port
//! that every pod may reach. A newcomer always gets a place: where there are enough, another connection makes way.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

/// Connections that an admin endpoint serves at once.
const ADMIN_MAX: usize = 256;
/// Those of one address: probes and scrapers have one or two.
const ADMIN_EACH_MAX: usize = 8;

/// Who has how many connections of a listener.
#[derive(Debug)]
pub struct Seats {
    max: usize,
    each_max: usize,
    taken: Vec<Arc<Place>>,
}

#[derive(Debug)]
struct Place {
    ip: IpAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: Instant,
    is_displaced: bool,
    waker: Option<Waker>,
}

/// A place for one connection, until it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Place>);

impl Seats {
    /// So many places in all, and so many for one address.
    pub fn new(max: usize, each_max: usize) -> Self {
        Self { max, each_max, taken: Vec::new() }
    }

    /// Those of the admin endpoints of both sides.
    pub fn admin() -> Self {
        Self::new(ADMIN_MAX, ADMIN_EACH_MAX)
    }

    /// A place for one more connection of an address. Where the address has as many as it may have, its own connection that
    /// has been quiet for longest makes way; where all together have, that of the address which has most. It is never
    /// one of an address that has fewer than this one then would.
    pub fn take(&mut self, ip: IpAddr) -> Seat {
        self.taken.retain(|place| Arc::strong_count(place) > 1);
        if let Some(at) = self.victim(ip) {
            self.taken.swap_remove(at).displace();
        }
        let state = State { used: Instant::now(), is_displaced: false, waker: None };
        let place = Arc::new(Place { ip, state: Mutex::new(state) });
        self.taken.push(place.clone());
        Seat(place)
    }

    /// Which place has to be left for a newcomer of an address.
    fn victim(&self, ip: IpAddr) -> Option<usize> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for place in &self.taken {
            *counts.entry(place.ip).or_default() += 1;
        }
        let own = counts.get(&ip).copied().unwrap_or_default();
        let most = counts.values().copied().max().unwrap_or_default();
        let is_own = own > 0 && (own >= self.each_max || own == most);
        if own < self.each_max && self.taken.len() < self.max {
            return None;
        }
        let may_go = |of: IpAddr| if is_own { of == ip } else { counts.get(&of) == Some(&most) };
        let candidates = self.taken.iter().enumerate().filter(|(_, place)| may_go(place.ip));
        candidates.min_by_key(|(_, place)| place.state().used).map(|(at, _)| at)
    }
}

impl Seat {
    /// Ends when the connection has to make way for another one. One task waits at a time.
    pub async fn displaced(&self) {
        poll_fn(|cx| {
            let mut state = self.0.state();
            if state.is_displaced {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The connection was of use just now: others of its address that were not make way before it.
    pub fn used(&self) {
        self.0.state().used = Instant::now();
    }
}

impl Place {
    fn displace(&self) {
        let mut state = self.state();
        state.is_displaced = true;
        let waker = state.waker.take();
        // Whoever is woken looks at the state.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing under the lock panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::{Seat, Seats};

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    /// `count` places of each of these addresses, in the order in which they were taken.
    fn take(seats: &mut Seats, addresses: std::ops::Range<u8>, count: usize) -> Vec<Seat> {
        addresses.flat_map(|n| std::iter::repeat_n(ip(n), count)).map(|ip| seats.take(ip)).collect()
    }

    /// Which of them have to leave.
    fn displaced(seats: &[Seat]) -> Vec<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        (0..seats.len()).filter(|n| pin!(seats[*n].displaced()).poll(&mut cx).is_ready()).collect()
    }

    #[test]
    fn an_address_that_has_enough_gives_up_its_own_oldest() {
        let mut seats = Seats::new(100, 3);
        let held = take(&mut seats, 0..2, 3);
        assert!(displaced(&held).is_empty());
        let newer = take(&mut seats, 1..2, 2);
        assert_eq!((displaced(&held), displaced(&newer)), (vec![3, 4], vec![]));
    }

    #[test]
    fn where_all_is_taken_the_address_that_has_most_makes_way() {
        let mut seats = Seats::new(10, 5);
        let many = take(&mut seats, 0..2, 4);
        let few = take(&mut seats, 2..4, 1);
        let newcomer = seats.take(ip(4));
        assert_eq!(displaced(&many), [0], "the oldest of those who have most");
        let second = seats.take(ip(4));
        assert_eq!(displaced(&many), [0, 4], "now the other one has most");
        // With three of it, the three of others would be no more than its own.
        let third = seats.take(ip(4));
        let fourth = seats.take(ip(4));
        assert_eq!(displaced(&many), [0, 1, 4]);
        assert_eq!(displaced(&[newcomer, second, third, fourth]), [0], "its own oldest");
        assert!(displaced(&few).is_empty());
    }

    #[test]
    fn where_each_has_one_the_oldest_goes() {
        let mut seats = Seats::new(5, 5);
        let held = take(&mut seats, 0..5, 1);
        held[0].used();
        let newcomer = seats.take(ip(9));
        assert_eq!(displaced(&held), [1], "one that was of use stays");
        let again = seats.take(ip(9));
        assert_eq!(
            (displaced(&held), displaced(&[newcomer, again])),
            (vec![1], vec![0]),
            "its own, not another's only one"
        );
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let mut seats = Seats::new(4, 2);
        let mut held = take(&mut seats, 0..2, 2);
        held.remove(0);
        held.push(seats.take(ip(0)));
        drop(held.remove(0));
        held.push(seats.take(ip(7)));
        assert!(displaced(&held).is_empty());
        assert_eq!(seats.taken.len(), 4, "those that left are forgotten");
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_has_to_leave_is_woken() {
        let mut seats = Seats::new(1, 1);
        let seat = seats.take(ip(0));
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let (mut cx, mut wait) = (Context::from_waker(&waker), pin!(seat.displaced()));
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        let _newcomer = seats.take(ip(1));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(wait.poll(&mut cx).is_ready());
    }
}
