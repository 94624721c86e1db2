//! Connections to endpoints: which are kept, and what is tried again.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::sync::mpsc;

use e2e::{Client, Moongate, Upstream};

const HOST: &str = "shop.example.com";

#[test]
fn headers_of_the_upstream_s_hop_end_there() {
    let upstream = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: X-Hop, X-Other\r\nX-Hop: gone\r\n\
                 X-Other: gone\r\nX-Kept: kept\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], "", &[]);
    let response = moongate.get(HOST, "/");
    assert_eq!((response.header("x-hop"), response.header("x-other")), (String::new(), String::new()), "{response:?}");
    assert_eq!(response.header("x-kept"), "kept");
}

/// Round robin: in each worker every endpoint is asked once before one is asked again, from a random one on.
#[test]
fn endpoints_take_turns() {
    const ENDPOINTS: usize = 5;
    let upstreams: [Upstream; ENDPOINTS] = std::array::from_fn(|n| Upstream::answering(["0", "1", "2", "3", "4"][n]));
    let ports = upstreams.each_ref().map(|upstream| upstream.port);
    let first = |_| {
        let (_manifests, moongate) = Moongate::proxy(HOST, &ports, "", &["--workers", "1"]);
        let asked: Vec<String> = (0..4 * ENDPOINTS).map(|_| moongate.get(HOST, "/").text()).collect();
        let distinct = asked[..ENDPOINTS].iter().collect::<HashSet<_>>();
        assert_eq!(distinct.len(), ENDPOINTS, "{asked:?}");
        assert!(asked.chunks(ENDPOINTS).all(|round| round == &asked[..ENDPOINTS]), "{asked:?}");
        asked[0].clone()
    };
    // That all of so many begin with the same one has a chance of one in 78,125.
    let firsts: Vec<String> = (0..8).map(first).collect();
    assert!(firsts.iter().any(|first| *first != firsts[0]), "{firsts:?}");
}

#[test]
fn a_try_that_sent_nothing_is_followed_by_another() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = Moongate::proxy(HOST, &[e2e::upstream::free_port(), upstream.port], "", &[]);
    for _ in 0..20 {
        assert_eq!(moongate.get(HOST, "/").status, 200);
    }
    assert!(moongate.metric("moongate_upstream_retries_total").is_some_and(|n| n >= 1.0));
}

/// Once an endpoint has a request, only an idempotent one whose body is still held whole may go to another.
#[test]
fn what_an_endpoint_may_have_acted_on_is_sent_again_only_when_that_is_safe() {
    // Takes the whole request, and closes without an answer.
    let breaking = Upstream::start(|mut c| drop(c.request()));
    let upstream = Upstream::echo();
    // Each worker takes endpoints in a turn of its own.
    let (_manifests, moongate) = Moongate::proxy(HOST, &[breaking.port, upstream.port], "", &["--workers", "1"]);
    let check = |method: &str, bytes: usize, is_sent_again: bool| {
        let body = "b".repeat(bytes);
        // In turn: of two requests one comes to the endpoint that breaks.
        let answers: Vec<_> = (0..2)
            .map(|_| {
                let mut client = Client::connect(moongate.http);
                let head = format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {bytes}\r\n\r\n");
                client.send(head + &body).response(method)
            })
            .collect();
        let whole = answers.iter().filter(|r| r.status == 200 && r.text().ends_with(&body)).count();
        let broken = answers.iter().filter(|r| r.status == 502).count();
        let expected = if is_sent_again { (2, 0) } else { (1, 1) };
        assert_eq!((whole, broken), expected, "{method} of {bytes} bytes: {answers:?}");
    };
    check("GET", 0, true);
    check("PUT", 1000, true);
    check("DELETE", 0, true);
    check("POST", 0, false);
    check("POST", 1000, false);
    check("PATCH", 1000, false);
    // Beyond what is held to be sent again (64 KiB).
    check("PUT", 100_000, false);
}

#[test]
fn upstream_connections_are_kept_within_their_bounds() {
    let check = |spec: &str, expected: u64| {
        let upstream = Upstream::answering("ok");
        // Each worker has its own.
        let spec = format!("http: {{{spec}}}");
        let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], &spec, &["--workers", "1"]);
        for _ in 0..6 {
            assert_eq!(moongate.get(HOST, "/").status, 200);
        }
        assert_eq!(upstream.connections(), expected, "{spec}");
    };
    check("upstreamKeepaliveRequests: 100", 1);
    check("upstreamKeepaliveRequests: 2", 3);
    check("upstreamKeepaliveConnections: 0", 6);
}

#[test]
fn an_upstream_connection_that_idles_for_too_long_is_closed() {
    let (send, ended) = mpsc::sync_channel(1);
    let upstream = Upstream::start(move |mut c| {
        while c.request().is_some() {
            c.answer(200, "ok");
        }
        let _ = send.send(());
    });
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], "http: {upstreamKeepaliveTimeout: 1s}", &[]);
    assert_eq!(moongate.get(HOST, "/").status, 200);
    ended.recv().unwrap();
}

#[test]
fn a_kept_connection_that_the_upstream_has_closed_costs_no_request() {
    let upstream = Upstream::start(|mut c| {
        if c.request().is_some() {
            // Kept alive by its word, closed by its deed.
            c.answer(200, "ok");
        }
    });
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], "", &[]);
    let mut client = Client::connect(moongate.http);
    for n in 0..50 {
        let response = client.get(HOST, "/");
        assert_eq!(response.status, 200, "request {n}: {response:?}");
    }
}
