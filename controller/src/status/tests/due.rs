//! Which writes are made, and which are not.

use serde_json::json;

use super::{Story, behind, code, failing, ingress, ip, meta, own, plane, plugin, plugin_key};
use crate::publish::{LuaFailure, Plane};
use crate::status::ledger::{Outcome, Write};
use crate::status::{Facts, Meta, Status, Subject, View};
use crate::store::{Update, convert};
use crate::table::Translator;
use crate::translate::Options;

#[test]
fn an_ingress_gets_the_address_once_and_loses_it_with_the_class() {
    let mut story = Story::new();
    let (ours, theirs) = (ingress("ours"), ingress("theirs"));
    story.see(&ours, meta(&ours, 1), own(true));
    let other = Meta { status: Status::Ingress(vec![ip("192.0.2.9")]), ..meta(&theirs, 1) };
    story.see(&theirs, other, own(false));
    assert_eq!(story.statuses(), [], "no address is known yet");
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let address = Status::Ingress(vec![ip("192.0.2.1")]);
    assert_eq!(story.statuses(), [(ours.clone(), address)]);
    story.pass(60);
    assert_eq!(story.statuses(), []);
    story.say(&ours, own(false));
    assert_eq!(story.statuses(), [(ours.clone(), Status::Ingress(Vec::new()))]);
    story.pass(60);
    story.ledger.address(Some(vec![ip("192.0.2.2")]), story.now());
    assert_eq!(story.statuses(), []);
}

#[test]
fn what_another_controller_wrote_after_the_class_changed_stays() {
    let mut story = Story::new();
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let id = ingress("web");
    story.see(&id, meta(&id, 1), own(true));
    assert_eq!(story.statuses().len(), 1);
    let theirs =
        Meta { status: Status::Ingress(vec![ip("192.0.2.9")]), resource_version: "500".into(), ..meta(&id, 2) };
    story.see(&id, theirs, own(false));
    assert_eq!(story.statuses(), []);
}

#[test]
fn a_thousand_ingresses_cost_a_thousand_writes() {
    let mut story = Story::new();
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let ids: Vec<_> = (0..1000).map(|n| ingress(&format!("web-{n}"))).collect();
    let mut writes = 0;
    for id in &ids {
        story.see(id, meta(id, 1), own(true));
        writes += story.statuses().len();
        // The watch tells of the write.
        let version = story.version.to_string();
        let seen = Meta { status: Status::Ingress(vec![ip("192.0.2.1")]), resource_version: version, ..meta(id, 1) };
        story.see(id, seen, own(true));
        writes += story.statuses().len();
    }
    assert_eq!(writes, 1000);
    // A new leader finds all as it should be.
    story.ledger.lead(false, story.now());
    story.ledger.lead(true, story.now());
    story.pass(60);
    assert_eq!(story.statuses(), []);
}

#[test]
fn an_echo_from_before_the_write_is_not_taken_for_its_undoing() {
    let mut story = Story::new();
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let id = ingress("web");
    story.see(&id, meta(&id, 1), own(true));
    assert_eq!(story.statuses().len(), 1);
    story.see(&id, Meta { resource_version: "7".into(), ..meta(&id, 2) }, own(true));
    story.pass(60);
    assert_eq!(story.statuses(), []);
}

#[test]
fn a_status_that_others_undo_is_written_ever_more_rarely() {
    let mut story = Story::new();
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let id = ingress("web");
    let mut writes = Vec::new();
    for second in 0..600u64 {
        let version = (10_000 + second).to_string();
        story.see(&id, Meta { resource_version: version, ..meta(&id, 1) }, own(true));
        if !story.statuses().is_empty() {
            writes.push(second);
        }
        story.pass(1);
    }
    assert_eq!(writes, [0, 4, 12, 28, 60, 124, 252, 508], "twice as long each time");
}

#[test]
fn replicas_that_scale_write_nothing() {
    let mut story = Story::new();
    let planes = |count: usize| (0..count).map(|n| plane(&format!("pod-{n}"))).collect::<Vec<Plane>>();
    story.planes(&planes(3));
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.pass(2);
    assert_eq!(story.statuses().len(), 1);
    for count in [5, 50, 1, 0, 4] {
        let mut now = planes(count);
        // A joining one has everything to do yet.
        now.push(Plane { is_complete: false, ..behind("new") });
        story.planes(&now);
        story.pass(30);
        assert_eq!(story.statuses(), [], "{count}");
    }
}

#[test]
fn a_change_is_written_once_when_all_have_confirmed_it() {
    let mut story = Story::new();
    story.planes(&[plane("a"), plane("b")]);
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.planes(&[behind("a"), behind("b")]);
    story.pass(3);
    assert_eq!(story.statuses(), [], "they are about to");
    story.planes(&[plane("a"), behind("b")]);
    story.pass(3);
    assert_eq!(story.statuses(), []);
    story.planes(&[plane("a"), plane("b")]);
    assert_eq!(story.statuses().len(), 1);
    // A secret is rotated: the plugin's object is as it was, and the data planes are not late yet.
    story.pass(100);
    story.planes(&[behind("a"), behind("b")]);
    assert_eq!(story.statuses(), []);
    story.pass(3);
    story.planes(&[plane("a"), plane("b")]);
    story.pass(60);
    assert_eq!(story.statuses(), []);
    // One hangs.
    story.planes(&[plane("a"), behind("b")]);
    story.pass(11);
    assert_eq!(story.statuses().len(), 1);
}

#[test]
fn a_new_failure_is_written_another_pod_with_the_same_is_not() {
    let mut story = Story::new();
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    let mut check = |planes: &[Plane], writes: usize| {
        story.planes(planes);
        story.pass(20);
        assert_eq!(story.statuses().len(), writes, "{planes:?}");
    };
    check(&[plane("a"), plane("b"), plane("c")], 1);
    check(&[plane("a"), failing("b", "access:1: no"), plane("c")], 1);
    check(&[plane("a"), failing("b", "access:1: no"), failing("c", "access:1: no")], 0);
    check(&[plane("a"), failing("d", "access:1: no"), plane("c")], 0);
    check(&[plane("a"), failing("d", "access:2: no"), plane("c")], 1);
    check(&[plane("a"), plane("d"), plane("c")], 1);
}

#[test]
fn an_error_in_requests_is_written_once_a_minute() {
    let mut story = Story::new();
    story.planes(&[plane("a")]);
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.pass(100);
    assert_eq!(story.statuses().len(), 1);
    let mut writes = 0;
    for second in 0..300 {
        story.pass(1);
        let mut failing = plane("a");
        let routing::Key::Plugin(key) = plugin_key() else { panic!() };
        let message = format!("access:1: request {second}");
        failing.lua.insert(key, LuaFailure { at: story.now().wall, message });
        story.planes(&[failing]);
        writes += story.statuses().len();
    }
    assert_eq!(writes, 5);
}

#[test]
fn only_a_leader_writes() {
    let mut story = Story::new();
    story.ledger.lead(false, story.now());
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let id = ingress("web");
    story.see(&id, meta(&id, 1), own(true));
    story.pass(60);
    assert_eq!(story.ledger.due(story.now(), 10), []);
    assert_eq!(story.ledger.next_due(), None);
    story.ledger.lead(true, story.now());
    assert_eq!(story.statuses().len(), 1);
}

#[test]
fn a_write_that_fails_is_tried_again_later_and_one_of_a_gone_object_is_not() {
    let mut story = Story::new();
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    let id = ingress("web");
    story.see(&id, meta(&id, 1), own(true));
    let attempt = |story: &mut Story, outcome: Option<Outcome>| {
        let now = story.now();
        let due = story.ledger.due(now, 10);
        match (due.as_slice(), outcome) {
            ([write @ Write::Status { .. }], Some(outcome)) => story.ledger.done(write.clone(), outcome, now),
            ([], None) => {}
            other => panic!("{other:?}"),
        }
    };
    attempt(&mut story, Some(Outcome::Failed));
    attempt(&mut story, None);
    story.pass(1);
    attempt(&mut story, Some(Outcome::Failed));
    story.pass(1);
    attempt(&mut story, None);
    story.pass(1);
    attempt(&mut story, Some(Outcome::Gone));
    story.pass(1000);
    attempt(&mut story, None);
    // It was made anew.
    story.see(&id, Meta { uid: "another".into(), ..meta(&id, 1) }, own(true));
    attempt(&mut story, Some(Outcome::Written("9".into())));
    let gone = View { metas: vec![(id.clone(), None)], ..View::default() };
    story.ledger.observe(gone, story.now());
    story.pass(1000);
    attempt(&mut story, None);
}

#[test]
fn on_the_way_out_only_our_own_are_cleared() {
    let mut story = Story::new();
    story.ledger.address(Some(vec![ip("192.0.2.1")]), story.now());
    for (name, is_own) in [("a", true), ("b", false), ("c", true)] {
        let id = ingress(name);
        let seen = Meta { status: Status::Ingress(vec![ip("192.0.2.1")]), ..meta(&id, 1) };
        story.see(&id, if name == "c" { meta(&id, 1) } else { seen }, own(is_own));
    }
    let cleared = story.ledger.clear();
    let [Write::Status { id, status, .. }] = cleared.as_slice() else { panic!("{cleared:?}") };
    assert_eq!((id, status), (&ingress("a"), &Status::Ingress(Vec::new())));
}

/// Whose status is ours to write: of our classes, by object, by name where there is none, and by default; not of those
/// that are served for another controller.
#[test]
fn only_ingresses_of_our_classes_have_a_status() {
    let options = Options { annotation_class: Some("legacy".into()), watch_without_class: true, ..Options::default() };
    let mut table = Translator::new(options);
    let class = |name: &str, controller: &str| {
        let class = json!({"metadata": {"name": name}, "spec": {"controller": controller}});
        Update::Apply(convert::ingress_class(serde_json::from_value(class).unwrap()))
    };
    let migration =
        json!({"metadata": {"name": "moongate"}, "spec": {"migration": {"ingressClasses": ["nginx", "gone"]}}});
    let migration = Update::Apply(convert::moongate_config(serde_json::from_value(migration).unwrap()));
    let ours = class("ours", "moongate.dev/ingress-controller");
    table.change([ours, class("nginx", "k8s.io/ingress-nginx"), migration]);
    let ingress_id = || super::ingress("web");
    let mut check = |field: Option<&str>, annotation: Option<&str>, expected: bool| {
        let ingress = json!({
            "metadata": {"namespace": "shop", "name": "web", "annotations": annotation.map(|a| json!({"kubernetes.io/ingress.class": a}))},
            "spec": {"ingressClassName": field, "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
        });
        let step = table.change([Update::Apply(convert::ingress(serde_json::from_value(ingress).unwrap()))]);
        let view = View::after(&table, &step, Vec::new());
        let facts: Vec<&Facts> =
            view.objects.iter().filter(|(id, _)| *id == ingress_id()).map(|(_, facts)| facts).collect();
        let [Facts { subject: Subject::Ingress { is_own }, .. }] = facts.as_slice() else { panic!("{view:?}") };
        assert_eq!(*is_own, expected, "{field:?} {annotation:?}");
    };
    check(Some("ours"), None, true);
    check(Some("nginx"), None, false);
    check(Some("gone"), None, false);
    check(None, Some("legacy"), true);
    check(Some("legacy"), None, false);
    check(None, None, true);
    check(Some("other"), None, false);
}
