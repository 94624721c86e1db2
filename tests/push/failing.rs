//! Keys that do not take effect, and scripts that fail.

use super::controller::Controller;
use super::plane::DataPlane;
use super::values::{Pair, delete, plugin, refuse, script_of, scripted, set};
use routing::Key;

const HOST: &str = "a.example.com";

fn all(pairs: Vec<Pair>) -> Vec<routing::Change> {
    pairs.into_iter().map(set).collect()
}

#[test]
fn a_failing_key_keeps_its_last_good_pair_and_is_reported() {
    let controller = Controller::start();
    controller.publisher.lead(1);
    controller.commit(all(scripted(HOST, "ngx.exit(402)")));
    let plane = DataPlane::start(&[&controller]);
    plane.serves(HOST, 402);
    let mut changes = all(scripted(HOST, "ngx.exit(("));
    changes.push(delete(script_of("ngx.exit(402)")));
    let counter = controller.commit(changes);
    controller.wait_for("the answer", |p| p.having(counter) == (1, 1));
    let key = Key::Plugin(plugin());
    let failed = controller.planes().planes.values().next().unwrap().failed.clone();
    assert_eq!(failed.keys().collect::<Vec<_>>(), [&key]);
    assert!(failed[&key].contains("access"), "{failed:?}");
    assert_eq!(plane.status(HOST), 402);
    let pod = controller.planes().planes.values().next().unwrap().peer.pod.clone();
    assert_eq!(controller.metric(&format!("moongate_push_failed_keys{{namespace=\"moongate\",pod=\"{pod}\"}}")), 1);
    let counter = controller.commit(all(scripted(HOST, "ngx.exit(403)")));
    controller
        .wait_for("the repair", |p| p.having(counter) == (1, 1) && p.planes.values().all(|p| p.failed.is_empty()));
    assert_eq!(plane.status(HOST), 403);
}

#[test]
fn a_failing_key_is_sent_and_reported_again_after_a_reconnect() {
    let (first, second) = (Controller::start(), Controller::start());
    for controller in [&first, &second] {
        controller.commit(all(scripted(HOST, "ngx.exit(402)")));
    }
    first.publisher.lead(1);
    let plane = DataPlane::start(&[&first, &second]);
    plane.serves(HOST, 402);
    for controller in [&first, &second] {
        controller.commit(all(scripted(HOST, "ngx.exit((")));
    }
    first.wait_for("the report", |p| p.planes.values().any(|plane| !plane.failed.is_empty()));
    drop(first);
    second.publisher.lead(2);
    second.wait_for("the report", |p| p.planes.values().any(|plane| !plane.failed.is_empty()));
    assert_eq!(plane.status(HOST), 402);
}

#[test]
fn a_failing_key_that_is_gone_after_a_reconnect_is_forgotten() {
    let (first, second) = (Controller::start(), Controller::start());
    // It never had a good value.
    first.commit(all(scripted(HOST, "ngx.exit((")));
    second.commit(all(vec![refuse("other.example")]));
    first.publisher.lead(1);
    let plane = DataPlane::start(&[&first, &second]);
    first.wait_for("the report", |p| p.planes.values().any(|plane| !plane.failed.is_empty()));
    drop(first);
    second.publisher.lead(2);
    plane.serves("other.example", 503);
    plane.serves(HOST, 404);
    let has_forgotten =
        |p: &controller::publish::Planes| p.planes.values().any(|p| p.is_complete && p.failed.is_empty());
    second.wait_for("no report", has_forgotten);
}

#[test]
fn a_scripts_failure_is_told_with_its_place_and_forgotten_with_the_script() {
    let controller = Controller::start();
    controller.publisher.lead(1);
    controller.commit(all(scripted(HOST, "local t\nreturn t.x")));
    let plane = DataPlane::start(&[&controller]);
    plane.serves(HOST, 500);
    let failure = |p: &controller::publish::Planes| p.planes.values().next()?.lua.get(&plugin()).cloned();
    controller.wait_for("the failure", |p| failure(p).is_some());
    let told = failure(&controller.planes()).unwrap();
    assert!(told.message.contains("access:2:"), "{told:?}");
    assert!(told.at > jiff::Timestamp::UNIX_EPOCH);
    controller.commit(all(scripted(HOST, "ngx.exit(402)")));
    plane.serves(HOST, 402);
    controller.wait_for("no failure", |p| failure(p).is_none());
}

#[test]
fn code_that_waits_for_long_requests_is_reported_while_it_does() {
    let controller = Controller::start();
    controller.publisher.lead(1);
    let counter = controller.commit(all(scripted(HOST, "ngx.exit(402)")));
    let plane = DataPlane::start(&[&controller]);
    plane.serves(HOST, 402);
    let failed =
        |p: &controller::publish::Planes| p.planes.values().next()?.failed.get(&Key::Plugin(plugin())).cloned();
    let waits = &plane.state().shared.waits;
    // What a worker says when four replaced VMs of the namespace are in use.
    let scope = dataplane::table::Scope::Namespace("shop".into());
    waits.set(0, &scope, vec![plugin()]);
    controller.wait_for("the report", |p| failed(p).is_some_and(|why| why.contains("waits for long requests")));
    waits.set(0, &scope, Vec::new());
    controller.wait_for("no report", |p| p.having(counter) == (1, 1) && failed(p).is_none());
}
