//! What is to be looked at, and when: each thing once.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The first and the longest wait after a write that failed, or that someone else undid.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How long to wait after so many failures in a row.
pub(super) fn backoff(times: u32) -> Duration {
    BACKOFF.0.saturating_mul(1 << times.saturating_sub(1).min(16)).min(BACKOFF.1)
}

/// Things by the time when they are due.
#[derive(Debug)]
pub(super) struct Queue<T> {
    order: BTreeSet<(Instant, T)>,
    times: HashMap<T, Instant>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), times: HashMap::new() }
    }
}

impl<T: Ord + Hash + Clone> Queue<T> {
    /// Due at `at`, or earlier if it already is: what changes all the time must not wait for ever.
    pub(super) fn by(&mut self, thing: T, at: Instant) {
        match self.times.get(&thing) {
            Some(known) if *known <= at => {}
            _ => self.at(thing, at),
        }
    }

    /// Due at `at`, whatever was before.
    pub(super) fn at(&mut self, thing: T, at: Instant) {
        self.remove(&thing);
        self.times.insert(thing.clone(), at);
        self.order.insert((at, thing));
    }

    /// Not due at all.
    pub(super) fn remove(&mut self, thing: &T) {
        if let Some(at) = self.times.remove(thing) {
            self.order.remove(&(at, thing.clone()));
        }
    }

    /// Takes out the first thing that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, thing) = self.order.pop_first()?;
        self.times.remove(&thing);
        Some(thing)
    }

    /// When the next thing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Nothing is due.
    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.times.clear();
    }

    /// How many things wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use std::time::{Duration, Instant};

    #[test]
    fn things_come_in_the_order_of_their_times_each_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut queue = Queue::default();
        queue.by('a', at(5));
        queue.by('b', at(3));
        queue.by('a', at(4));
        queue.by('a', at(9));
        queue.at('c', at(1));
        queue.at('c', at(6));
        assert_eq!((queue.len(), queue.next()), (3, Some(at(3))));
        let due: Vec<char> = std::iter::from_fn(|| queue.pop(at(5))).collect();
        assert_eq!(due, ['b', 'a']);
        queue.remove(&'c');
        assert_eq!((queue.pop(at(99)), queue.next()), (None, None));
    }
}
