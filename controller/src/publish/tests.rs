//! The push without I/O: state and links against data planes that are models.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use routing::value::{Action, Host};
use routing::wire::{self, Applied, FEATURES, FromPlane, Held, Hello, Known, Lead, PROTOCOLS, Received, ToPlane};
use routing::{Change, Hash, Key, ObjectName, PathKind, RouteKey, Value};

use super::link::{Link, Next};
use super::state::State;
use super::table::{Content, Entry};
use super::{Options, Peer, Publisher};

mod kept;
mod places;
mod plane;

use plane::Plane;

/// Nothing waits for its time, unless a test is about that.
const AT_ONCE: Duration = Duration::ZERO;

fn host(n: u8) -> Key {
    Key::Host(format!("h{n}.example.com"))
}

fn value(n: u16) -> Value {
    Value::Host(Host { certificate: Some(ObjectName::new("shop", format!("c{n}"))), tls: true })
}

fn content(key: &Key, value: &Value, needs: fn(&Key, &Value) -> Vec<String>) -> Option<Content> {
    Some(Content::new(key, value, false, needs).unwrap())
}

fn set(n: u8, v: u16) -> (Key, Option<Content>) {
    let key = host(n);
    let content = content(&key, &value(v), wire::needs);
    (key, content)
}

fn delete(n: u8) -> (Key, Option<Content>) {
    (host(n), None)
}

fn stand_in(n: u8, v: u16) -> (Key, Option<Content>) {
    let key = host(n);
    let content = Content::new(&key, &value(v), true, wire::needs).unwrap();
    (key, Some(content))
}

fn keep(n: u8) -> (Key, Option<Content>) {
    (host(n), Some(Content::keep(&host(n))))
}

fn versions(n: u64) -> BTreeMap<String, String> {
    BTreeMap::from([("ingresses".to_owned(), n.to_string())])
}

fn commit(state: &mut State, changes: Vec<(Key, Option<Content>)>) -> u64 {
    state.commit(changes, versions(0), Instant::now())
}

/// A leader with these keys.
fn leader(keys: std::ops::Range<u8>) -> State {
    let mut state = State::new(AT_ONCE);
    commit(&mut state, keys.map(|n| set(n, 0)).collect());
    state.lead(1);
    state
}

#[test]
fn nothing_is_said_before_everything_is_listed_and_it_leads() {
    let mut state = State::new(AT_ONCE);
    let mut plane = Plane::join(&mut state, "a");
    plane.drain(&mut state);
    state.lead(1);
    plane.drain(&mut state);
    assert_eq!((plane.lines, plane.lead), (0, None), "not listed");
    commit(&mut state, Vec::new());
    plane.drain(&mut state);
    assert_eq!((plane.lead, plane.commits), (Some(Lead { term: 1, stale: false }), 1), "an empty table is a table");
    state.stand_by();
    let before = plane.lines;
    commit(&mut state, vec![set(1, 1)]);
    plane.drain(&mut state);
    assert_eq!((plane.lead, plane.lines - before), (None, 1), "the end of the claim, and nothing more");
}

#[test]
fn a_reconnect_gets_what_differs_and_no_more() {
    let mut state = leader(0..100);
    let mut plane = Plane::join(&mut state, "a");
    plane.drain(&mut state);
    assert_eq!((plane.sets, plane.deletes), (100, 0));
    plane.leave(&mut state);
    commit(&mut state, vec![set(1, 1), set(100, 0), delete(2)]);
    plane.rejoin(&mut state);
    plane.drain(&mut state);
    assert_eq!((plane.sets, plane.deletes), (2, 1));
    plane.is_equal(&state);
}

#[test]
fn an_equal_value_sends_nothing() {
    let mut state = leader(0..3);
    let mut plane = Plane::join(&mut state, "a");
    plane.drain(&mut state);
    let lines = plane.lines;
    let counter = commit(&mut state, vec![set(0, 0), delete(77)]);
    plane.drain(&mut state);
    assert_eq!((plane.lines, counter), (lines, 1));
}

#[test]
fn one_batch_is_in_flight_and_what_changes_meanwhile_is_sent_once() {
    let mut state = leader(0..3);
    let mut plane = Plane::join(&mut state, "a");
    plane.answers = false;
    plane.drain(&mut state);
    assert_eq!((plane.commits, plane.sets), (1, 3));
    for v in 1..50 {
        commit(&mut state, vec![set(0, v), set(1, v)]);
        plane.drain(&mut state);
    }
    assert_eq!((plane.commits, plane.sets), (1, 3), "not before the answer");
    plane.answers = true;
    plane.answer(&mut state);
    plane.drain(&mut state);
    assert_eq!((plane.commits, plane.sets), (2, 3 + 2), "the last values, once");
    plane.is_equal(&state);
}

#[test]
fn keys_that_change_while_they_are_sent_are_in_the_same_step() {
    // Beyond one piece, so that the table changes between two.
    let mut state = State::new(AT_ONCE);
    let big = |n: u8, v: u16| {
        let key = Key::Script(Hash::of_bytes(&[n]));
        let content = content(&key, &Value::Script(format!("{v}{}", "x".repeat(6000))), wire::needs);
        (key, content)
    };
    commit(&mut state, (0..20).map(|n| big(n, 0)).collect());
    state.lead(1);
    let mut plane = Plane::join(&mut state, "a");
    let mut steps = 0;
    while plane.step(&mut state) {
        steps += 1;
        if steps < 40 {
            let n = u8::try_from(steps % 20).unwrap();
            commit(&mut state, vec![big(n, steps)]);
        }
    }
    assert_eq!(plane.commits, 1, "while it changes faster than it is taken it stays one step");
    plane.is_equal(&state);
}

#[test]
fn a_key_that_was_just_pushed_waits_and_what_comes_with_it_too() {
    let mut state = State::new(Duration::from_millis(20));
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    assert_eq!(state.commit(vec![set(1, 0), set(2, 0)], versions(1), at(0)), 1, "the first at once");
    assert_eq!(state.commit(vec![set(3, 0)], versions(2), at(1)), 2, "another key at once");
    assert_eq!(state.due(), None);
    assert_eq!(state.commit(vec![set(1, 1), set(4, 0)], versions(3), at(5)), 3);
    assert_eq!(state.due(), Some(at(20)));
    assert_eq!(state.commit(vec![set(1, 2), set(5, 0)], versions(4), at(10)), 3, "in order, so all of it waits");
    state.flush(at(19));
    assert_eq!(state.table().sequence(), 2);
    state.flush(at(20));
    assert_eq!((state.table().sequence(), state.table().len(), state.due()), (3, 5, None));
    assert_eq!(state.commit(vec![set(1, 3)], versions(5), at(60)), 4, "quiet for long: at once");
}

#[test]
fn a_new_leader_waits_until_it_has_seen_what_the_data_plane_has() {
    let limits = Options::default();
    let mut old = leader(0..3);
    old.commit(Vec::new(), versions(50), Instant::now());
    let mut plane = Plane::join(&mut old, "a");
    plane.drain(&mut old);
    plane.leave(&mut old);
    let mut new = State::new(AT_ONCE);
    new.commit(vec![set(0, 7)], versions(40), Instant::now());
    new.reach(versions(49));
    new.lead(2);
    plane.rejoin(&mut new);
    plane.drain(&mut new);
    assert_eq!((plane.sets, plane.commits), (0, 0), "49 is not 50");
    new.reach(BTreeMap::from([("ingresses".into(), "100".into()), ("services".into(), "1".into())]));
    plane.drain(&mut new);
    assert_eq!(plane.commits, 1, "100 is beyond 50, as a number");
    // One that never gets there pushes after its time.
    let mut late = State::new(AT_ONCE);
    late.commit(vec![set(0, 8)], versions(1), Instant::now());
    late.reach(versions(39));
    late.lead(3);
    plane.leave(&mut new);
    plane.rejoin(&mut late);
    plane.drain(&mut late);
    assert_eq!(plane.commits, 0);
    plane.now += 2 * limits.catch_up;
    plane.drain(&mut late);
    assert_eq!(plane.commits, 1);
}

#[test]
fn who_lost_the_lease_serves_who_joins_and_says_so() {
    let mut state = leader(0..3);
    let mut before = Plane::join(&mut state, "before");
    before.drain(&mut state);
    state.stand_by();
    before.drain(&mut state);
    assert_eq!(before.lead, None);
    let mut after = Plane::join(&mut state, "after");
    after.now += Duration::from_millis(1);
    after.drain(&mut state);
    assert_eq!((after.lead, after.commits), (Some(Lead { term: 1, stale: true }), 1));
    // One that never led has nothing to offer.
    let mut standby = State::new(AT_ONCE);
    commit(&mut standby, vec![set(1, 1)]);
    let mut plane = Plane::join(&mut standby, "a");
    plane.drain(&mut standby);
    assert_eq!(plane.lead, None);
}

#[test]
fn a_pods_second_stream_ends_its_first() {
    let mut state = leader(0..3);
    let mut first = Plane::join(&mut state, "a");
    first.drain(&mut state);
    let mut second = Plane::join(&mut state, "a");
    second.drain(&mut state);
    assert!(matches!(state.next(first.id, &Options::default(), Instant::now()), Next::End(_)));
    assert_eq!(state.planes().planes.len(), 1);
    assert!(state.planes().planes["uid of a"].is_complete);
}

#[test]
fn a_data_plane_that_does_not_answer_is_dropped() {
    let mut state = leader(0..3);
    let mut plane = Plane::join(&mut state, "a");
    plane.answers = false;
    plane.drain(&mut state);
    let limits = Options::default();
    assert!(matches!(state.next(plane.id, &limits, Instant::now()), Next::Wait(Some(_))));
    assert!(matches!(state.next(plane.id, &limits, Instant::now() + limits.apply), Next::End(_)));
}

#[test]
fn what_a_data_plane_holds_of_newer_versions_goes() {
    let mut state = leader(0..3);
    let mut plane = Plane::join(&mut state, "a");
    plane.drain(&mut state);
    plane.leave(&mut state);
    plane.unknown = 1;
    plane.rejoin(&mut state);
    plane.drain(&mut state);
    assert_eq!((plane.sets, plane.unknown), (3, 0), "a whole table");
    plane.is_equal(&state);
}

#[test]
fn deletions_are_forgotten_and_who_lags_gets_the_whole_table() {
    let mut state = leader(0..3);
    let mut plane = Plane::join(&mut state, "a");
    plane.drain(&mut state);
    plane.answers = false;
    commit(&mut state, vec![delete(0)]);
    plane.drain(&mut state);
    for n in 0..3000u32 {
        let key = Key::Namespace(format!("n{n}"));
        let content = content(&key, &Value::Namespace(routing::value::Namespace::default()), wire::needs);
        commit(&mut state, vec![(key.clone(), content)]);
        commit(&mut state, vec![(key, None)]);
    }
    assert!(state.table().slots() <= 2000, "{}", state.table().slots());
    plane.answers = true;
    plane.answer(&mut state);
    plane.drain(&mut state);
    assert_eq!(plane.wholes, 1);
    plane.is_equal(&state);
}

/// Routes and whatever else says `quic` need it.
fn needs_quic(_: &Key, value: &Value) -> Vec<String> {
    let text = serde_json::to_string(value).unwrap();
    if text.contains("quic") { vec!["quic".into()] } else { Vec::new() }
}

#[test]
fn what_a_data_plane_cannot_have_is_closed_there() {
    let route = |path: &str, service: &str| {
        let key = Key::Route(RouteKey { host: "h1.example.com".into(), kind: PathKind::Prefix, path: path.into() });
        let value = Value::Route(routing::value::Route {
            ingress: ObjectName::new("shop", "shop"),
            service: service.into(),
            action: Action::Forward(Vec::new()),
            chains: Vec::new(),
            policy: Default::default(),
        });
        let content = content(&key, &value, needs_quic);
        (key, content)
    };
    let upstream = |service: &str| {
        let key = Key::Namespace(service.into());
        let content = content(&key, &Value::Script(service.into()), needs_quic);
        (key, content)
    };
    let named = |certificate: &str| {
        let value = Value::Host(Host { certificate: Some(ObjectName::new("shop", certificate)), tls: true });
        (host(1), content(&host(1), &value, needs_quic))
    };
    let mut state = State::new(AT_ONCE);
    commit(&mut state, vec![route("/a", "web"), route("/b", "quic"), upstream("quic"), upstream("plain")]);
    state.lead(1);
    let mut old = Plane::join(&mut state, "old");
    let mut new = Plane::join_with(&mut state, "new", vec!["quic".into()]);
    old.drain(&mut state);
    new.drain(&mut state);
    new.is_equal(&state);
    let refused = |plane: &Plane| -> BTreeSet<String> {
        let routes = plane.table.iter().filter_map(|(key, (_, value))| match (key, value.as_ref()) {
            (Key::Route(key), Value::Route(route)) if matches!(route.action, Action::Refuse { status: 503, .. }) => {
                Some(key.path.clone())
            }
            _ => None,
        });
        routes.collect()
    };
    assert_eq!(refused(&old), BTreeSet::from(["/b".into()]));
    assert!(
        !old.table.contains_key(&Key::Namespace("quic".into()))
            && old.table.contains_key(&Key::Namespace("plain".into()))
    );
    let failed = &state.planes().planes["uid of old"].failed;
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.values().all(|why| why.contains("\"quic\"")), "{failed:?}");
    // What a host needs, its routes need.
    commit(&mut state, vec![named("quic")]);
    old.drain(&mut state);
    new.drain(&mut state);
    assert_eq!((refused(&old).len(), refused(&new).len()), (2, 0));
    commit(&mut state, vec![named("plain"), route("/b", "web")]);
    old.drain(&mut state);
    assert_eq!(refused(&old).len(), 0);
    let failed = &state.planes().planes["uid of old"].failed;
    assert_eq!(failed.len(), 1, "the namespace is what is left: {failed:?}");
    // It is upgraded.
    old.leave(&mut state);
    old.features = vec!["quic".into()];
    old.rejoin(&mut state);
    old.drain(&mut state);
    old.is_equal(&state);
}

#[test]
fn statuses_are_told_what_is_in_effect_where() {
    let mut state = leader(0..3);
    let mut plane = Plane::join(&mut state, "a");
    assert!(!state.planes().planes["uid of a"].is_complete);
    plane.drain(&mut state);
    let key = Key::Settings;
    let settings = content(&key, &Value::Settings(Box::default()), wire::needs);
    let counter = commit(&mut state, vec![(key.clone(), settings), set(1, 9)]);
    let planes = state.planes();
    assert_eq!(planes.planes["uid of a"].behind, BTreeSet::from([key.clone()]), "code and settings, no hosts");
    assert_eq!((planes.having(counter), planes.having(counter - 1)), ((0, 1), (1, 1)));
    plane.failing = vec![(key.clone(), "x".repeat(10_000))];
    plane.drain(&mut state);
    let planes = state.planes();
    assert_eq!((planes.having(counter), planes.term), ((1, 1), Some(1)));
    let plane = &planes.planes["uid of a"];
    assert!(plane.behind.is_empty());
    assert_eq!(plane.failed[&key].len(), wire::MESSAGE_MAX, "however long what it sends");
}

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<(u8, Said)>),
    Step(usize, u8),
    Drop(usize),
    Term,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Set(u16),
    StandIn(u16),
    Keep,
    Delete,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        6 => (0..3u16).prop_map(Said::Set),
        1 => (0..3u16).prop_map(Said::StandIn),
        1 => Just(Said::Keep),
        2 => Just(Said::Delete),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let change = (0..24u8, said());
    prop_oneof![
        4 => proptest::collection::vec(change, 0..6).prop_map(Op::Commit),
        6 => (0..3usize, 1..6u8).prop_map(|(plane, steps)| Op::Step(plane, steps)),
        1 => (0..3usize).prop_map(Op::Drop),
        1 => Just(Op::Term),
    ]
}

proptest! {
    /// Whatever happens in whatever order: at each commit a data plane was told exactly the table of that moment.
    #[test]
    fn at_every_commit_a_data_plane_has_the_table(ops in proptest::collection::vec(op(), 1..60)) {
        let mut state = leader(0..4);
        let mut planes: Vec<Plane> = ["a", "b"].map(|name| Plane::join(&mut state, name)).into();
        planes.push(Plane::join_with(&mut state, "old", Vec::new()));
        let mut term = 1;
        for op in ops {
            match op {
                Op::Commit(changes) => {
                    let changes: BTreeMap<u8, Said> = changes.into_iter().collect();
                    let change = |(n, said)| match said {
                        Said::Set(v) => set(n, v),
                        Said::StandIn(v) => stand_in(n, v),
                        Said::Keep => keep(n),
                        Said::Delete => delete(n),
                    };
                    commit(&mut state, changes.into_iter().map(change).collect());
                }
                Op::Step(plane, steps) => {
                    for _ in 0..steps {
                        planes[plane].step(&mut state);
                    }
                }
                Op::Drop(plane) => {
                    planes[plane].leave(&mut state);
                    planes[plane].rejoin(&mut state);
                }
                Op::Term => {
                    term += 1;
                    state.stand_by();
                    state.lead(term);
                }
            }
        }
        for plane in &mut planes {
            plane.drain(&mut state);
            plane.is_equal(&state);
            plane.leave(&mut state);
            plane.rejoin(&mut state);
            plane.drain(&mut state);
            prop_assert_eq!((plane.sets, plane.keeps, plane.deletes), (0, 0, 0), "told again what it knows");
        }
    }
}
