//! The pure part as stories: views, data planes and time go in, writes come out.

mod addresses;
mod conditions;
mod due;
mod events;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IngressLoadBalancerIngress;
use routing::key::{PluginKey, PluginKind};
use routing::{Hash, Key, ObjectName};

use super::ledger::{Ledger, Now, Outcome, Write};
use super::{Facts, Meta, Status, Subject, View};
use crate::crd::{BindingStatus, ConfigStatus, PluginStatus};
use crate::problem::Problem;
use crate::publish::{Peer, Plane, Planes};
use crate::store::{Kind, ObjectId};

/// A ledger with a clock, and an API server that takes every write.
struct Story {
    ledger: Ledger,
    start: Instant,
    passed: Duration,
    version: u64,
}

impl Story {
    /// Of a leader.
    fn new() -> Self {
        let mut story =
            Self { ledger: Ledger::default(), start: Instant::now(), passed: Duration::from_secs(1), version: 100 };
        story.ledger.lead(true, story.now());
        story
    }

    fn now(&self) -> Now {
        let wall = Timestamp::from_second(1_800_000_000 + self.passed.as_secs() as i64).unwrap();
        Now { at: self.start + self.passed, wall }
    }

    fn pass(&mut self, seconds: u64) {
        self.passed += Duration::from_secs(seconds);
    }

    /// An object as the API server shows it, with what translation says of it.
    fn see(&mut self, id: &ObjectId, meta: Meta, facts: Facts) {
        let view =
            View { objects: vec![(id.clone(), facts)], metas: vec![(id.clone(), Some(meta))], malformed: Vec::new() };
        self.ledger.observe(view, self.now());
    }

    fn say(&mut self, id: &ObjectId, facts: Facts) {
        self.ledger.observe(View { objects: vec![(id.clone(), facts)], ..View::default() }, self.now());
    }

    fn planes(&mut self, planes: &[Plane]) {
        let by_uid = planes.iter().map(|plane| (plane.peer.uid.clone(), Arc::new(plane.clone())));
        self.ledger.planes(&Planes { term: Some(1), planes: by_uid.collect() }, self.now());
    }

    /// The statuses that are written now; each succeeds.
    fn statuses(&mut self) -> Vec<(ObjectId, Status)> {
        let (statuses, _) = self.writes();
        statuses
    }

    /// What is written now: statuses and the notes of Events, which all succeed.
    fn writes(&mut self) -> (Vec<(ObjectId, Status)>, Vec<String>) {
        let (mut statuses, mut events) = (Vec::new(), Vec::new());
        for write in self.ledger.due(self.now(), usize::MAX) {
            self.version += 1;
            self.ledger.done(write.clone(), Outcome::Written(self.version.to_string()), self.now());
            match write {
                Write::Status { id, status, .. } => statuses.push((id, status)),
                Write::Event(telling) => events.push(format!("{}: {}", telling.reason, telling.note)),
            }
        }
        (statuses, events)
    }
}

fn ingress(name: &str) -> ObjectId {
    ObjectId::new(Kind::Ingress, ObjectName::new("shop", name))
}

fn plugin() -> ObjectId {
    ObjectId::new(Kind::LuaPlugin, ObjectName::new("shop", "quota"))
}

fn plugin_key() -> Key {
    Key::Plugin(PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new("shop", "quota") })
}

fn binding() -> ObjectId {
    ObjectId::new(Kind::LuaPluginBinding, ObjectName::new("shop", "quota"))
}

/// An object without a status.
fn meta(id: &ObjectId, generation: i64) -> Meta {
    let status = match id.kind {
        Kind::Ingress => Status::Ingress(Vec::new()),
        Kind::LuaPluginBinding | Kind::ClusterLuaPluginBinding => Status::Binding(BindingStatus::default()),
        Kind::MoongateConfig => Status::Config(ConfigStatus::default()),
        _ => Status::Plugin(PluginStatus::default()),
    };
    Meta { uid: format!("uid-of-{}", id.name.name), generation, resource_version: "1".into(), status }
}

fn own(is_own: bool) -> Facts {
    Facts { problems: Vec::new(), subject: Subject::Ingress { is_own } }
}

fn code(text: &str) -> Facts {
    Facts { problems: Vec::new(), subject: Subject::Plugin { code: Some(Hash::of_bytes(text.as_bytes())) } }
}

fn problem(id: &ObjectId, field: &str, reason: &'static str) -> Problem {
    Problem::error(id.reference(), field, reason, format!("what {reason} means"))
}

fn ip(address: &str) -> IngressLoadBalancerIngress {
    IngressLoadBalancerIngress { ip: Some(address.into()), ..Default::default() }
}

/// A data plane that has everything.
fn plane(pod: &str) -> Plane {
    Plane {
        peer: Peer {
            namespace: "gate".into(),
            pod: pod.into(),
            uid: format!("uid-of-{pod}"),
            service_account: "dataplane".into(),
        },
        version: "1".into(),
        protocol: 1,
        applied: None,
        is_complete: true,
        behind: Default::default(),
        failed: Default::default(),
        failed_total: 0,
        lua: Default::default(),
        connected: std::time::SystemTime::UNIX_EPOCH,
    }
}

fn failing(pod: &str, message: &str) -> Plane {
    let mut plane = plane(pod);
    plane.failed.insert(plugin_key(), message.into());
    plane
}

fn behind(pod: &str) -> Plane {
    let mut plane = plane(pod);
    plane.behind.insert(plugin_key());
    plane
}
