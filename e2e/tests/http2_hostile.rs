//! HTTP/2 from clients that mean no good: each case has its verdict, nothing malformed reaches the upstream, and
//! everybody else is served meanwhile.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use e2e::h2::{self, H2, Verdict, code, flag, kind};
use e2e::manifests::{config, ingress, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream, until};

const HOST: &str = "shop.example.com";

/// What an upstream received, connection by connection.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Vec<u8>>>>);

impl Record {
    fn add(&self, number: usize, bytes: &[u8]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all[number].extend_from_slice(bytes);
    }

    fn open(&self) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Vec::new());
        all.len() - 1
    }

    /// The bytes of every connection.
    fn texts(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

/// Records every byte and answers each whole request with 200.
fn recording() -> (Upstream, Record) {
    let record = Record::default();
    let shared = record.clone();
    let upstream = Upstream::start(move |mut c| {
        let number = shared.open();
        let mut unread = Vec::new();
        while let Some(bytes) = c.bytes() {
            shared.add(number, &bytes);
            unread.extend_from_slice(&bytes);
            while let Some(length) = whole(&unread) {
                unread.drain(..length);
                c.answer(200, "ok");
            }
        }
    });
    (upstream, record)
}

/// The length of the request at the start of `bytes`, once all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let head = text.find("\r\n\r\n")? + 4;
    if text[..head].contains("transfer-encoding: chunked") {
        let last = head - 2 + text[head - 2..].find("\r\n0\r\n")? + 3;
        return text[last..].find("\r\n\r\n").map(|at| last + at + 4);
    }
    let length = text[..head].split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let end = head + length.unwrap_or(0usize);
    (bytes.len() >= end).then_some(end)
}

fn start(port: u16, spec: &str) -> (Manifests, Moongate) {
    let documents =
        [service("backend", &[port]), ingress("shop", HOST, "/", "backend", &[]), config(&format!("http: {{{spec}}}"))];
    let manifests = Manifests::of(&documents);
    let moongate = Moongate::start(&manifests);
    (manifests, moongate)
}

/// Somebody else, over both protocols.
fn goes_on(moongate: &Moongate) {
    assert_eq!(moongate.get(HOST, "/other").status, 200, "{}", moongate.process.log());
    assert_eq!(H2::connect(moongate.http).get(1, HOST, "/other"), Verdict::Status(200));
}

/// A head that is refused, alone on a connection, and what becomes of its stream.
fn refused(moongate: &Moongate, fields: &[(&str, &str)]) -> Verdict {
    let mut client = H2::connect(moongate.http);
    client.headers(1, fields, flag::END_STREAM);
    client.verdict(1)
}

const MALFORMED: Verdict = Verdict::Reset(code::PROTOCOL);
/// Where the header block itself cannot be read, its decoder's state is lost and with it the connection.
const UNREADABLE: Verdict = Verdict::Goaway(code::PROTOCOL);
const BAD_REQUEST: Verdict = Verdict::Status(400);

/// Heads that are refused, and how.
type Cases = Vec<(&'static str, Vec<(&'static str, &'static str)>, Verdict)>;

fn malformed_heads() -> Cases {
    let usual = h2::request("GET", HOST, "/evil");
    let with = |more: &[(&'static str, &'static str)]| [usual.as_slice(), more].concat();
    let without = |name: &str| usual.iter().copied().filter(|(n, _)| *n != name).collect::<Vec<_>>();
    let instead = |name: &'static str, value: &'static str| {
        usual.iter().map(|(n, v)| if *n == name { (name, value) } else { (*n, *v) }).collect::<Vec<_>>()
    };
    vec![
        // RFC 9113 8.2.2: fields of a hop have no place here.
        ("connection", with(&[("connection", "x-evil")]), MALFORMED),
        ("keep-alive", with(&[("keep-alive", "5")]), MALFORMED),
        ("proxy-connection", with(&[("proxy-connection", "close")]), MALFORMED),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")]), MALFORMED),
        ("upgrade", with(&[("upgrade", "websocket")]), MALFORMED),
        ("te: gzip", with(&[("te", "gzip")]), MALFORMED),
        // 8.2.1: names are lower-case tokens, values have no line ends.
        ("upper case", with(&[("X-Evil", "1")]), UNREADABLE),
        ("CR LF in a value", with(&[("x-a", "1\r\nx-evil: 1")]), UNREADABLE),
        ("LF in a value", with(&[("x-a", "1\nx-evil: 1")]), UNREADABLE),
        ("NUL in a value", with(&[("x-a", "1\0evil")]), UNREADABLE),
        ("CR LF in a name", with(&[("x-a: 1\r\nx-evil", "1")]), UNREADABLE),
        ("NUL in a name", with(&[("x-a\0evil", "1")]), UNREADABLE),
        ("a space in a name", with(&[("x evil", "1")]), UNREADABLE),
        ("a colon in a name", with(&[("x-evil:", "1")]), UNREADABLE),
        ("an empty name", with(&[("", "evil")]), UNREADABLE),
        // 8.3: pseudo header fields.
        ("no :method", without(":method"), MALFORMED),
        ("no :scheme", without(":scheme"), MALFORMED),
        ("no :path", without(":path"), MALFORMED),
        ("two :path", with(&[(":path", "/evil2")]), MALFORMED),
        ("two :method", with(&[(":method", "POST")]), MALFORMED),
        ("two :authority", with(&[(":authority", HOST)]), MALFORMED),
        ("one after a field", [&[("x-evil", "1")], usual.as_slice()].concat(), MALFORMED),
        ("one of a response", with(&[(":status", "200")]), MALFORMED),
        ("one that nobody knows", with(&[(":evil", "1")]), UNREADABLE),
        ("an empty :path", instead(":path", ""), MALFORMED),
        (":path without a slash", instead(":path", "evil"), MALFORMED),
        (":path with a space", instead(":path", "/evil HTTP/1.1"), MALFORMED),
        (":path with CR LF", instead(":path", "/evil HTTP/1.1\r\nx: y"), MALFORMED),
        (":path with NUL", instead(":path", "/evil\0"), MALFORMED),
        (":path in absolute form", instead(":path", "http://evil.example.com/evil"), MALFORMED),
        (":path * of a GET", instead(":path", "*"), BAD_REQUEST),
        (":method with spaces", instead(":method", "GET /evil HTTP/1.1\r\nx: y\r\n\r\nGET"), UNREADABLE),
        ("an empty :method", instead(":method", ""), UNREADABLE),
        (":authority with user information", instead(":authority", "evil@shop.example.com"), BAD_REQUEST),
        (":authority with a space", instead(":authority", "shop.example.com evil"), MALFORMED),
        (":authority with CR LF", instead(":authority", "shop.example.com\r\nx-evil: 1"), MALFORMED),
        ("another host", with(&[("host", "evil.example.com")]), BAD_REQUEST),
        ("no host at all", without(":authority"), BAD_REQUEST),
        ("two hosts", [without(":authority").as_slice(), &[("host", HOST), ("host", HOST)]].concat(), BAD_REQUEST),
        // Bodies that cannot be as long as they say.
        ("a length and no body", with(&[("content-length", "5")]), MALFORMED),
        ("a length that is none", with(&[("content-length", "evil")]), MALFORMED),
        ("a length with a sign", with(&[("content-length", "+5")]), MALFORMED),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "5")]), MALFORMED),
        ("two lengths, the first fits", with(&[("content-length", "0"), ("content-length", "0")]), BAD_REQUEST),
    ]
}

#[test]
fn malformed_heads_get_their_verdict_and_never_reach_the_upstream() {
    let (upstream, record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    let wrong: Vec<_> = malformed_heads()
        .into_iter()
        .map(|(name, fields, verdict)| (name, refused(&moongate, &fields), verdict))
        .filter(|(_, found, verdict)| found != verdict)
        .collect();
    assert!(wrong.is_empty(), "found, wanted: {wrong:#?}");
    // A method that is not served, as over HTTP/1.1.
    let connect = [(":method", "CONNECT"), (":authority", "evil.example.com:443")];
    assert_eq!(refused(&moongate, &connect), Verdict::Status(501));
    let extended = [&[(":protocol", "websocket")], h2::request("CONNECT", HOST, "/evil").as_slice()].concat();
    assert_eq!(refused(&moongate, &extended), MALFORMED);
    let options = h2::request("OPTIONS", HOST, "*");
    assert_eq!(refused(&moongate, &options), Verdict::Status(501));
    let usual = h2::request("GET", HOST, "/evil");
    let many: Vec<_> = usual.iter().copied().chain((0..200).map(|_| ("x-evil", "1"))).collect();
    assert_eq!(refused(&moongate, &many), Verdict::Status(431), "too many fields");
    goes_on(&moongate);
    // A Host beside the same authority is no contradiction, and TE: trailers is allowed.
    let same = [h2::request("GET", HOST, "/fine").as_slice(), &[("host", HOST), ("te", "trailers")]].concat();
    assert_eq!(refused(&moongate, &same), Verdict::Status(200));
    let all = record.texts().concat();
    assert!(!all.contains("evil"), "something malformed arrived:\n{all}");
    assert!(all.contains("GET /fine HTTP/1.1\r\nHost: shop.example.com\r\n"), "{all}");
}

#[test]
fn bytes_that_http1_could_read_otherwise_arrive_as_they_are_or_not_at_all() {
    let (upstream, record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    let mut client = H2::connect(moongate.http);
    let fields = [h2::request("GET", HOST, "/a%0d%0aX:1?q=%0d%0a"), vec![("x-tab", "a\tb"), ("x-high", "\u{e9}")]];
    client.headers(1, &fields.concat(), flag::END_STREAM);
    assert_eq!(client.verdict(1), Verdict::Status(200));
    let all = record.texts().concat();
    // Escapes of the path are written in their normal form, those of the query stay.
    assert!(all.starts_with("GET /a%0D%0AX:1?q=%0d%0a HTTP/1.1\r\n"), "{all}");
    assert!(all.contains("x-tab: a\tb\r\n") && all.contains("x-high: \u{e9}\r\n"), "{all}");
    // Every line but the last has a name and a value.
    for line in all.trim_end().lines().skip(1).take_while(|l| !l.is_empty()) {
        assert!(line.contains(": "), "{line:?} in {all}");
    }
}

#[test]
fn a_body_is_as_long_as_it_says() {
    let (upstream, record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    let post = |path: &'static str, length: &'static str| {
        [h2::request("POST", HOST, path).as_slice(), &[("content-length", length)]].concat()
    };
    for (path, length, body) in [("/less", "10", "12345"), ("/more", "3", "12345"), ("/none", "0", "12345")] {
        let mut client = H2::connect(moongate.http);
        client.headers(1, &post(path, length), 0);
        client.data(1, body.as_bytes(), flag::END_STREAM);
        assert_eq!(client.verdict(1), MALFORMED, "{path}");
        assert_eq!(client.get(3, HOST, "/other"), Verdict::Status(200), "the connection goes on after {path}");
    }
    let mut client = H2::connect(moongate.http);
    client.headers(1, &post("/exact", "5"), 0);
    client.data(1, b"123", 0);
    client.data(1, b"45", flag::END_STREAM);
    assert_eq!(client.verdict(1), Verdict::Status(200));
    // What did arrive of the others never looks whole, nor does anything follow it on its connection.
    for text in record.texts().iter().filter(|t| ["/less", "/more"].iter().any(|p| t.contains(p))) {
        let at = text.find("POST").unwrap_or_default();
        assert_eq!(whole(&text.as_bytes()[at..]), None, "{text}");
    }
}

#[test]
fn frames_out_of_order_end_their_stream_or_their_connection() {
    let (upstream, record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    // DATA after END_STREAM.
    let mut client = H2::connect(moongate.http);
    client.headers(1, &h2::request("GET", HOST, "/first"), flag::END_STREAM);
    client.data(1, b"evil", flag::END_STREAM);
    let verdict = client.verdict(1);
    // Which of them depends on how far the response is.
    let allowed = [Verdict::Status(200), Verdict::Reset(code::STREAM_CLOSED), UNREADABLE];
    assert!(allowed.contains(&verdict), "{verdict:?}");
    // DATA on a stream that was never opened; HEADERS on one of the server's; a frame amid a header block.
    let on_a_new_connection = |what: &dyn Fn(&mut H2) -> bool| {
        let mut client = H2::connect(moongate.http);
        what(&mut client);
        client.verdict(1)
    };
    let protocol = Verdict::Goaway(code::PROTOCOL);
    assert_eq!(on_a_new_connection(&|c| c.data(1, b"evil", flag::END_STREAM)), protocol);
    assert_eq!(on_a_new_connection(&|c| c.headers(2, &h2::request("GET", HOST, "/evil"), 1)), protocol);
    let amid = on_a_new_connection(&|c| {
        c.frame(kind::HEADERS, flag::END_STREAM, 1, &h2::block(&h2::request("GET", HOST, "/evil")));
        c.frame(kind::PING, 0, 0, &[0; 8])
    });
    assert_eq!(amid, protocol);
    // Trailers end the stream, and pseudo header fields have no place in them.
    let trailers = |fields: &'static [(&'static str, &'static str)], flags: u8| {
        on_a_new_connection(&|c| {
            c.headers(1, &h2::request("POST", HOST, "/trailers"), 0);
            c.data(1, b"body", 0);
            c.headers(1, fields, flags)
        })
    };
    assert_eq!(trailers(&[("x-sum", "4")], flag::END_STREAM), Verdict::Status(200));
    assert_eq!(trailers(&[("x-a", "1\r\nx-evil: 1")], flag::END_STREAM), UNREADABLE);
    // Here the library is milder than RFC 9113: it drops the pseudo header field.
    assert_eq!(trailers(&[(":path", "/evil")], flag::END_STREAM), Verdict::Status(200));
    assert_eq!(trailers(&[("x-evil", "4")], 0), MALFORMED);
    goes_on(&moongate);
    let all = record.texts().concat();
    assert!(!all.contains("evil"), "{all}");
}

#[test]
fn flow_control_cannot_be_overflowed() {
    let (upstream, _record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let mut client = H2::connect(moongate.http);
    client.frame(kind::WINDOW_UPDATE, 0, 0, &most);
    assert_eq!(client.verdict(1), Verdict::Goaway(code::FLOW_CONTROL));
    let mut client = H2::connect(moongate.http);
    client.headers(1, &h2::request("POST", HOST, "/"), 0);
    client.frame(kind::WINDOW_UPDATE, 0, 1, &most);
    assert_eq!(client.verdict(1), Verdict::Reset(code::FLOW_CONTROL));
    let mut client = H2::connect(moongate.http);
    client.frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]);
    assert_eq!(client.verdict(1), Verdict::Goaway(code::PROTOCOL));
    let mut client = H2::connect(moongate.http);
    client.frame(kind::SETTINGS, 0, 0, &[&[0, 4][..], &0x8000_0000_u32.to_be_bytes()].concat());
    assert_eq!(client.verdict(1), Verdict::Goaway(code::PROTOCOL));
    goes_on(&moongate);
}

#[test]
fn too_much_of_anything_is_refused() {
    let (upstream, record) = recording();
    let (_manifests, moongate) = start(upstream.port, "clientHeaderMaxSize: 8Ki, http2MaxConcurrentStreams: 10");
    // A header list beyond the limit.
    let large = "evil".repeat(4000);
    let mut client = H2::connect(moongate.http);
    client.headers(1, &[h2::request("GET", HOST, "/").as_slice(), &[("x-large", &large)]].concat(), flag::END_STREAM);
    assert_eq!(client.verdict(1), Verdict::Status(431));
    assert_eq!(client.get(3, HOST, "/other"), Verdict::Status(200));
    // Streams beyond the limit: refused, so that the client may try again; the others go on.
    let mut client = H2::connect(moongate.http);
    for n in 0..12 {
        client.headers(1 + 2 * n, &h2::request("POST", HOST, "/open"), 0);
    }
    assert_eq!(client.verdict(21), Verdict::Reset(code::REFUSED));
    assert_eq!(client.verdict(23), Verdict::Reset(code::REFUSED));
    client.data(1, b"", flag::END_STREAM);
    assert_eq!(client.verdict(1), Verdict::Status(200));
    goes_on(&moongate);
    assert!(!record.texts().concat().contains("evil"));
}

#[test]
fn floods_end_their_connection_and_memory_stays() {
    let (upstream, record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    let calm = |verdict: Verdict| matches!(verdict, Verdict::Goaway(code::CALM) | Verdict::Closed);
    goes_on(&moongate);
    let before = moongate.process.rss();
    // Rapid reset (CVE-2023-44487), as fast as the socket takes it.
    let mut client = H2::connect(moongate.http);
    let pairs: Vec<u8> = (0..20_000u32)
        .flat_map(|n| {
            let head = h2::block(&h2::request("GET", HOST, "/reset"));
            let flags = flag::END_HEADERS | flag::END_STREAM;
            let reset = h2::frame(kind::RST_STREAM, 0, 1 + 2 * n, &code::CANCEL.to_be_bytes());
            [h2::frame(kind::HEADERS, flags, 1 + 2 * n, &head), reset].concat()
        })
        .collect();
    client.send(&pairs);
    let verdict = client.verdict(39_999);
    assert!(calm(verdict), "{verdict:?}");
    // The same, each pair for itself: a connection carries a bounded number of requests, reset or not.
    let mut client = H2::connect(moongate.http);
    let mut sent = 0;
    while sent < 20_000 {
        let head = h2::block(&h2::request("GET", HOST, "/reset"));
        let flags = flag::END_HEADERS | flag::END_STREAM;
        let reset = h2::frame(kind::RST_STREAM, 0, 1 + 2 * sent, &code::CANCEL.to_be_bytes());
        if !client.send(&[h2::frame(kind::HEADERS, flags, 1 + 2 * sent, &head), reset].concat()) {
            break;
        }
        sent += 1;
    }
    let verdict = client.verdict(39_999);
    assert!(calm(verdict), "{verdict:?} after {sent}");
    // CONTINUATION without end (CVE-2024-27316).
    let mut client = H2::connect(moongate.http);
    client.frame(kind::HEADERS, flag::END_STREAM, 1, &h2::block(&h2::request("GET", HOST, "/evil")));
    let more = h2::frame(kind::CONTINUATION, 0, 1, &h2::block(&[("x-evil", "evil".repeat(1000).as_str())]));
    for _ in 0..10_000 {
        if !client.send(&more) {
            break;
        }
    }
    let verdict = client.verdict(1);
    assert!(calm(verdict) || verdict == Verdict::Goaway(code::PROTOCOL), "{verdict:?}");
    // Empty CONTINUATION frames cost nothing but themselves.
    let mut client = H2::connect(moongate.http);
    client.frame(kind::HEADERS, flag::END_STREAM, 1, &h2::block(&h2::request("GET", HOST, "/evil")));
    let empty = h2::frame(kind::CONTINUATION, 0, 1, &[]).repeat(100_000);
    client.send(&empty);
    let verdict = client.verdict(1);
    assert!(calm(verdict) || verdict == Verdict::Goaway(code::PROTOCOL), "{verdict:?}");
    // Streams that the server itself has to reset (CVE-2025-8671).
    let mut client = H2::connect(moongate.http);
    for n in 0..5_000u32 {
        client.headers(1 + 2 * n, &[h2::request("GET", HOST, "/evil").as_slice(), &[("connection", "x")]].concat(), 1);
    }
    let verdict = client.verdict(9_999);
    assert!(calm(verdict), "{verdict:?}");
    goes_on(&moongate);
    let grown = moongate.process.rss().saturating_sub(before);
    // Buffers of the connections and what the allocator keeps; the floods sent 60 MB.
    assert!(grown < 24 << 20, "{grown} bytes more than before");
    assert!(!record.texts().concat().contains("evil"));
}

#[test]
fn a_flood_of_settings_and_pings_waits_for_its_own_answers() {
    let (upstream, _record) = recording();
    let (_manifests, moongate) = start(upstream.port, "");
    goes_on(&moongate);
    let before = moongate.process.rss();
    for kind in [kind::SETTINGS, kind::PING] {
        let payload: &[u8] = if kind == kind::PING { &[0; 8] } else { &[] };
        let many = h2::frame(kind, 0, 0, payload).repeat(1000);
        let mut client = H2::connect(moongate.http);
        client.never_wait();
        // Nobody reads the answers, so at some point nobody reads the questions either.
        while client.send(&many) {}
        goes_on(&moongate);
    }
    let grown = moongate.process.rss().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more than before");
}

#[test]
fn a_client_that_opens_no_window_is_cut_off() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            let size = if request.target() == "/small" { 10 } else { 1 << 20 };
            c.answer(200, &"x".repeat(size));
        }
    });
    let (_manifests, moongate) = start(upstream.port, "sendTimeout: 1s, keepaliveTimeout: 1s");
    // The head comes, the body does not; then the stream is reset, a small response's too.
    let mut client = H2::with_settings(moongate.http, &[(h2::INITIAL_WINDOW_SIZE, 0)]);
    for (stream, path) in [(1, "/large"), (3, "/small")] {
        client.headers(stream, &h2::request("GET", HOST, path), flag::END_STREAM);
    }
    assert_eq!(client.verdict(3), Verdict::Reset(code::CANCEL));
    // A connection with nothing to do ends, with GOAWAY.
    let mut idle = H2::connect(moongate.http);
    assert_eq!(idle.get(1, HOST, "/small"), Verdict::Status(200));
    assert_eq!(idle.verdict(3), Verdict::Closed);
    // So does one whose PINGs are all that comes.
    until("no connection", || match moongate.metric("moongate_connections_open") {
        // The scraper's own is not counted.
        Some(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_connection_that_never_says_anything_ends() {
    let (upstream, _record) = recording();
    let (_manifests, moongate) = start(upstream.port, "clientHeaderTimeout: 1s, keepaliveTimeout: 1s");
    let ends = |what: &str, sent: &[u8]| {
        let mut client = H2::silent(moongate.http);
        client.send(sent);
        assert_eq!(client.verdict(1), Verdict::Closed, "{what}");
    };
    ends("nothing", b"");
    ends("half a preface", b"PRI * HTTP/2.0");
    ends("less than that", b"PRI *");
    ends("a preface without SETTINGS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let mut client = H2::connect(moongate.http);
    client.frame(kind::HEADERS, flag::END_STREAM, 1, &h2::block(&h2::request("GET", HOST, "/")));
    assert_ne!(client.verdict(1), Verdict::Status(200), "a head without its end");
    goes_on(&moongate);
}

#[test]
fn a_connection_carries_so_many_requests() {
    let (upstream, _record) = recording();
    let (_manifests, moongate) = start(upstream.port, "keepaliveRequests: 10");
    let mut client = H2::connect(moongate.http);
    let served = (0..100).take_while(|n| client.get(1 + 2 * n, HOST, "/") == Verdict::Status(200)).count();
    assert!((10..15).contains(&served), "{served} requests were served");
    goes_on(&moongate);
}

#[test]
fn a_response_that_breaks_off_is_no_response() {
    let upstream = Upstream::start(|mut c| {
        if c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        }
    });
    let documents = [
        service("backend", &[upstream.port]),
        ingress("shop", HOST, "/", "backend", &[]),
        plugin("silent", &[("content", "ngx.exit(444)")], ""),
        ingress("silent", "silent.example.com", "/", "backend", &[("moongate.dev/plugins", "silent")]),
        plugin("early", &[("content", "ngx.say('hi') ngx.eof() ngx.sleep(0.05) ngx.shared = nil")], ""),
        ingress("early", "early.example.com", "/", "backend", &[("moongate.dev/plugins", "early")]),
    ];
    let manifests = Manifests::of(&documents);
    let moongate = Moongate::start(&manifests);
    let mut client = H2::connect(moongate.http);
    assert!(matches!(client.get(1, HOST, "/"), Verdict::Reset(_)));
    // No head was sent, so none is made up.
    client.headers(3, &h2::request("GET", "silent.example.com", "/"), flag::END_STREAM);
    let frame = loop {
        let frame = client.read().expect("the connection goes on");
        if frame.stream == 3 {
            break frame;
        }
    };
    assert_eq!(frame.kind, kind::RST_STREAM, "{frame:?}");
    // A script that goes on after its response's end did not lose its client.
    assert_eq!(client.get(5, "early.example.com", "/"), Verdict::Status(200));
    until("the log of the script that went on", || {
        let lines = moongate.access_log();
        let line = lines.iter().find(|l| l["host"] == "early.example.com");
        line.map(|l| assert_eq!(l["status"], 200, "{l}")).ok_or_else(|| format!("{lines:?}"))
    });
    assert_eq!(moongate.metric("moongate_errors_total{kind=\"ClientClosed\",source=\"downstream\"}"), None);
    let mut other = Client::connect(moongate.http);
    assert_eq!(other.get("early.example.com", "/").status, 200);
}
