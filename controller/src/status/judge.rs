//! What an object's status should be: a pure function of what is known.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IngressLoadBalancerIngress;
use routing::Key;
use routing::key::ChainKey;

use super::conditions::{Said, are_same, message, on_pods, since};
use super::meta::{Meta, Status};
use super::planes::Summary;
use super::view::{Facts, Subject, key_of};
use crate::crd::{BindingStatus, ConfigStatus, PluginStatus, TargetStatus};
use crate::problem::{Cause, Problem, Severity, shorten};
use crate::store::ObjectId;

/// The definition's bound on `lastError`.
const LAST_ERROR_BYTES_MAX: usize = 4000;

const ACCEPTED: &str = "Accepted";
const RESOLVED: &str = "ResolvedRefs";
const CONFLICTED: &str = "Conflicted";
const PROGRAMMED: &str = "Programmed";

const NOT_VALID_MESSAGE: &str =
    "not in effect, for what the other conditions say; a data plane that has an earlier good version keeps that";

/// What holds for all objects.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Where clients reach the data planes; none: not known yet, or not to be published.
    pub(super) address: Option<Vec<IngressLoadBalancerIngress>>,
    /// The data planes.
    pub(super) planes: Summary,
}

/// What should stand in an object's status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// All of it.
    pub(super) status: Status,
    /// Data planes are about to take the object over, so this may be another in a moment.
    pub(super) is_pending: bool,
}

/// An object under judgement.
pub(super) struct Case<'a> {
    pub(super) id: &'a ObjectId,
    pub(super) meta: &'a Meta,
    pub(super) facts: &'a Facts,
    /// What was wrong when it could not be read.
    pub(super) malformed: &'a [Problem],
    /// Its status has an address of ours.
    pub(super) is_published: bool,
    pub(super) world: &'a World,
    pub(super) now: Timestamp,
}

/// What an object's status should be; none: nothing of ours.
pub(super) fn judge(case: &Case<'_>) -> Option<Verdict> {
    match (&case.facts.subject, &case.meta.status) {
        (Subject::Ingress { is_own: true }, _) => {
            Some(Verdict { status: Status::Ingress(case.world.address.clone()?), is_pending: false })
        }
        // It has left our class: what we wrote there would lead clients here.
        (Subject::Ingress { is_own: false }, _) => {
            case.is_published.then_some(Verdict { status: Status::Ingress(Vec::new()), is_pending: false })
        }
        (Subject::Plugin { code }, Status::Plugin(seen)) => {
            let code = code.as_ref().map(ToString::to_string);
            let (mut said, is_pending) = (vec![case.accepted(code.is_some()), case.resolved()], case.is_pending());
            said.extend(case.programmed(code.is_some(), &seen.conditions, seen.code_hash == code));
            let conditions = case.conditions(&seen.conditions, said);
            let data_planes = code.as_ref().map(|_| case.data_planes());
            let last_error = case.last_error(seen, &code);
            Some(Verdict {
                status: Status::Plugin(PluginStatus { conditions, data_planes, code_hash: code, last_error }),
                is_pending,
            })
        }
        (Subject::Binding { is_used, targets }, Status::Binding(seen)) => {
            let mut said = vec![case.accepted(*is_used), case.resolved(), case.conflicted()];
            said.extend(case.programmed(*is_used, &seen.conditions, true));
            let conditions = case.conditions(&seen.conditions, said);
            let targets = case.targets(targets, &seen.targets);
            Some(Verdict {
                status: Status::Binding(BindingStatus { conditions, targets }),
                is_pending: case.is_pending(),
            })
        }
        (Subject::Config { is_global }, Status::Config(seen)) => {
            let mut said = vec![case.accepted(true)];
            said.extend(is_global.then(|| case.programmed(true, &seen.conditions, true)).flatten());
            let conditions = case.conditions(&seen.conditions, said);
            Some(Verdict { status: Status::Config(ConfigStatus { conditions }), is_pending: case.is_pending() })
        }
        // Facts and status are of one kind.
        _ => None,
    }
}

/// Whether a write of `now` over `seen` would tell no one anything. How many data planes there are, and when something
/// happened, do not count.
pub(super) fn is_same(seen: &Status, now: &Status) -> bool {
    match (seen, now) {
        (Status::Ingress(a), Status::Ingress(b)) => a == b,
        (Status::Plugin(a), Status::Plugin(b)) => {
            are_same(&a.conditions, &b.conditions)
                && a.code_hash == b.code_hash
                && a.data_planes.is_some() == b.data_planes.is_some()
                && a.last_error.as_deref().map(without_time) == b.last_error.as_deref().map(without_time)
        }
        (Status::Binding(a), Status::Binding(b)) => {
            let same = |a: &TargetStatus, b: &TargetStatus| {
                (&a.kind, &a.name, &a.section_name) == (&b.kind, &b.name, &b.section_name)
                    && are_same(&a.conditions, &b.conditions)
            };
            are_same(&a.conditions, &b.conditions)
                && a.targets.len() == b.targets.len()
                && a.targets.iter().zip(&b.targets).all(|(a, b)| same(a, b))
        }
        (Status::Config(a), Status::Config(b)) => are_same(&a.conditions, &b.conditions),
        _ => false,
    }
}

/// Whether nothing but the last error differs, where there is one already: it may be another at each request.
pub(super) fn is_same_but_error(seen: &Status, now: &Status) -> bool {
    match (seen, now) {
        (Status::Plugin(a), Status::Plugin(b)) if a.last_error.is_some() => {
            let a = PluginStatus { last_error: b.last_error.clone(), ..a.clone() };
            is_same(&Status::Plugin(a), now)
        }
        _ => false,
    }
}

fn without_time(error: &str) -> &str {
    error.split_once(": ").map_or(error, |(_, rest)| rest)
}

/// Where an object did not take effect, as a problem to tell by an Event.
pub(super) fn load_failure(id: &ObjectId, world: &World) -> Option<Problem> {
    let failed = world.planes.failed.get(&key_of(id)?)?;
    Some(Problem::error(id.reference(), "", "NotProgrammed", failures(failed)))
}

impl Case<'_> {
    fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.facts.problems.iter().chain(self.malformed)
    }

    fn conditions(
        &self,
        seen: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
        said: Vec<Said>,
    ) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
        since(seen, said, self.meta.generation, self.now)
    }

    /// Whether the object is valid and may be what it wants to be.
    fn accepted(&self, in_effect: bool) -> Said {
        let is_refused =
            |p: &&Problem| p.severity == Severity::Error && matches!(p.cause(), Cause::Object | Cause::Surroundings);
        let refused: Vec<&Problem> = self.problems().filter(is_refused).collect();
        if let Some(first) = refused.first() {
            let kept = if in_effect { "; the last good version stays in effect" } else { "" };
            return Said::no(ACCEPTED, first.reason, message(&refused) + kept);
        }
        let warnings: Vec<&Problem> = self.problems().filter(|p| p.severity == Severity::Warning).collect();
        match warnings.is_empty() {
            true => Said::yes(ACCEPTED, ACCEPTED, "valid"),
            false => Said::yes(ACCEPTED, ACCEPTED, format!("valid, but {}", message(&warnings))),
        }
    }

    /// Whether what it names is there.
    fn resolved(&self) -> Said {
        let is_missing = |p: &&Problem| p.severity == Severity::Error && p.cause() == Cause::Reference;
        let missing: Vec<&Problem> = self.problems().filter(is_missing).collect();
        match missing.first() {
            Some(first) => Said::no(RESOLVED, first.reason, message(&missing)),
            None => Said::yes(RESOLVED, RESOLVED, "everything that it names is there"),
        }
    }

    /// Whether another one runs in its place.
    fn conflicted(&self) -> Said {
        let conflicts: Vec<&Problem> = self.problems().filter(|p| p.cause() == Cause::Collision).collect();
        match conflicts.is_empty() {
            true => Said::no(CONFLICTED, "NoConflict", "no other plugin runs in its place"),
            false => Said::yes(CONFLICTED, CONFLICTED, message(&conflicts)),
        }
    }

    fn failed(&self) -> Option<&BTreeMap<String, String>> {
        self.world.planes.failed.get(&key_of(self.id)?)
    }

    fn behind(&self) -> Option<&BTreeSet<String>> {
        self.world.planes.behind.get(&key_of(self.id)?)
    }

    fn is_pending(&self) -> bool {
        self.behind().is_some()
    }

    /// Whether every data plane has it; none only where nothing can be said.
    fn programmed(
        &self,
        in_table: bool,
        seen: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
        is_same_code: bool,
    ) -> Option<Said> {
        let is_bad = |p: &Problem| p.severity == Severity::Error && p.cause() != Cause::Collision;
        if !in_table {
            return Some(match self.problems().any(is_bad) {
                true => Said::no(PROGRAMMED, "NotValid", NOT_VALID_MESSAGE),
                false => Said::no(PROGRAMMED, "NotUsed", "no data plane has it: no route that is served uses it"),
            });
        }
        let all = self.world.planes.complete;
        if all == 0 {
            // They may all be on their way back: what was said about this version stays.
            let said = seen.iter().find(|c| {
                c.type_ == PROGRAMMED && is_same_code && c.observed_generation.unwrap_or(0) == self.meta.generation
            });
            return Some(match said {
                Some(c) => Said {
                    about: PROGRAMMED,
                    holds: c.status == "True",
                    reason: c.reason.clone(),
                    message: c.message.clone(),
                },
                None => Said::no(PROGRAMMED, "NoDataPlanes", "no data plane is connected to the controller"),
            });
        }
        if let Some(failed) = self.failed() {
            let reason = if failed.len() == all { "LoadFailed" } else { "PartiallyProgrammed" };
            return Some(Said::no(PROGRAMMED, reason, failures(failed)));
        }
        if let Some(behind) = self.behind() {
            let text = on_pods("data planes have not confirmed it yet", &behind.iter().collect());
            return Some(Said::no(PROGRAMMED, "Pending", text));
        }
        Some(Said::yes(PROGRAMMED, PROGRAMMED, "every data plane has it"))
    }

    /// How many data planes run the code, of how many.
    fn data_planes(&self) -> String {
        let all = self.world.planes.complete;
        let without: BTreeSet<&String> =
            self.failed().into_iter().flat_map(BTreeMap::keys).chain(self.behind().into_iter().flatten()).collect();
        format!("{}/{all}", all.saturating_sub(without.len()))
    }

    /// The newest error in a request; one that is known stays as long as the code does.
    fn last_error(&self, seen: &PluginStatus, code: &Option<String>) -> Option<String> {
        let Some(Key::Plugin(plugin)) = key_of(self.id) else { return None };
        match self.world.planes.lua.get(&plugin) {
            Some(failure) => {
                let at = Timestamp::from_second(failure.at.as_second()).unwrap_or(failure.at);
                Some(shorten(format!("{at}: {}", failure.message), LAST_ERROR_BYTES_MAX))
            }
            None => seen.last_error.clone().filter(|_| seen.code_hash == *code),
        }
    }

    /// The targets about which there is something to say.
    fn targets(&self, targets: &[ChainKey], seen: &[TargetStatus]) -> Vec<TargetStatus> {
        let about = |index: usize| {
            let field = format!("spec.targetRefs[{index}]");
            self.problems().filter(move |p| {
                p.field.strip_prefix(&field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let status = |(index, target): (usize, &ChainKey)| {
            let problems: Vec<&Problem> = about(index).collect();
            let first = problems.first()?;
            let holds = problems.iter().all(|p| p.severity == Severity::Warning);
            let said = Said { about: ACCEPTED, holds, reason: first.reason.into(), message: message(&problems) };
            let (kind, name, section_name) = named(target);
            let before = seen.iter().find(|t| (&t.kind, &t.name, &t.section_name) == (&kind, &name, &section_name));
            let before = before.map_or(&[][..], |t| &t.conditions);
            Some(TargetStatus { conditions: self.conditions(before, vec![said]), kind, name, section_name })
        };
        targets.iter().enumerate().filter_map(status).collect()
    }
}

/// How a binding names a target: kind, name, section.
fn named(target: &ChainKey) -> (String, String, Option<String>) {
    let (kind, name, section) = match target {
        ChainKey::Class(name) => ("IngressClass", name, None),
        ChainKey::Namespace(name) => ("Namespace", name, None),
        ChainKey::Service(service) => ("Service", &service.name, None),
        ChainKey::Ingress(ingress) => ("Ingress", &ingress.name, None),
        ChainKey::Host(ingress, host) => ("Ingress", &ingress.name, Some(host.clone())),
        ChainKey::Path(ingress, host, path) if host == "*" => ("Ingress", &ingress.name, Some(path.clone())),
        ChainKey::Path(ingress, host, path) => ("Ingress", &ingress.name, Some(format!("{host}{path}"))),
    };
    (kind.into(), name.clone(), section)
}

/// What data planes said when they refused a key, each message once.
fn failures(failed: &BTreeMap<String, String>) -> String {
    let messages: BTreeSet<&str> = failed.values().map(String::as_str).collect();
    let messages: Vec<&str> = messages.into_iter().take(3).collect();
    on_pods(&messages.join("; "), &failed.keys().collect())
}
