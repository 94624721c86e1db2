//! Conditions: how they are made, carried over and compared.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::problem::{Problem, shorten};

/// The longest message: etcd and `kubectl describe` have to carry it, and the definition allows 32 KiB.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Problems that one message tells; people mend the first and look again.
const PROBLEMS_MAX: usize = 8;
/// Pods that one message names.
const PODS_MAX: usize = 5;
/// Stands before the names of pods at the end of a message.
const PODS: &str = " (on ";

/// A condition before it is known since when it holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// Its type.
    pub(super) about: &'static str,
    /// Whether it holds.
    pub(super) holds: bool,
    /// For programs.
    pub(super) reason: String,
    /// For people.
    pub(super) message: String,
}

impl Said {
    /// It holds.
    pub(super) fn yes(about: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { about, holds: true, reason: reason.into(), message: message.into() }
    }

    /// It does not.
    pub(super) fn no(about: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { about, holds: false, reason: reason.into(), message: message.into() }
    }
}

/// Puts what is said into conditions. A condition whose status is as before keeps its time. Those of types that are
/// not said anything about are dropped.
pub(super) fn since(seen: &[Condition], said: Vec<Said>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let condition = |said: Said| {
        let status = if said.holds { "True" } else { "False" };
        let before = seen.iter().find(|c| c.type_ == said.about && c.status == status);
        // What the API server gives back has whole seconds.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Condition {
            last_transition_time: before.map_or(Time(now), |c| c.last_transition_time.clone()),
            message: shorten(said.message, MESSAGE_BYTES_MAX),
            observed_generation: (generation > 0).then_some(generation),
            reason: said.reason,
            status: status.into(),
            type_: said.about.into(),
        }
    };
    said.into_iter().map(condition).collect()
}

/// Whether two say the same. Which pods are named does not count: they come and go.
pub(super) fn are_same(one: &[Condition], other: &[Condition]) -> bool {
    let same = |a: &Condition, b: &Condition| {
        (&a.type_, &a.status, &a.reason, a.observed_generation)
            == (&b.type_, &b.status, &b.reason, b.observed_generation)
            && without_pods(&a.message) == without_pods(&b.message)
    };
    one.len() == other.len() && one.iter().all(|a| other.iter().any(|b| same(a, b)))
}

/// A message with the pods that it is about.
pub(super) fn on_pods(message: &str, pods: &BTreeSet<&String>) -> String {
    let named: Vec<&str> = pods.iter().take(PODS_MAX).map(|pod| pod.as_str()).collect();
    let more = pods.len().saturating_sub(PODS_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    // The pods stand at the end, and must not be cut off.
    format!("{}{PODS}{}{more})", shorten(message.into(), MESSAGE_BYTES_MAX - 1400), named.join(", "))
}

fn without_pods(message: &str) -> &str {
    message.rsplit_once(PODS).map_or(message, |(rest, _)| rest)
}

/// Problems as one message.
pub(super) fn message(problems: &[&Problem]) -> String {
    let one = |problem: &&Problem| match problem.field.as_str() {
        "" => problem.message.clone(),
        field => format!("{field}: {}", problem.message),
    };
    let mut told: Vec<String> = problems.iter().take(PROBLEMS_MAX).map(one).collect();
    if problems.len() > PROBLEMS_MAX {
        told.push(format!("and {} more", problems.len() - PROBLEMS_MAX));
    }
    told.join("; ")
}
