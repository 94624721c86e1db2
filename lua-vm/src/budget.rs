//! What the VMs of a process may hold together.
//!
//! Each VM tells what it holds in steps of [`BATCH`], so that the hot path moves no shared count. Once the sum is over
//! the limit, VMs are refused more: at first only the one that is the furthest above its share, and every one above its
//! share when the sum goes on growing. One that is below its share is never refused, so a namespace cannot take from
//! another what that one is due; the sum can therefore exceed the limit, by half of it at most.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a VM holds and has not told is less than this: a quarter of what an idle VM takes.
pub(crate) const BATCH: usize = 64 * 1024;

/// The limit of all VMs that were made with it, and what they hold.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
    members: Mutex<Vec<Arc<Member>>>,
}

/// One VM in a budget.
#[derive(Debug)]
pub(crate) struct Member {
    bytes: AtomicUsize,
    trusted: bool,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0), members: Mutex::default() })
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit. VMs that are over it keep what they have.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that the VMs hold, as far as they told: each may hold 64 KiB more.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        // A panic of another thread leaves the list as good as it was.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A VM's place in its budget; gives back what it told when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    member: Arc<Member>,
}

impl Share {
    pub(crate) fn new(budget: &Arc<Budget>, trusted: bool) -> Self {
        let member = Arc::new(Member { bytes: AtomicUsize::new(0), trusted });
        budget.members().push(member.clone());
        Self { budget: budget.clone(), member }
    }

    /// Tells what the VM holds now.
    pub(crate) fn tell(&self, bytes: usize) {
        let before = self.member.bytes.swap(bytes, Ordering::Relaxed);
        // Modulo 2^64: the sum of all differences is never negative.
        self.budget.used.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Whether this VM, which holds what it told last, may have no more.
    pub(crate) fn is_refused(&self) -> bool {
        let (used, limit) = (self.budget.used(), self.budget.limit());
        used > limit && self.is_the_one(used, limit)
    }

    /// Rare: only while the process is over its budget does anyone take the lock.
    #[cold]
    fn is_the_one(&self, used: usize, limit: usize) -> bool {
        let members = self.budget.members();
        let trusted = members.iter().filter(|m| m.trusted).count();
        // Half for the operator's VMs, half for the namespaces', in equal parts.
        let share = |of_trusted: bool| limit / 2 / if of_trusted { trusted } else { members.len() - trusted }.max(1);
        let shares = [share(false), share(true)];
        let excess = |m: &Member| m.bytes.load(Ordering::Relaxed).saturating_sub(shares[usize::from(m.trusted)]);
        let own = excess(&self.member);
        own > 0 && (used > limit + limit / 8 || members.iter().all(|m| excess(m) <= own))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tell(0);
        self.budget.members().retain(|m| !Arc::ptr_eq(m, &self.member));
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Share};

    /// Tells of so many bytes each, and which are refused then.
    fn refused(limit: usize, told: &[(usize, bool)]) -> Vec<usize> {
        let budget = Budget::new(limit);
        let shares: Vec<_> = told.iter().map(|(_, trusted)| Share::new(&budget, *trusted)).collect();
        shares.iter().zip(told).for_each(|(share, (bytes, _))| share.tell(*bytes));
        let refused = (0..told.len()).filter(|&i| shares[i].is_refused()).collect();
        drop(shares);
        assert_eq!(budget.used(), 0, "all is given back");
        refused
    }

    #[test]
    fn the_largest_excess_is_refused_first() {
        let none: [usize; 0] = [];
        assert_eq!(refused(100, &[(50, false), (50, false)]), none, "at the limit");
        assert_eq!(refused(100, &[(60, false), (45, false)]), [0], "the largest only");
        assert_eq!(
            refused(100, &[(60, false), (60, false), (10, false)]),
            [0, 1],
            "far over it, all above their share"
        );
        assert_eq!(refused(100, &[(90, false), (10, false), (10, false), (10, false)]), [0], "others go on");
        assert_eq!(refused(100, &[(52, true), (10, false), (40, false)]), [2], "the operator has half");
        assert_eq!(refused(100, &[(80, true), (10, false), (12, false)]), [0], "but no more when all is gone");
    }
}
