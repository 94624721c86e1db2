//! Controllers of another version, and broken ones, as a data plane sees them.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};

use routing::wire::{Applied, CommitFrame, FromPlane, Hello, Known, Lead, Set, ToPlane, Welcome};
use routing::{Hash, Key, KeyProblem};
use tokio::net::TcpListener;

use super::background::Background;
use super::controller::DEADLINE;
use super::peer::Peer;
use super::plane::DataPlane;
use super::values::{Pair, redirect, refuse};

/// A controller that is a script: it serves one stream after another.
fn scripted<F, Fut, T>(streams: usize, serve: F) -> (SocketAddr, Receiver<T>, Background)
where
    F: Fn(usize, Peer) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send,
    T: Send + 'static,
{
    let background = Background::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (told, results) = sync_channel(streams);
    background.handle.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        for n in 0..streams {
            let peer = Peer::accept(&listener).await;
            told.send(serve(n, peer).await).unwrap();
        }
        std::future::pending::<()>().await;
    });
    (address, results, background)
}

fn next<T>(results: &Receiver<T>) -> T {
    results.recv_timeout(DEADLINE).expect("in time")
}

/// Up to what the data plane holds.
async fn lead(peer: &mut Peer, term: u64) -> Vec<(Known<Key>, Hash)> {
    let hello = peer.plane_says().await;
    assert!(matches!(hello, Some(FromPlane::Hello(Hello { .. }))), "{hello:?}");
    peer.send(&ToPlane::Welcome(Welcome { protocol: 1, version: "9.9.9".into() })).await;
    peer.send(&ToPlane::Lead(Lead { term, stale: false })).await;
    let mut pairs = Vec::new();
    loop {
        match peer.plane_says().await {
            Some(FromPlane::Held(held)) => {
                pairs.extend(held.pairs);
                if held.last {
                    return pairs;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn set(peer: &Peer, (key, value): Pair) {
    let hash = Hash::of(&*value);
    peer.send(&ToPlane::Set(Set { key, hash, needs: Vec::new(), stand_in: false, value })).await;
}

async fn commit(peer: &mut Peer, counter: u64) -> Applied {
    let commit = CommitFrame { term: 1, counter, versions: Default::default(), whole: false };
    peer.send(&ToPlane::Commit(commit)).await;
    match peer.plane_says().await {
        Some(FromPlane::Applied(applied)) => applied,
        other => panic!("{other:?}"),
    }
}

/// The keys that a data plane says it could not have.
fn failed(applied: &Applied) -> Vec<&KeyProblem> {
    let known = applied.failed.iter().filter_map(|problem| match problem {
        Known::Yes(problem) => Some(problem),
        Known::No(_) => None,
    });
    known.collect()
}

#[test]
fn a_newer_controller_is_understood_as_far_as_it_can_be() {
    let (address, results, _background) = scripted(1, async |_, mut peer: Peer| {
        lead(&mut peer, 1).await;
        let hash = Hash::of_bytes(b"");
        peer.say(r#"{"greet":{"how":"kindly"}}"#).await;
        peer.say(&format!(r#"{{"set":{{"key":{{"Gateway":"a"}},"hash":"{hash}","value":{{"Gateway":{{}}}}}}}}"#)).await;
        peer.say(r#"{"delete":{"key":{"Gateway":"b"}}}"#).await;
        set(&peer, refuse("a.example.com")).await;
        // An action that does not exist yet, for a host that is new and for one that is known.
        let action = |host: &str| {
            let key = format!(r#"{{"Route":{{"host":"{host}","kind":"Prefix","path":"/"}}}}"#);
            let value = r#"{"Route":{"ingress":{"namespace":"n","name":"i"},"service":"","action":{"Mirror":[]},"chains":[],"policy":{}}}"#;
            format!(r#"{{"set":{{"key":{key},"hash":"{hash}","value":{value}}}}}"#)
        };
        peer.say(&action("new.example.com")).await;
        let first = commit(&mut peer, 1).await;
        set(&peer, redirect("b.example.com")).await;
        peer.say(&action("a.example.com")).await;
        let second = commit(&mut peer, 2).await;
        set(&peer, redirect("new.example.com")).await;
        set(&peer, redirect("a.example.com")).await;
        (first, second, commit(&mut peer, 3).await, peer)
    });
    let plane = DataPlane::with(vec![address.to_string()], |_| {});
    let (first, second, third, _peer) = next(&results);
    let check = |applied: &Applied, hosts: &[&str]| {
        let failed = failed(applied);
        let keys: Vec<String> = failed.iter().map(|problem| problem.key.to_string()).collect();
        let expected: Vec<String> = hosts.iter().map(|host| format!("route {host}/ (Prefix)")).collect();
        assert_eq!((keys, applied.failed_total), (expected, hosts.len() as u64));
        assert!(failed.iter().all(|p| p.message.contains("Mirror")), "{failed:?}");
    };
    check(&first, &["new.example.com"]);
    check(&second, &["a.example.com", "new.example.com"]);
    check(&third, &[]);
    plane.serves("a.example.com", 308);
    assert_eq!(plane.metric("moongate_push_skipped_frames_total"), 3);
    assert_eq!(plane.metric("moongate_push_controllers"), 1, "the stream goes on");
}

#[test]
fn what_is_not_understood_and_not_known_is_closed_and_not_absent() {
    let (address, results, _background) = scripted(1, async |_, mut peer: Peer| {
        lead(&mut peer, 1).await;
        let hash = Hash::of_bytes(b"");
        let key = r#"{"Route":{"host":"new.example.com","kind":"Prefix","path":"/"}}"#;
        peer.say(&format!(r#"{{"set":{{"key":{key},"hash":"{hash}","value":{{"Route":{{}}}}}}}}"#)).await;
        // A feature that this version does not have.
        let (key, value) = redirect("needs.example.com");
        peer.send(&ToPlane::Set(Set { key, hash, needs: vec!["telepathy".into()], stand_in: false, value })).await;
        (commit(&mut peer, 1).await, peer)
    });
    let plane = DataPlane::with(vec![address.to_string()], |_| {});
    let (applied, _peer) = next(&results);
    assert_eq!(applied.failed_total, 2);
    assert!(failed(&applied).iter().any(|p| p.message.contains("telepathy")), "{applied:?}");
    plane.serves("new.example.com", 503);
    plane.serves("needs.example.com", 503);
    plane.serves("other.example.com", 404);
}

#[test]
fn a_broken_frame_ends_the_stream_and_what_was_not_committed_is_void() {
    for broken in ["nonsense", r#"{"commit":{}}"#, r#"{"set":{"key":"Settings"}}"#] {
        let (address, results, _background) = scripted(2, move |n, mut peer: Peer| async move {
            let held = lead(&mut peer, 1).await;
            if n == 0 {
                set(&peer, refuse("a.example.com")).await;
                commit(&mut peer, 1).await;
                set(&peer, redirect("a.example.com")).await;
                peer.say(broken).await;
                assert!(peer.plane_says().await.is_none(), "{broken}");
            }
            (held, peer)
        });
        let plane = DataPlane::with(vec![address.to_string()], |_| {});
        let (first, _) = next(&results);
        assert!(first.is_empty());
        let (second, _peer) = next(&results);
        let (key, value) = refuse("a.example.com");
        assert_eq!(second, [(Known::Yes(key), Hash::of(&*value))], "it says what it holds, and gets what differs");
        plane.serves("a.example.com", 503);
        assert_eq!(plane.metric("moongate_push_stream_failures_total{what=\"broken_frame\"}"), 1);
    }
}

#[test]
fn a_frame_without_an_end_ends_the_stream() {
    let (address, results, _background) = scripted(1, async |_, mut peer: Peer| {
        lead(&mut peer, 1).await;
        let megabyte = "x".repeat(1024 * 1024);
        for _ in 0..16 {
            // Without a newline, but for the last.
            peer.raw(&megabyte).await;
        }
        peer.plane_says().await.is_none()
    });
    let plane = DataPlane::with(vec![address.to_string()], |_| {});
    assert!(next(&results), "it is ended");
    plane.wait_for("the failure", |p| p.metric("moongate_push_stream_failures_total{what=\"broken_frame\"}") == 1);
}

#[test]
fn who_commits_without_being_followed_is_left() {
    let (address, results, _background) = scripted(1, async |_, mut peer: Peer| {
        peer.plane_says().await;
        peer.send(&ToPlane::Welcome(Welcome { protocol: 1, version: String::new() })).await;
        set(&peer, redirect("a.example.com")).await;
        let commit = CommitFrame { term: 9, counter: 1, versions: Default::default(), whole: false };
        peer.send(&ToPlane::Commit(commit)).await;
        peer.plane_says().await.is_none()
    });
    let plane = DataPlane::with(vec![address.to_string()], |_| {});
    assert!(next(&results), "it is left");
    assert_eq!(plane.state().unready(), Some("no table yet".into()));
}
