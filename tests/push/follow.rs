//! Commits are served, and the controller that leads is followed.

use std::time::Duration;

use controller::publish::Options;

use super::controller::{Controller, Tokens, ca, other_ca};
use super::plane::DataPlane;
use super::values::{delete, redirect, refuse, script, set};

#[test]
fn what_is_committed_is_served() {
    let controller = Controller::start();
    let plane = DataPlane::start(&[&controller]);
    plane.wait_for("a connection", |p| p.metric("moongate_push_controllers") == 1);
    assert_eq!(plane.state().unready(), Some("no table yet".into()));
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    plane.serves("a.example.com", 503);
    plane.wait_for("readiness", |p| p.state().unready().is_none());
    controller.commit(vec![set(redirect("a.example.com")), set(refuse("b.example.com"))]);
    plane.serves("a.example.com", 308);
    plane.serves("b.example.com", 503);
    controller.commit(vec![delete(redirect("a.example.com"))]);
    plane.serves("a.example.com", 404);
    controller.wait_for("the counter", |p| p.planes.values().any(|plane| plane.applied == Some((1, 3))));
}

/// The same table, as controllers of one cluster have it.
fn fill(controller: &Controller) {
    let scripts = (0..50).map(|n| set(script(n, 2000)));
    controller.commit(scripts.chain([set(refuse("a.example.com"))]).collect());
}

#[test]
fn after_a_crash_the_next_leader_sends_what_differs_and_no_more() {
    let (first, second) = (Controller::start(), Controller::start());
    fill(&first);
    fill(&second);
    first.publisher.lead(1);
    let plane = DataPlane::start(&[&first, &second]);
    plane.serves("a.example.com", 503);
    plane.wait_for("both streams", |p| p.metric("moongate_push_controllers") == 2);
    first.wait_for("the answer", |p| p.planes.values().any(|plane| plane.is_complete));
    assert!(first.metric("moongate_push_sent_bytes_total") > 100_000);
    drop(first);
    second.publisher.lead(2);
    second.wait_for("the answer", |p| p.planes.values().any(|plane| plane.applied == Some((2, 1))));
    second.commit(vec![set(redirect("a.example.com"))]);
    plane.serves("a.example.com", 308);
    let sent = second.metric("moongate_push_sent_bytes_total");
    assert!(sent < 2000, "{sent} bytes");
}

#[test]
fn a_lower_term_is_refused_while_a_higher_leads_and_for_a_while_after() {
    // It has seen less than the data plane has: it need not wait for that here.
    let low = Controller::with(Options { catch_up: Duration::ZERO, ..Options::default() });
    let high = Controller::start();
    high.commit(vec![set(refuse("a.example.com"))]);
    low.commit(vec![set(redirect("a.example.com"))]);
    high.publisher.lead(5);
    let controllers = vec![high.address.to_string(), low.address.to_string()];
    let plane = DataPlane::with(controllers, |o| o.times.refuse_lower = Duration::from_millis(300));
    plane.serves("a.example.com", 503);
    low.publisher.lead(4);
    plane.wait_for("both streams", |p| p.metric("moongate_push_controllers") == 2);
    high.commit(vec![set(refuse("b.example.com"))]);
    plane.serves("b.example.com", 503);
    assert_eq!(plane.status("a.example.com"), 503);
    assert!(low.planes().planes.values().all(|plane| plane.applied.is_none()), "{:?}", low.planes());
    high.publisher.stand_by();
    plane.serves("a.example.com", 308);
    plane.serves("b.example.com", 404);
    assert_eq!(plane.metric("moongate_push_term"), 4, "a Lease that was deleted begins anew");
}

#[test]
fn a_release_is_followed_at_once() {
    let (first, second) = (Controller::start(), Controller::start());
    first.commit(vec![set(refuse("a.example.com"))]);
    second.commit(vec![set(redirect("a.example.com"))]);
    first.publisher.lead(1);
    let plane = DataPlane::start(&[&first, &second]);
    plane.serves("a.example.com", 503);
    // The old one does not know yet.
    second.publisher.lead(2);
    plane.serves("a.example.com", 308);
    first.commit(vec![set(refuse("late.example.com"))]);
    second.commit(vec![set(refuse("b.example.com"))]);
    plane.serves("b.example.com", 503);
    assert_eq!(plane.status("late.example.com"), 404);
    first.publisher.stand_by();
    second.publisher.stand_by();
    first.publisher.lead(3);
    plane.serves("late.example.com", 503);
}

#[test]
fn without_a_lease_who_led_last_serves_who_joins() {
    let controller = Controller::start();
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    controller.publisher.stand_by();
    let plane = DataPlane::start(&[&controller]);
    plane.serves("a.example.com", 503);
}

#[test]
fn the_ca_and_the_token_are_read_again() {
    let controller = Controller::start();
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    std::fs::copy(other_ca(), &file).unwrap();
    let plane = DataPlane::with(vec![controller.address.to_string()], |o| o.ca.clone_from(&file));
    plane.wait_for("a failure", |p| p.metric("moongate_push_stream_failures_total{what=\"tls\"}") > 0);
    std::fs::write(&plane.token, "bad").unwrap();
    std::fs::copy(ca(), &file).unwrap();
    plane.wait_for("a refusal", |p| p.metric("moongate_push_stream_failures_total{what=\"refused\"}") > 0);
    std::fs::write(&plane.token, "pod-a\n").unwrap();
    plane.serves("a.example.com", 503);
    // The stream goes on with the next token.
    let seen = |tokens: &Tokens, token: &str| tokens.seen.lock().unwrap().iter().any(|seen| seen == token);
    std::fs::write(&plane.token, "pod-a 600000\n").unwrap();
    plane.wait_for("the new token", |_| seen(&controller.tokens, "pod-a 600000"));
    controller.commit(vec![set(redirect("a.example.com"))]);
    plane.serves("a.example.com", 308);
    assert_eq!(plane.metric("moongate_push_stream_failures_total{what=\"closed\"}"), 0);
}

#[test]
fn controllers_that_are_not_there_are_tried_again() {
    let plane = DataPlane::with(vec!["name.invalid:1".into(), "127.0.0.1:1".into()], |_| {});
    plane.wait_for("a failure", |p| {
        let failed = |what| p.metric(&format!("moongate_push_stream_failures_total{{what=\"{what}\"}}")) > 0;
        failed("resolve") && failed("connect")
    });
}
