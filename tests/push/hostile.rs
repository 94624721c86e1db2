//! Peers that a controller refuses or ends, and that harm nobody else.

use std::time::{Duration, SystemTime};

use controller::publish::Options;

use super::background::Background;
use super::controller::{Controller, DEADLINE, until};
use super::peer::Peer;
use super::plane::DataPlane;
use super::values::{redirect, refuse, set};

/// Runs a peer to its end.
fn run<T: Send + 'static>(peer: impl Future<Output = T> + Send + 'static) -> T {
    let background = Background::start();
    let (done, result) = std::sync::mpsc::sync_channel(1);
    background.handle.spawn(async move { done.send(peer.await) });
    result.recv_timeout(DEADLINE).expect("the peer ends in time")
}

/// A leader with a data plane that must not be harmed.
fn story(options: Options) -> (Controller, DataPlane) {
    let controller = Controller::with(options);
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    let plane = DataPlane::start(&[&controller]);
    plane.serves("a.example.com", 503);
    (controller, plane)
}

fn goes_on(controller: &Controller, plane: &DataPlane) {
    controller.commit(vec![set(redirect("a.example.com"))]);
    plane.serves("a.example.com", 308);
}

#[test]
fn tokens_are_looked_at() {
    let (controller, plane) = story(Options::default());
    let address = controller.address;
    let check = |token: &'static str, status, why: &str| {
        let refused = run(async move { Peer::connect(address, token).await.err() });
        let (is, text) = refused.expect("it is refused");
        assert!(is == status && text.contains(why), "{token}: {is} {text}");
    };
    check("bad", 401, "not a data plane's");
    check("away", 503, "the API server is away");
    assert_eq!(controller.metric("moongate_push_refused_total{reason=\"token\"}"), 1);
    goes_on(&controller, &plane);
}

#[test]
fn frames_that_are_broken_end_their_stream() {
    let (controller, plane) = story(Options::default());
    let address = controller.address;
    let check = |line: String, why: &str| {
        let reason = run(async move {
            let mut peer = Peer::connect(address, "hostile").await.ok().unwrap();
            peer.say(&line).await;
            peer.bye().await
        });
        assert!(reason.contains(why), "{why}: {reason}");
    };
    check("nonsense".into(), "a line that is no frame");
    check(r#"{"keep_alive":{}}"#.into(), "the first frame is not a hello");
    check(r#"{"hello":{"protocols":{"min":7,"max":9}}}"#.into(), "upgrade the older side");
    check("x".repeat(70 * 1024), "a frame of more than 65536 bytes");
    let hello = r#"{"hello":{"protocols":{"min":1,"max":1}}}"#;
    check(format!("{hello}\n{{\"held\":1}}"), "a line that is no frame");
    check(format!("{hello}\n{}", "x".repeat(1024 * 1024 + 1)), "a frame of more than 1048576 bytes");
    until(
        "six dropped streams",
        || {
            let dropped = |why| controller.metric(&format!("moongate_push_dropped_total{{reason=\"{why}\"}}"));
            dropped("broken_frame") == 5 && dropped("no_common_protocol") == 1
        },
        || controller.metrics(),
    );
    goes_on(&controller, &plane);
    assert_eq!(controller.planes().planes.len(), 1);
}

#[test]
fn a_token_is_renewed_or_its_stream_ends() {
    let (controller, plane) = story(Options::default());
    let address = controller.address;
    let reason = run(async move {
        let mut peer = Peer::connect(address, "pod 300").await.ok().unwrap();
        peer.join().await;
        peer.bye().await
    });
    assert_eq!(reason, "its token has expired");
    let reason = run(async move {
        let mut peer = Peer::connect(address, "pod 600000").await.ok().unwrap();
        peer.join().await;
        peer.say(r#"{"token":{"token":"other"}}"#).await;
        peer.bye().await
    });
    assert_eq!(reason, "its new token is another pod's");
    // One is renewed and refused for a moment, which changes nothing, and goes on beyond its first token.
    let first_expires = SystemTime::now() + Duration::from_millis(600);
    let background = Background::start();
    background.handle.spawn(async move {
        let mut peer = Peer::connect(address, "renewed 600").await.ok().unwrap();
        peer.join().await;
        peer.say(r#"{"token":{"token":"away"}}"#).await;
        peer.say(r#"{"token":{"token":"renewed 600000"}}"#).await;
        peer.bye().await
    });
    until("the first token's end", || SystemTime::now() > first_expires, String::new);
    controller.wait_for("the stream", |p| p.planes.contains_key("uid of renewed"));
    goes_on(&controller, &plane);
    assert!(controller.planes().planes.contains_key("uid of renewed"));
}

#[test]
fn streams_and_handshakes_are_bounded() {
    let handshake = Duration::from_millis(200);
    let (controller, plane) = story(Options { streams_max: 2, handshakes_max: 1, handshake, ..Options::default() });
    let address = controller.address;
    // It says nothing, and has the only place for handshakes until another one comes.
    let idle = std::net::TcpStream::connect(address).unwrap();
    let (second, third) = run(async move {
        let mut second = Peer::connect(address, "second").await.ok().unwrap();
        second.join().await;
        (second, Peer::connect(address, "third").await.err())
    });
    assert_eq!(third, Some((503, "too many streams".into())));
    let refused = |why: &str| controller.metric(&format!("moongate_push_refused_total{{reason=\"{why}\"}}"));
    assert_eq!((refused("displaced"), refused("timeout")), (1, 0));
    drop((idle, second));
    // Where nobody else comes, its time ends.
    let _late = std::net::TcpStream::connect(address).unwrap();
    until("the end of its time", || refused("timeout") == 1, || controller.metrics());
    goes_on(&controller, &plane);
}

#[test]
fn a_peer_that_says_nothing_is_given_up() {
    let silence = Duration::from_millis(500);
    let controller = Controller::with(Options { silence, ..Options::default() });
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    let address = controller.address;
    let reason = run(async move {
        let mut peer = Peer::connect(address, "silent").await.ok().unwrap();
        peer.join().await;
        peer.bye().await
    });
    assert_eq!(reason, "nothing came in time");
}
