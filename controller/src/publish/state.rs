//! What all streams share: the table, the role, and each stream's link. Without I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routing::Key;
use routing::wire::Lead;

use super::link::{Link, Next, Shared};
use super::planes::Planes;
use super::table::{Content, Table, is_code};

/// Whether it pushes.
#[derive(Clone, Copy, Debug)]
enum Role {
    Standby {
        /// The term that it last led with, and when that ended.
        led: Option<(u64, Instant)>,
    },
    Leading {
        term: u64,
    },
}

/// Changes that wait, since one of their keys was pushed just now. They stay together: half of a change may be a route
/// without its upstream.
#[derive(Debug, Default)]
struct Pending {
    changes: BTreeMap<Key, Option<Content>>,
    versions: BTreeMap<String, String>,
    due: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct State {
    coalesce: Duration,
    table: Table,
    versions: BTreeMap<String, String>,
    reached: BTreeMap<String, String>,
    listed: bool,
    role: Role,
    pending: Pending,
    links: BTreeMap<u64, Link>,
    last_id: u64,
}

impl State {
    pub(super) fn new(coalesce: Duration) -> Self {
        Self {
            coalesce,
            table: Table::default(),
            versions: BTreeMap::new(),
            reached: BTreeMap::new(),
            listed: false,
            role: Role::Standby { led: None },
            pending: Pending::default(),
            links: BTreeMap::new(),
            last_id: 0,
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Brings in changes, now or when their keys may be pushed again. Returns the number of the step that they are in.
    pub(super) fn commit(
        &mut self,
        changes: Vec<(Key, Option<Content>)>,
        versions: BTreeMap<String, String>,
        now: Instant,
    ) -> u64 {
        self.flush(now);
        if self.pending.due.is_none() {
            let changes: Vec<_> = changes.into_iter().filter(|(k, c)| self.table.differs(k, c.as_ref())).collect();
            let wait = changes.iter().filter_map(|(key, _)| self.table.changed(key)).map(|at| at + self.coalesce).max();
            if wait.is_none_or(|until| until <= now) {
                return self.change(changes, versions, now);
            }
            (self.pending.changes, self.pending.due) = (changes.into_iter().collect(), wait);
        } else {
            self.pending.changes.extend(changes);
        }
        self.pending.versions = versions;
        self.table.sequence() + 1
    }

    /// Whether anything is said of a key, or is about to be.
    pub(super) fn says(&self, key: &Key) -> bool {
        match self.pending.changes.get(key) {
            Some(content) => content.is_some(),
            None => self.table.get(key).is_some(),
        }
    }

    /// Everything is known up to these versions.
    pub(super) fn reach(&mut self, reached: BTreeMap<String, String>) {
        self.reached = reached;
        self.wake();
    }

    /// When changes that wait are due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.due
    }

    /// Brings in changes that are due.
    pub(super) fn flush(&mut self, now: Instant) {
        if self.pending.due.is_some_and(|due| due <= now) {
            let pending = std::mem::take(&mut self.pending);
            self.change(pending.changes, pending.versions, now);
        }
    }

    fn change(
        &mut self,
        changes: impl IntoIterator<Item = (Key, Option<Content>), IntoIter: ExactSizeIterator>,
        versions: BTreeMap<String, String>,
        now: Instant,
    ) -> u64 {
        let changes = changes.into_iter();
        if changes.len() > 0 {
            self.table.change(changes, now);
        }
        self.versions = versions;
        self.listed = true;
        self.wake();
        self.table.sequence()
    }

    pub(super) fn lead(&mut self, term: u64) {
        self.role = Role::Leading { term };
        self.wake();
    }

    pub(super) fn stand_by(&mut self) {
        if let Role::Leading { term } = self.role {
            self.role = Role::Standby { led: Some((term, Instant::now())) };
            self.wake();
        }
    }

    fn wake(&self) {
        self.links.values().for_each(Link::wake);
    }

    /// A data plane's stream. An earlier one of the same pod ends: the pod has given it up.
    pub(super) fn join(&mut self, link: Link) -> u64 {
        for other in self.links.values_mut().filter(|other| other.peer().uid == link.peer().uid) {
            other.replace();
        }
        self.last_id += 1;
        self.links.insert(self.last_id, link);
        self.last_id
    }

    /// The stream is gone. Whether it was the last of its pod.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let Some(gone) = self.links.remove(&id) else { return false };
        let pod = |link: &Link| (link.peer().namespace.clone(), link.peer().pod.clone());
        !self.links.values().any(|other| pod(other) == pod(&gone))
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.links.len()
    }

    /// A stream's link and what it reads; none: it has left.
    pub(super) fn link(&mut self, id: u64) -> Option<(&mut Link, Shared<'_>)> {
        let link = self.links.get_mut(&id)?;
        let claim = match self.role {
            _ if !self.listed => None,
            Role::Leading { term } => Some(Lead { term, stale: false }),
            // Who was there when it ended has that table, and whatever came after.
            Role::Standby { led: Some((term, ended)) } if link.joined() > ended => Some(Lead { term, stale: true }),
            Role::Standby { .. } => None,
        };
        Some((link, Shared { table: &self.table, versions: &self.versions, reached: &self.reached, claim }))
    }

    /// What a stream says next.
    pub(super) fn next(&mut self, id: u64, limits: &super::Options, now: Instant) -> Next {
        match self.link(id) {
            Some((link, shared)) => link.next(&shared, limits, now),
            None => Next::End("it has left"),
        }
    }

    /// What is known of the data planes.
    pub(super) fn planes(&self) -> Planes {
        let term = match self.role {
            Role::Leading { term } => Some(term),
            Role::Standby { .. } => None,
        };
        let behind = |counter| {
            let waiting = self.pending.changes.keys().filter(|key| is_code(key));
            self.table.code_after(counter).chain(waiting).cloned().collect()
        };
        let planes = self.links.values().filter(|link| !link.is_replaced());
        let planes = planes.map(|link| (link.peer().uid.clone(), Arc::new(link.plane(behind))));
        Planes { term, planes: planes.collect() }
    }
}
