//! Which writes are due: what is known of each object, what was written, and when to look at it again.
//!
//! Pure: time comes in as an argument, writes go out as values and their results come back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IngressLoadBalancerIngress;

use super::events::{OF_OBJECT_MAX, Telling, Told};
use super::judge::{Case, World, is_same, is_same_but_error, judge, load_failure};
use super::meta::{Meta, Status};
use super::planes::Summary;
use super::queue::{Queue, backoff};
use super::view::{Facts, Subject, View, key_of};
use crate::problem::Problem;
use crate::publish::Planes;
use crate::store::{Kind, ObjectId};

/// Objects come in groups, and one of them may mend what another lacks: a condition and an Event wait that long.
const SETTLE: Duration = Duration::from_secs(1);
/// How long data planes may take until they are said to be behind.
const CONFIRM: Duration = Duration::from_secs(10);
/// The last error may be another at each request; it is written this often.
const ERROR_EVERY: Duration = Duration::from_secs(60);

/// A moment, for waiting and for writing down.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Which never goes back.
    pub at: Instant,
    /// Which people read.
    pub wall: Timestamp,
}

/// A write that is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// An object's status.
    Status {
        /// The object.
        id: ObjectId,
        /// Its uid.
        uid: String,
        /// What its status should be.
        status: Status,
    },
    /// An Event.
    Event(Telling),
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The status is as it should be; the object's resourceVersion now. Of an Event: it is told.
    Written(String),
    /// The object is gone, or is another one: there is nothing to do until it is seen again.
    Gone,
    /// It did not work, and may later.
    Failed,
}

/// Everything that is known for the statuses of all objects.
#[derive(Debug, Default)]
pub struct Ledger {
    is_leading: bool,
    entries: BTreeMap<ObjectId, Entry>,
    world: World,
    statuses: Queue<ObjectId>,
    events: Queue<ObjectId>,
    told: Told,
}

/// What is known of an object.
#[derive(Debug, Default)]
struct Entry {
    meta: Option<Meta>,
    facts: Option<Facts>,
    malformed: Option<Problem>,
    /// It was an Ingress of ours when it was last looked at.
    was_own: bool,
    /// Since when data planes may be behind.
    changed: Option<Instant>,
    written: Option<Written>,
    /// A write is under way.
    is_in_flight: bool,
    /// Writes that failed in a row.
    failures: u32,
}

/// The last write.
#[derive(Debug)]
struct Written {
    status: Status,
    at: Instant,
    /// Of the object after it.
    version: String,
    /// How often it was undone.
    undone: u32,
}

impl Ledger {
    /// Takes over what is different.
    pub fn observe(&mut self, view: View, now: Now) {
        for (id, meta) in view.metas {
            match meta {
                Some(meta) => self.entries.entry(id.clone()).or_default().see(meta),
                None => {
                    self.entries.remove(&id);
                    self.statuses.remove(&id);
                    self.events.remove(&id);
                    continue;
                }
            }
            self.look(&id, now, true);
        }
        for (id, facts) in view.objects {
            // Without a uid nothing can be written; the object's own listing may come after others' mention of it.
            let entry = self.entries.entry(id.clone()).or_default();
            if entry.facts.as_ref() != Some(&facts) {
                entry.was_own |= entry.is_own();
                entry.facts = Some(facts);
                entry.changed = Some(now.at);
                self.look(&id, now, true);
            }
        }
        for (id, problem) in view.malformed {
            let entry = self.entries.entry(id.clone()).or_default();
            entry.facts.get_or_insert_with(|| unread(&id));
            entry.malformed = problem;
            self.look(&id, now, true);
        }
    }

    /// Takes over what the data planes say.
    pub fn planes(&mut self, planes: &Planes, now: Now) {
        let summary = Summary::of(planes);
        let changed = summary.changed(&self.world.planes);
        let before = std::mem::replace(&mut self.world.planes, summary);
        let concerned: Vec<ObjectId> = match changed {
            Some(keys) if keys.is_empty() => return,
            Some(keys) => self.with_key(|key| keys.contains(key)),
            None => self.with_key(|_| true),
        };
        for id in &concerned {
            let is_sent = |planes: &Summary| key_of(id).is_some_and(|key| planes.behind.contains_key(&key));
            if is_sent(&self.world.planes) && !is_sent(&before) {
                self.entries.entry(id.clone()).or_default().changed = Some(now.at);
            }
            self.look(id, now, false);
        }
    }

    /// Where clients reach the data planes; none: not known, so statuses stay as they are.
    pub fn address(&mut self, address: Option<Vec<IngressLoadBalancerIngress>>, now: Now) {
        if self.world.address != address {
            self.world.address = address;
            let ingresses: Vec<_> = self.entries.keys().filter(|id| id.kind == Kind::Ingress).cloned().collect();
            ingresses.iter().for_each(|id| self.look(id, now, false));
        }
    }

    /// Whether this controller writes. A new leader looks at everything.
    pub fn lead(&mut self, is_leading: bool, now: Now) {
        if self.is_leading == is_leading {
            return;
        }
        self.is_leading = is_leading;
        self.statuses.clear();
        self.events.clear();
        for entry in self.entries.values_mut() {
            // What another leader wrote meanwhile is not this one's being undone.
            entry.written = None;
            entry.is_in_flight = false;
        }
        self.told.give_up();
        let all: Vec<ObjectId> = self.entries.keys().cloned().collect();
        all.iter().for_each(|id| self.look(id, now, true));
    }

    /// The writes that are due, at most so many. Statuses come first: there is one for each object.
    pub fn due(&mut self, now: Now, most: usize) -> Vec<Write> {
        let mut writes = Vec::new();
        if !self.is_leading {
            return writes;
        }
        while writes.len() < most
            && let Some(id) = self.statuses.pop(now.at)
        {
            writes.extend(self.status_of(id, now));
        }
        while writes.len() < most
            && let Some(id) = self.events.pop(now.at)
        {
            self.tell(id, now, &mut writes);
        }
        writes
    }

    /// When something will be due.
    pub fn next_due(&self) -> Option<Instant> {
        let next = [self.statuses.next(), self.events.next()];
        next.into_iter().flatten().min().filter(|_| self.is_leading)
    }

    /// Hears how a write ended.
    pub fn done(&mut self, write: Write, outcome: Outcome, now: Now) {
        match write {
            Write::Status { id, status, .. } => self.status_done(&id, status, outcome, now),
            Write::Event(telling) => {
                // One whose object is gone, or whose Event went meanwhile, is not tried again.
                let is_failed = outcome == Outcome::Failed;
                if let Some(again) = self.told.done(&telling, is_failed, now.at) {
                    self.events.by(telling.id, again);
                }
            }
        }
    }

    fn status_done(&mut self, id: &ObjectId, status: Status, outcome: Outcome, now: Now) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.is_in_flight) else { return };
        entry.is_in_flight = false;
        match outcome {
            Outcome::Written(version) => {
                entry.failures = 0;
                let undone = entry.written.as_ref().map_or(0, |written| written.undone);
                if let Some(meta) = &mut entry.meta {
                    meta.status = status.clone();
                }
                entry.written = Some(Written { status, at: now.at, version, undone });
                // What was seen while the write was under way.
                self.statuses.by(id.clone(), now.at);
            }
            Outcome::Gone => self.statuses.remove(id),
            Outcome::Failed => {
                entry.failures += 1;
                self.statuses.at(id.clone(), now.at + backoff(entry.failures));
            }
        }
    }

    /// The writes that take our addresses out of all Ingresses.
    pub fn clear(&self) -> Vec<Write> {
        let clear = |(id, entry): (&ObjectId, &Entry)| {
            let meta = Some(entry).filter(|entry| entry.is_own())?.meta.as_ref()?;
            let Status::Ingress(addresses) = &meta.status else { return None };
            let status = Status::Ingress(Vec::new());
            (!addresses.is_empty()).then(|| Write::Status { id: id.clone(), uid: meta.uid.clone(), status })
        };
        self.entries.iter().filter_map(clear).collect()
    }

    fn with_key(&self, wanted: impl Fn(&routing::Key) -> bool) -> Vec<ObjectId> {
        self.entries.keys().filter(|id| key_of(id).is_some_and(|key| wanted(&key))).cloned().collect()
    }

    /// Queues an object; what waits longer already is not put off.
    fn look(&mut self, id: &ObjectId, now: Now, settle: bool) {
        if !self.is_leading {
            return;
        }
        // An address is awaited, and nothing that comes later changes it.
        let at = if id.kind == Kind::Ingress || !settle { now.at } else { now.at + SETTLE };
        self.statuses.by(id.clone(), at);
        self.events.by(id.clone(), now.at + SETTLE);
    }

    /// The write of an object's status, if one is due now.
    fn status_of(&mut self, id: ObjectId, now: Now) -> Option<Write> {
        let entry = self.entries.get_mut(&id)?;
        let (meta, facts) = (entry.meta.as_ref()?, entry.facts.as_ref()?);
        if entry.is_in_flight {
            return None;
        }
        let (malformed, is_published) = (entry.malformed.as_slice(), entry.is_published(&self.world));
        let verdict =
            judge(&Case { id: &id, meta, facts, malformed, is_published, world: &self.world, now: now.wall })?;
        if is_same(&meta.status, &verdict.status) {
            return None;
        }
        let confirmed_by = entry.changed.map(|at| at + CONFIRM).filter(|at| *at > now.at);
        let wait = match (verdict.is_pending, &entry.written) {
            (true, _) if confirmed_by.is_some() => confirmed_by,
            (_, Some(written)) if is_same(&written.status, &verdict.status) => {
                Some(written.at + backoff(written.undone + 3)).filter(|at| *at > now.at)
            }
            (_, Some(written)) if is_same_but_error(&meta.status, &verdict.status) => {
                Some(written.at + ERROR_EVERY).filter(|at| *at > now.at)
            }
            _ => None,
        };
        if let Some(at) = wait {
            self.statuses.by(id, at);
            return None;
        }
        if let Some(written) = &mut entry.written {
            let is_again = is_same(&written.status, &verdict.status);
            written.undone = if is_again { written.undone + 1 } else { 0 };
        }
        entry.is_in_flight = true;
        Some(Write::Status { uid: meta.uid.clone(), id, status: verdict.status })
    }

    /// The Events of an object that are to be told.
    fn tell(&mut self, id: ObjectId, now: Now, writes: &mut Vec<Write>) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (Some(meta), Some(facts)) = (&entry.meta, &entry.facts) else { return };
        let failure = load_failure(&id, &self.world);
        let problems = facts.problems.iter().chain(&entry.malformed).chain(failure.as_ref());
        let mut next: Option<Instant> = None;
        for problem in problems.take(OF_OBJECT_MAX) {
            let (telling, again) = self.told.tell(&id, &meta.uid, problem, now.at);
            writes.extend(telling.map(Write::Event));
            next = Some(next.map_or(again, |next| next.min(again)));
        }
        if let Some(next) = next {
            self.events.at(id, next);
        }
    }
}

impl Entry {
    /// Takes over what the API server says.
    fn see(&mut self, mut meta: Meta) {
        if let (Some(written), Some(known)) = (&self.written, &self.meta)
            && is_older(&meta.resource_version, &written.version)
        {
            // From before our write: its status is not what stands there now.
            meta.status = known.status.clone();
        }
        let is_other = self.meta.as_ref().is_some_and(|known| known.uid != meta.uid);
        if is_other {
            *self = Self { facts: self.facts.take(), ..Self::default() };
        }
        self.meta = Some(meta);
    }

    fn is_own(&self) -> bool {
        matches!(&self.facts, Some(Facts { subject: Subject::Ingress { is_own: true }, .. }))
    }

    /// Whether the addresses that stand in an Ingress's status are ours.
    fn is_published(&self, world: &World) -> bool {
        let Some(Meta { status: Status::Ingress(seen), .. }) = &self.meta else { return false };
        let is_written = matches!(&self.written, Some(Written { status: Status::Ingress(ours), .. }) if ours == seen);
        !seen.is_empty() && (is_written || self.was_own && world.address.as_ref() == Some(seen))
    }
}

/// What is known of an object that was never read.
fn unread(id: &ObjectId) -> Facts {
    let subject = match id.kind {
        Kind::LuaPlugin | Kind::ClusterLuaPlugin => Subject::Plugin { code: None },
        Kind::LuaPluginBinding | Kind::ClusterLuaPluginBinding => {
            Subject::Binding { is_used: false, targets: Vec::new() }
        }
        Kind::MoongateConfig => Subject::Config { is_global: false },
        _ => Subject::Ingress { is_own: false },
    };
    Facts { problems: Vec::new(), subject }
}

/// Whether a resourceVersion is from before another. They are numbers that grow (KEP-5504); of others it is not known.
fn is_older(one: &str, other: &str) -> bool {
    matches!((one.parse::<u64>(), other.parse::<u64>()), (Ok(one), Ok(other)) if one < other)
}
