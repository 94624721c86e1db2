//! The end of a process: nothing that is under way is cut.

#![forbid(unsafe_code)]

use std::sync::mpsc;

use e2e::manifests::{ingress, service};
use e2e::{Client, Manifests, Moongate, Upstream, until};

const HOST: &str = "shop.example.com";

/// An upstream that answers once it is told to.
fn patient() -> (Upstream, mpsc::SyncSender<()>, mpsc::Receiver<()>) {
    let (go, wait) = mpsc::sync_channel(16);
    let (arrived, seen) = mpsc::sync_channel(16);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut c| {
        while c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
            let _ = arrived.send(());
            let _ = wait.lock().expect("no thread panics with it").recv();
            c.send("full");
        }
    });
    (upstream, go, seen)
}

#[test]
fn a_response_under_way_is_finished_and_new_work_is_not_kept() {
    let (upstream, go, seen) = patient();
    let manifests = Manifests::of(&[service("backend", &[upstream.port]), ingress("shop", HOST, "/", "backend", &[])]);
    let mut moongate = Moongate::start_with(&manifests, &["--shutdown-delay=3", "--shutdown-grace=60"]);
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    seen.recv().unwrap();
    let mut idle = Client::connect(moongate.http);
    assert_eq!(idle.get("unknown.example.com", "/").status, 404);
    moongate.process.signal("TERM");
    until("not ready", || match moongate.admin("/ready").status {
        503 => Ok(()),
        other => Err(other.to_string()),
    });
    // The kubelet asks for this: a Pod that serves, though it ends, gets what a balancer still sends to its node.
    assert_eq!(moongate.admin("/serving").status, 200);
    // Until nobody sends any more, requests are still answered, and the connection says that it ends.
    let late = moongate.get("unknown.example.com", "/");
    assert_eq!((late.status, late.header("connection").to_lowercase().as_str()), (404, "close"), "{late:?}");
    go.send(()).unwrap();
    assert_eq!(client.response("GET").text(), "halffull");
    assert!(client.is_closed() && idle.is_closed(), "no connection stays");
    assert!(moongate.process.wait().success());
}

#[test]
fn a_tunnel_is_given_the_grace_period_and_no_more() {
    let upstream = Upstream::start(|mut c| {
        if c.request().is_some() {
            c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
            while let Some(bytes) = c.bytes() {
                c.send(bytes);
            }
        }
    });
    let manifests = Manifests::of(&[service("backend", &[upstream.port]), ingress("shop", HOST, "/", "backend", &[])]);
    let mut moongate = Moongate::start_with(&manifests, &["--shutdown-grace=2"]);
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
    client.until("\r\n\r\n");
    moongate.process.signal("TERM");
    moongate.await_log("ending");
    until("the end of serving", || match moongate.admin("/serving") {
        answer if answer.status == 503 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    client.send("still here").until("still here");
    assert!(moongate.process.wait().success());
    assert!(client.is_closed());
}

#[test]
fn a_second_signal_ends_at_once() {
    let (upstream, _go, seen) = patient();
    let manifests = Manifests::of(&[service("backend", &[upstream.port]), ingress("shop", HOST, "/", "backend", &[])]);
    let mut moongate = Moongate::start_with(&manifests, &["--shutdown-grace=3600"]);
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    seen.recv().unwrap();
    moongate.process.signal("INT");
    moongate.await_log("ending");
    moongate.process.signal("INT");
    moongate.process.wait();
}
