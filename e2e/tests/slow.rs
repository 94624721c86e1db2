//! Peers that are slow, stop amid something, or close half: each waits for no longer than a time-out says, and nobody
//! who works is cut off.

#![forbid(unsafe_code)]

use std::process::Command;
use std::time::{Duration, Instant};

use e2e::manifests::{config, ingress, ingress_tls, secret, service};
use e2e::{Client, Manifests, Moongate, Upstream, certificates, process, until};

const HOST: &str = "shop.example.com";

fn proxy(documents: &[String], spec: &str) -> (Manifests, Moongate) {
    let all = [documents, &[ingress("shop", HOST, "/", "backend", &[]), config(spec)]].concat();
    let manifests = Manifests::of(&all);
    let moongate = Moongate::start(&manifests);
    (manifests, moongate)
}

/// Does something again and again for this long.
fn keep_on(during: Duration, mut what: impl FnMut()) {
    let started = Instant::now();
    until("the time's end", || {
        what();
        if started.elapsed() > during { Ok(()) } else { Err(String::new()) }
    });
}

#[test]
fn an_upload_may_take_longer_than_the_upstream_s_time_to_answer() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            c.answer(200, &format!("got {}", request.body.len()));
        }
    });
    let (_manifests, moongate) = proxy(&[service("backend", &[upstream.port])], "http: {proxyReadTimeout: 1s}");
    let mut client = Client::connect(moongate.http);
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let mut sent = 0;
    keep_on(Duration::from_millis(2500), || {
        client.send("1\r\nx\r\n");
        sent += 1;
    });
    client.send("0\r\n\r\n");
    assert_eq!(client.response("POST").text(), format!("got {sent}"), "{}", moongate.process.log());
}

#[test]
fn what_is_no_request_does_not_keep_a_connection() {
    let upstream = Upstream::answering("ok");
    let spec = "http: {clientHeaderTimeout: 1s, keepaliveTimeout: 1s}";
    let (_manifests, moongate) = proxy(&[service("backend", &[upstream.port])], spec);
    let ends = |first: Option<&str>, again: &[u8], address| {
        let mut client = Client::connect(address);
        if let Some(path) = first {
            assert_eq!(client.get(HOST, path).status, 200);
        }
        until("the connection's end", || {
            let closed = client.try_send(again).is_err();
            if closed { Ok(()) } else { Err(moongate.process.log()) }
        });
    };
    // Empty lines before a request, and after one.
    ends(None, b"\r\n", moongate.http);
    ends(Some("/"), b"\r\n", moongate.http);
    // A head that grows by a byte at a time.
    ends(None, b"G", moongate.http);
}

#[test]
fn a_handshake_that_stops_is_ended() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = proxy(&[service("backend", &[upstream.port])], "http: {}");
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut client = Client::connect(moongate.https);
        client.send(beginning);
        assert!(client.is_closed(), "{beginning:?}");
    }
    until("the count of failed handshakes", || match moongate.metric("moongate_tls_handshakes_failed_total") {
        Some(n) if n >= 2.0 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A TLS session with one host, whose upstream answers with this much.
fn secure(size: usize, spec: &str) -> (Manifests, Moongate, Upstream) {
    let body: &'static str = Box::leak("x".repeat(size).into_boxed_str());
    let upstream = Upstream::answering(body);
    let manifests = Manifests::new();
    let certificate = certificates::make(manifests.logs(), &[HOST]);
    let documents = [
        service("backend", &[upstream.port]),
        secret("tls", &certificate.certificate, &certificate.key),
        ingress_tls("shop", HOST, "backend", "tls"),
        config(spec),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    (manifests, moongate, upstream)
}

#[test]
fn a_slow_reader_over_tls_gets_every_byte_of_a_kept_connection() {
    const SIZE: usize = 6_000_000;
    let (_manifests, moongate, _upstream) = secure(SIZE, "http: {}");
    let mut client = process::python();
    client.arg(e2e::tidy::root().join("e2e/python/tls_slow_reader.py"));
    client.args([&moongate.https.to_string(), HOST, &SIZE.to_string(), "3"]);
    let output = process::run(&mut client);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(said.trim(), "ok", "{}", moongate.process.log());
}

#[test]
fn the_oldest_version_of_tls_follows_the_table() {
    let (manifests, moongate, _upstream) = secure(2, "tls: {minVersion: TLSv1.3}");
    let offers = |version: &str| {
        let said = certificates::s_client(moongate.https, HOST, &[version]);
        said.contains("New, TLSv1.")
    };
    assert!(offers("-tls1_3") && !offers("-tls1_2"));
    let text = std::fs::read_to_string(manifests.path().join("all.yaml")).unwrap();
    manifests.write("all.yaml", &text.replace("TLSv1.3", "TLSv1.2"));
    until("TLS 1.2", || if offers("-tls1_2") { Ok(()) } else { Err(moongate.process.log()) });
    assert!(offers("-tls1_3"));
}

#[test]
fn half_a_preface_costs_nothing() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = proxy(&[service("backend", &[upstream.port])], "http: {}");
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(moongate.http)).collect();
    for client in &mut clients {
        client.send("PRI * HT");
    }
    assert_eq!(moongate.get(HOST, "/").status, 200);
    let before = cpu_ticks(&moongate);
    keep_on(Duration::from_secs(2), || ());
    let spent = cpu_ticks(&moongate) - before;
    // Looked at each millisecond, 200 of them are 400,000 looks: two seconds of two workers and more.
    assert!(spent < 20, "{spent} ticks of 10 ms in two seconds");
    clients[0].send("TP/2.0\r\n\r\nSM\r\n\r\n");
}

/// User and system time of the process, in ticks of 10 ms.
fn cpu_ticks(moongate: &Moongate) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", moongate.process.pid())).expect("the process runs");
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    let fields: Vec<_> = after_name.split_whitespace().collect();
    fields[11..13].iter().map(|n| n.parse::<u64>().expect("a number")).sum()
}

#[test]
fn curl_uploads_slowly_over_http2_as_well() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            c.answer(200, &format!("got {}", request.body.len()));
        }
    });
    let (manifests, moongate) = proxy(&[service("backend", &[upstream.port])], "http: {proxyReadTimeout: 1s}");
    let file = manifests.logs().join("body");
    std::fs::write(&file, vec![b'x'; 300_000]).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http2-prior-knowledge", "--max-time", "20", "--limit-rate", "100k", "-H", "Expect:"]);
    curl.arg("--data-binary").arg(format!("@{}", file.display()));
    curl.args(["--resolve", &e2e::client::resolve(HOST, moongate.http)]);
    curl.arg(format!("http://{HOST}:{}/", moongate.http.port()));
    let output = process::run(&mut curl);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got 300000", "{}", String::from_utf8_lossy(&output.stderr));
}
