//! Memory does not grow with what was served, whatever that was and however it ended.
//!
//! Each kind of request is made 2,000 times, after some to warm up; `MOONGATE_MEMORY_REQUESTS=20000` makes it more.
//! Costly kinds are made less often.

#![forbid(unsafe_code)]

use std::process::Command;

use e2e::h2::{self, H2, Verdict};
use e2e::manifests::{config, ingress, ingress_tls, plugin, secret, service};
use e2e::{Client, Manifests, Moongate, Upstream, certificates, process, until};

const HOST: &str = "shop.example.com";

/// What may be more afterwards: free pages that the allocator keeps for each size of object, a Lua heap between two
/// collections, buffers that are pooled. None of that grows with the number of requests; with 2,000 of them this finds
/// 2 KB that each leaves behind, with 20,000 a header field.
const SLACK: u64 = 4 << 20;

/// Requests before memory is looked at: enough to fill what has a bound, such as the 256 TLS sessions of each listener.
const WARM_UP: usize = 300;

fn requests() -> usize {
    std::env::var("MOONGATE_MEMORY_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

/// A started Moongate whose host runs `plugin_of` phases, if any.
fn start(upstream: &Upstream, phases: &[(&str, &str)], spec: &str) -> (Manifests, Moongate) {
    let annotations: &[_] = if phases.is_empty() { &[] } else { &[("moongate.dev/plugins", "p")] };
    let manifests = Manifests::new();
    let certificate = certificates::make(manifests.logs(), &[HOST]);
    let mut documents = vec![
        config("http: {keepaliveRequests: 100000000, clientMaxBodySize: 8Mi}"),
        service("backend", &[upstream.port]),
        secret("tls", &certificate.certificate, &certificate.key),
        ingress("shop", HOST, "/", "backend", annotations),
        ingress_tls("tls", "tls.example.com", "backend", "tls"),
    ];
    documents.extend((!phases.is_empty()).then(|| plugin("p", phases, spec)));
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    (manifests, moongate)
}

/// Does `some(from, count)` to warm up, then all of it, and holds the memory to what it was in between.
fn flat(moongate: &Moongate, every: usize, mut some: impl FnMut(usize, usize)) {
    let count = requests() / every;
    let warm = (count / 4).max(WARM_UP);
    some(0, warm);
    let before = moongate.process.rss();
    some(warm, count);
    // What lingers is given the time to end.
    until("memory as before", || {
        let grown = moongate.process.rss().saturating_sub(before);
        if grown < SLACK { Ok(()) } else { Err(format!("{count} requests left {grown} bytes behind")) }
    });
}

/// The same for requests that are made one by one.
fn flat_each(moongate: &Moongate, every: usize, mut one: impl FnMut(usize)) {
    flat(moongate, every, |from, count| (from..from + count).for_each(&mut one));
}

/// GETs on one connection, each answered as expected.
fn gets(moongate: &Moongate, every: usize, status: u16) {
    let mut client = Client::connect(moongate.http);
    flat_each(moongate, every, |n| {
        let response = client.get(HOST, &format!("/{n}"));
        assert_eq!(response.status, status, "{response:?}");
    });
}

#[test]
fn plain_requests() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = start(&upstream, &[], "");
    gets(&moongate, 1, 200);
    // A connection each.
    flat_each(&moongate, 1, |_| assert_eq!(moongate.get(HOST, "/").status, 200));
}

#[test]
fn handshakes() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = start(&upstream, &[], "");
    flat(&moongate, 4, |_, count| {
        let mut python = process::python();
        python.arg(e2e::tidy::root().join("e2e/python/tls_handshakes.py"));
        // Two versions in turn, each with sessions of its own.
        python.args([&moongate.https.to_string(), "tls.example.com", &(2 * count).to_string()]);
        let output = process::run(&mut python);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(said.trim(), "ok");
    });
}

#[test]
fn http2() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = start(&upstream, &[], "");
    flat(&moongate, 1, |_, count| {
        let mut h2load = Command::new("h2load");
        h2load.args(["-n", &count.to_string(), "-c", "4", "-m", "10", "-t", "1"]);
        h2load.args(["-H", &format!(":authority: {HOST}"), &format!("http://{}/", moongate.http)]);
        let output = String::from_utf8_lossy(&process::run(&mut h2load).stdout).into_owned();
        assert!(output.contains(&format!("status codes: {count} 2xx")), "{output}");
    });
    flat_each(&moongate, 4, |n| {
        let mut client = H2::connect(moongate.http);
        assert_eq!(client.get(1, HOST, "/"), Verdict::Status(200));
        // Every other one leaves amid a request.
        if n % 2 == 0 {
            client.headers(3, &h2::request("POST", HOST, "/"), 0);
            client.data(3, &[0; 1000], 0);
        }
    });
}

#[test]
fn large_bodies() {
    const SIZE: usize = 1 << 20;
    let upstream = Upstream::start(|mut c| {
        let body = "x".repeat(SIZE);
        while c.request().is_some() {
            c.answer(200, &body);
        }
    });
    let (_manifests, moongate) = start(&upstream, &[], "");
    let mut client = Client::connect(moongate.http);
    let mut request = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
    request.resize(request.len() + SIZE, b'x');
    flat_each(&moongate, 20, |_| {
        assert_eq!(client.send(&request).response("POST").body.len(), SIZE);
    });
}

#[test]
fn chunked_bodies() {
    let upstream = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n");
        }
    });
    let (_manifests, moongate) = start(&upstream, &[], "");
    let mut client = Client::connect(moongate.http);
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    flat_each(&moongate, 1, |_| {
        client.send(&head).send("5\r\nhello\r\n").send("0\r\nX-Up: 1\r\n\r\n");
        assert_eq!(client.response("POST").text(), "abc");
    });
}

#[test]
fn requests_that_their_client_aborts() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = start(&upstream, &[], "");
    flat_each(&moongate, 2, |n| {
        let mut client = Client::connect(moongate.http);
        client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(20_000)));
        drop(client);
        // Not so many at once that their number is what memory grows by.
        if n % 20 == 0 {
            until("the end of those that were aborted", || match moongate.metric("moongate_connections_open") {
                Some(open) if open < 5.0 => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
    });
}

#[test]
fn upstreams_that_break() {
    let upstream = Upstream::start(|mut c| {
        let Some(request) = c.request() else { return };
        match request.target().bytes().last().map_or(0, |digit| digit % 3) {
            0 => drop(c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")),
            1 => drop(c.send("no HTTP at all\r\n\r\n")),
            _ => {}
        }
    });
    let (_manifests, moongate) = start(&upstream, &[], "");
    flat_each(&moongate, 4, |n| {
        let mut client = Client::connect(moongate.http);
        client.send(format!("POST /{n} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi"));
        match client.try_response("POST") {
            Ok(response) => assert_eq!(response.status, 502),
            Err(broken_off) => assert!(broken_off.contains("4 of 100"), "{broken_off}"),
        }
    });
}

#[test]
fn hosts_and_paths_without_a_route() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = start(&upstream, &[], "");
    let mut client = Client::connect(moongate.http);
    flat_each(&moongate, 1, |n| {
        assert_eq!(client.get(&format!("h{n}.example.net"), &format!("/{n}")).status, 404);
    });
}

#[test]
fn scripts_that_answer_fail_or_are_killed() {
    let upstream = Upstream::answering("ok");
    let filters = [
        ("access", "ngx.ctx.a = {ngx.var.uri}"),
        ("headerFilter", "ngx.header.x = ngx.ctx.a[1]"),
        ("log", "local a = ngx.ctx.a"),
    ];
    let with = |content: &'static str, status: u16, every: usize, spec: &str| {
        let phases = [&filters[..], &[("content", content)]].concat();
        let (_manifests, moongate) = start(&upstream, &phases, spec);
        gets(&moongate, every, status);
    };
    with("ngx.say(string.rep('x', 100), ngx.var.request_id)", 200, 1, "");
    with("ngx.sleep(0.0001) ngx.req.read_body() ngx.say(ngx.re.gsub(ngx.var.uri, '[0-9]', 'n'))", 200, 2, "");
    with("error({ngx.var.uri})", 500, 1, "");
    with("local t = {} while true do t[#t % 100] = ngx.var.uri .. 'x' end", 500, 20, "limits: {cpu: 2ms}");
    with("local t = {} while true do t[#t + 1] = string.rep('x', 100000) .. #t end", 500, 20, "limits: {cpu: 100ms}");
}

#[test]
fn dicts_whose_entries_expire_and_timers_that_run() {
    let upstream = Upstream::answering("ok");
    let dict = "local d = ngx.shared.d
        assert(d:set(ngx.var.uri, string.rep('x', 500), 0.001))
        d:incr('count', 1, 0) d:lpush('list', ngx.var.uri) d:rpop('list') ngx.say(d:get('count'))";
    let (_manifests, moongate) = start(&upstream, &[("content", dict)], "sharedDicts: {d: 1Mi}");
    gets(&moongate, 1, 200);
    let timer = "assert(ngx.timer.at(0, function(premature, uri) ngx.ctx.uri = uri end, ngx.var.uri)) ngx.say('ok')";
    let (_manifests, moongate) = start(&upstream, &[("content", timer)], "");
    gets(&moongate, 1, 200);
}

#[test]
fn tunnels() {
    let upstream = Upstream::start(|mut c| {
        if c.request().is_some() {
            c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
            while let Some(bytes) = c.bytes() {
                c.send(bytes);
            }
        }
    });
    let (_manifests, moongate) = start(&upstream, &[], "");
    flat_each(&moongate, 2, |n| {
        let mut client = Client::connect(moongate.http);
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
        client.until("\r\n\r\n");
        client.send(format!("{n};")).until(&format!("{n};"));
    });
}
