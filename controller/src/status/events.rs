//! Events: which are told, and when again.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use routing::Hash;

use super::queue::backoff;
use crate::problem::{Problem, shorten};
use crate::store::{Kind, ObjectId};

/// The same is told of an object once in this time.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// Events live for an hour by default (kube-apiserver's `--event-ttl`): what still holds is told again before that.
const AGAIN: Duration = Duration::from_secs(45 * 60);
/// What was told is remembered for this many events; about 3 MB.
const REMEMBERED_MAX: usize = 20_000;
/// Of one object at one time: an Ingress with a thousand broken paths must not bury the others.
pub(super) const OF_OBJECT_MAX: usize = 10;
/// The API's bound on a note is 1 kB.
const NOTE_BYTES_MAX: usize = 1024;
/// An object's name in the Event's: the bound on that is 253, and 33 characters follow.
const NAME_BYTES_MAX: usize = 200;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: HashMap<Hash, Last>,
    order: BTreeSet<(Instant, Hash)>,
}

/// The last time that something was told.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    /// How often in a row it could not be sent; without what is under way.
    failures: u32,
    stage: Stage,
}

/// How far its sending has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    UnderWay,
    Told,
    Failed,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// The object that it is about.
    pub id: ObjectId,
    /// Its uid.
    pub uid: String,
    /// What it is called: the same thing told again has the same name, whoever tells it.
    pub name: String,
    /// CamelCase.
    pub reason: &'static str,
    /// For people.
    pub note: String,
    /// Of what makes it the same thing.
    pub(super) hash: Hash,
}

impl Told {
    /// What there is to tell about a problem, unless it was told a moment ago, and when to look at it again. It counts as
    /// told at once, so that it is not sent twice, until it is [done](Self::done) otherwise.
    pub(super) fn tell(
        &mut self,
        id: &ObjectId,
        uid: &str,
        problem: &Problem,
        now: Instant,
    ) -> (Option<Telling>, Instant) {
        let hash = Hash::of(&(uid, problem.reason, &problem.field, &problem.message));
        let last = self.last.get(&hash);
        if let Some(last) = last
            && last.again() > now
        {
            return (None, last.next());
        }
        let failures = last.map_or(0, |last| last.failures);
        self.remember(hash, Last { at: now, failures, stage: Stage::UnderWay });
        let note = match problem.field.as_str() {
            "" => problem.message.clone(),
            field => format!("{field}: {}", problem.message),
        };
        let telling = Telling {
            id: id.clone(),
            uid: uid.into(),
            name: format!(
                "{}.{hash}",
                &id.name.name[..id.name.name.len().min(NAME_BYTES_MAX)].trim_end_matches(['.', '-'])
            ),
            reason: problem.reason,
            note: shorten(note, NOTE_BYTES_MAX),
            hash,
        };
        (Some(telling), now + AGAIN)
    }

    /// Hears how it ended; when it failed, the time to try again.
    pub(super) fn done(&mut self, telling: &Telling, is_failed: bool, now: Instant) -> Option<Instant> {
        if !is_failed {
            // Also if it had been given up: it is there.
            self.remember(telling.hash, Last { at: now, failures: 0, stage: Stage::Told });
            return None;
        }
        let last = self.last.get(&telling.hash).filter(|last| last.stage == Stage::UnderWay)?;
        let last = Last { at: now, failures: last.failures.saturating_add(1), stage: Stage::Failed };
        self.remember(telling.hash, last);
        Some(last.again())
    }

    /// Forgets what is under way: nobody will hear how it ends.
    pub(super) fn give_up(&mut self) {
        let order = &mut self.order;
        self.last.retain(|hash, last| {
            let stays = last.stage != Stage::UnderWay;
            if !stays {
                order.remove(&(last.at, *hash));
            }
            stays
        });
    }

    fn remember(&mut self, hash: Hash, last: Last) {
        if let Some(before) = self.last.insert(hash, last) {
            self.order.remove(&(before.at, hash));
        }
        self.order.insert((last.at, hash));
        while self.order.len() > REMEMBERED_MAX {
            // What is forgotten may be told again too early, no more.
            if let Some((_, oldest)) = self.order.pop_first() {
                self.last.remove(&oldest);
            }
        }
    }
}

impl Last {
    /// When it may be sent again.
    fn again(&self) -> Instant {
        self.at + if self.stage == Stage::Failed { backoff(self.failures) } else { TOLD_FOR }
    }

    /// When it is to be looked at again.
    fn next(&self) -> Instant {
        if self.stage == Stage::Failed { self.again() } else { self.at + AGAIN }
    }
}

impl Telling {
    /// Where the Event is: with its object; those of cluster-scoped objects are in `default`, as the API asks.
    pub(super) fn namespace(&self) -> &str {
        match self.id.name.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }

    /// The Event, told for the first time.
    pub(super) fn event(&self, controller: &str, instance: &str, now: Timestamp) -> Event {
        let version =
            Kind::ALL.iter().find(|(kind, ..)| *kind == self.id.kind).map(|(.., version)| (*version).to_owned());
        Event {
            action: Some("Translate".into()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace().into()),
                ..ObjectMeta::default()
            },
            note: Some(self.note.clone()),
            reason: Some(self.reason.into()),
            regarding: Some(ObjectReference {
                api_version: version,
                kind: Some(self.id.kind.name().into()),
                name: Some(self.id.name.name.clone()),
                namespace: Some(self.id.name.namespace.clone()).filter(|n| !n.is_empty()),
                uid: Some(self.uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some(controller.into()),
            reporting_instance: Some(instance.into()),
            type_: Some("Warning".into()),
            ..Event::default()
        }
    }
}

/// The patch that says of an Event that it has happened once more.
pub(super) fn once_more(known: &Event, now: Timestamp) -> serde_json::Value {
    let count = known.series.as_ref().map_or(1, |series| series.count).saturating_add(1);
    let series = EventSeries { count, last_observed_time: MicroTime(now) };
    serde_json::json!({"series": series})
}
