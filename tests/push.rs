//! The push between real controllers' publishers and real data planes, over loopback with TLS. Whatever waits, waits on
//! a condition with a deadline.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on must end, and clippy only knows #[test] functions"
)]
#![forbid(unsafe_code)]

#[expect(dead_code, reason = "more tests use it")]
mod push {
    pub(crate) mod background;
    pub(crate) mod controller;
    pub(crate) mod peer;
    pub(crate) mod plane;
    pub(crate) mod values;
}

use push::controller::Controller;
use push::plane::DataPlane;
use push::values::{delete, redirect, refuse, set};

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
    controller.wait_for("two", |p| p.planes.values().any(|plane| plane.applied == Some((1, 2))));
    plane.serves("a.example.com", 308);
    plane.serves("b.example.com", 503);
    controller.commit(vec![delete(redirect("a.example.com"))]);
    plane.serves("a.example.com", 404);
    controller.wait_for("the counter", |p| p.planes.values().any(|plane| plane.applied == Some((1, 3))));
}
