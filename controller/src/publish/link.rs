//! What is said next on a stream. Without I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use routing::Key;
use routing::key::PluginKey;
use routing::wire::{self, Applied, CommitFrame, Held, Hello, Known, Lead, PROBLEMS_MAX, ToPlane};
use tokio::sync::Notify;

use super::cursor::{Cursor, Piece};
use super::planes::{LuaFailure, Plane};
use super::table::Table;
use super::{Options, Peer};

/// What links read of the shared state.
pub(super) struct Shared<'a> {
    pub(super) table: &'a Table,
    pub(super) versions: &'a BTreeMap<String, String>,
    /// Up to where everything is known.
    pub(super) reached: &'a BTreeMap<String, String>,
    /// What this controller is for this data plane; none: silent.
    pub(super) claim: Option<Lead>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Sent in order; then it is asked again.
    Send(Vec<Bytes>),
    /// The same, and it ends a batch.
    Commit(Vec<Bytes>),
    /// Asked again when woken, or at this time.
    Wait(Option<Instant>),
    /// The stream ends.
    End(&'static str),
}

/// A data plane's stream.
#[derive(Debug)]
pub(super) struct Link {
    peer: Peer,
    hello: Hello,
    protocol: u32,
    since: SystemTime,
    joined: Instant,
    wake: Arc<Notify>,
    is_replaced: bool,
    claim: Option<Claim>,
    report: Report,
}

/// What a data plane said last about itself.
#[derive(Debug, Default)]
struct Report {
    applied: Option<(u64, u64)>,
    failed: BTreeMap<Key, String>,
    failed_total: u64,
    lua: BTreeMap<PluginKey, LuaFailure>,
}

/// This controller leads, and has said so.
#[derive(Debug)]
struct Claim {
    lead: Lead,
    made: Instant,
    cursor: Cursor,
    /// The resource versions of what it holds; none: it has not told all yet.
    held: Option<BTreeMap<String, String>>,
    /// A first commit was sent.
    committed: bool,
    /// Something was sent that is not committed.
    is_open: bool,
    /// Sent, and not answered.
    in_flight: Option<(u64, Instant)>,
}

impl Link {
    pub(super) fn new(peer: Peer, hello: Hello, protocol: u32, now: Instant) -> Self {
        Self {
            peer,
            hello,
            protocol,
            since: SystemTime::now(),
            joined: now,
            wake: Arc::default(),
            is_replaced: false,
            claim: None,
            report: Report::default(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn joined(&self) -> Instant {
        self.joined
    }

    /// Notified when [`Self::next`] may say something else.
    pub(super) fn waker(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Another stream of the pod takes its place.
    pub(super) fn replace(&mut self) {
        self.is_replaced = true;
        self.wake();
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.is_replaced
    }

    pub(super) fn next(&mut self, shared: &Shared<'_>, limits: &Options, now: Instant) -> Next {
        if self.is_replaced {
            return Next::End("another stream of the same pod");
        }
        match (&mut self.claim, shared.claim) {
            (None, None) => Next::Wait(None),
            (Some(_), None) => {
                self.claim = None;
                Next::Send(vec![frame(&ToPlane::StandBy {})])
            }
            (Some(claim), Some(lead)) if claim.lead == lead => claim.next(shared, &self.hello.features, limits, now),
            (_, Some(lead)) => {
                self.claim = Some(Claim::new(lead, shared.table, now));
                Next::Send(vec![frame(&ToPlane::Lead(lead))])
            }
        }
    }

    /// A part of what it holds.
    pub(super) fn held(&mut self, held: Held, table: &Table) {
        // Without a claim it answers one that has ended.
        let Some(claim) = &mut self.claim else { return };
        for (key, hash) in held.pairs {
            claim.cursor.holds(table, &self.hello.features, key, hash);
        }
        if held.last && claim.held.is_none() {
            claim.cursor.told(table);
            claim.held = Some(held.versions);
            self.wake();
        }
    }

    /// It has applied a commit, or says more about it.
    pub(super) fn applied(&mut self, applied: Applied) {
        let Some(claim) = self.claim.as_mut().filter(|claim| claim.lead.term == applied.term) else { return };
        if claim.in_flight.is_some_and(|(counter, _)| counter == applied.counter) {
            claim.in_flight = None;
        }
        self.report = Report::new(applied);
        self.wake();
    }

    /// What is known of it; `behind` tells which keys have changed since a step.
    pub(super) fn plane(&self, behind: impl Fn(u64) -> BTreeSet<Key>) -> Plane {
        let mut failed = self.report.failed.clone();
        if let Some(claim) = &self.claim {
            failed.extend(claim.cursor.withheld.iter().map(|(key, why)| (key.as_ref().clone(), why.clone())));
        }
        let term = self.claim.as_ref().map(|claim| claim.lead.term);
        let counter = self.report.applied.filter(|(applied, _)| Some(*applied) == term).map(|(_, counter)| counter);
        Plane {
            peer: self.peer.clone(),
            version: self.hello.version.clone(),
            protocol: self.protocol,
            applied: self.report.applied,
            is_complete: counter.is_some(),
            behind: counter.map(behind).unwrap_or_default(),
            failed_total: self.report.failed_total.max(failed.len() as u64),
            failed,
            lua: self.report.lua.clone(),
            connected: self.since,
        }
    }
}

impl Claim {
    fn new(lead: Lead, table: &Table, now: Instant) -> Self {
        Self {
            lead,
            made: now,
            cursor: Cursor::new(table),
            held: None,
            committed: false,
            is_open: false,
            in_flight: None,
        }
    }

    fn next(&mut self, shared: &Shared<'_>, features: &[String], limits: &Options, now: Instant) -> Next {
        let Some(versions) = &self.held else { return Next::Wait(None) };
        if !self.committed && !has_reached(shared.reached, versions) {
            let until = self.made + limits.catch_up;
            if now < until {
                return Next::Wait(Some(until));
            }
        }
        if let Some((_, sent)) = self.in_flight {
            let until = sent + limits.apply;
            return if now < until { Next::Wait(Some(until)) } else { Next::End("it does not answer a commit") };
        }
        if self.committed && !self.is_open && !self.cursor.is_behind(shared.table) {
            return Next::Wait(None);
        }
        match self.cursor.next(shared.table, features) {
            Piece::Lines(lines) => {
                self.is_open = true;
                Next::Send(lines)
            }
            Piece::End { whole } => {
                let counter = shared.table.sequence();
                (self.committed, self.is_open, self.in_flight) = (true, false, Some((counter, now)));
                let versions = shared.versions.clone();
                let commit = CommitFrame { term: self.lead.term, counter, versions, whole };
                Next::Commit(vec![frame(&ToPlane::Commit(commit))])
            }
        }
    }
}

impl Report {
    /// Bounded here too, whatever the peer does.
    fn new(applied: Applied) -> Self {
        let failed = known(applied.failed).map(|problem| (problem.key, wire::shorten(problem.message)));
        let lua = known(applied.lua).map(|failure| {
            let at = i64::try_from(failure.at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
            (failure.plugin, LuaFailure { at: at.unwrap_or_default(), message: wire::shorten(failure.message) })
        });
        Self {
            applied: Some((applied.term, applied.counter)),
            failed: failed.collect(),
            failed_total: applied.failed_total,
            lua: lua.collect(),
        }
    }
}

/// What is not of a newer version, as far as the bound goes.
fn known<T>(all: Vec<Known<T>>) -> impl Iterator<Item = T> {
    let one = |one| match one {
        Known::Yes(one) => Some(one),
        Known::No(_) => None,
    };
    all.into_iter().filter_map(one).take(PROBLEMS_MAX)
}

/// Whether every kind is at least at these versions. Versions of one API server are numbers that grow; what is not a
/// number can only be equal. Kinds that are not watched here do not count.
fn has_reached(own: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> bool {
    theirs.iter().all(|(kind, theirs)| match own.get(kind) {
        None => true,
        Some(own) => match (own.parse::<u128>(), theirs.parse::<u128>()) {
            (Ok(own), Ok(theirs)) => own >= theirs,
            _ => own == theirs,
        },
    })
}

pub(super) fn frame(frame: &ToPlane) -> Bytes {
    // No table value is in it: those are encoded when they come in.
    wire::encode(frame).expect("a frame without a value is short").into()
}
