//! HTTP/1.1 between a client and an upstream, as raw bytes where no library would send them.

#![forbid(unsafe_code)]

use std::sync::mpsc;

use e2e::manifests::{config, ingress, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream};

const HOST: &str = "shop.example.com";

/// Moongate with one host that goes to these ports; `spec` is that of the MoongateConfig.
fn proxy(ports: &[u16], spec: &str) -> (Manifests, Moongate) {
    Moongate::proxy(HOST, ports, spec, &[])
}

#[test]
fn a_request_arrives_with_what_ingress_nginx_adds_and_nothing_a_client_claims() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    client.send(format!(
        "GET /a%2Fb?q=1 HTTP/1.1\r\nHost: {HOST}\r\nX-CaSe: Kept\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
         X-Forwarded-Proto: https\r\nunder_score: dropped\r\nConnection: keep-alive, X-Hop\r\nX-Hop: gone\r\n\
         Keep-Alive: 5\r\nTE: gzip\r\n\r\n"
    ));
    let got = client.response("GET").text();
    let has = |line: &str| assert!(got.contains(&format!("\r\n{line}\r\n")), "no {line:?} in\n{got}");
    assert!(
        got.starts_with("GET /a%2Fb?q=1 HTTP/1.1\r\n"),
        "the path that was matched is the path that is sent: {got}"
    );
    has(&format!("Host: {HOST}"));
    has("X-CaSe: Kept");
    has("X-Real-IP: 127.0.0.1");
    has("X-Forwarded-For: 127.0.0.1");
    has("X-Forwarded-Proto: http");
    has("X-Forwarded-Scheme: http");
    has("X-Scheme: http");
    has(&format!("X-Forwarded-Host: {HOST}"));
    // The port that the client asked for, by its Host: which one it came in by says nothing behind a load balancer.
    has("X-Forwarded-Port: 80");
    let id = got.lines().find_map(|l| l.strip_prefix("X-Request-ID: ")).expect("a request id");
    assert!(id.trim().len() == 32 && id.trim().bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    has("X-Original-Forwarded-For: 1.2.3.4");
    assert_eq!(got.matches("1.2.3.4").count(), 1, "believed elsewhere:\n{got}");
    for gone in ["under_score", "X-Hop", "gone", "Keep-Alive", "TE: gzip"] {
        assert!(!got.contains(gone), "{gone} arrived:\n{got}");
    }
}

#[test]
fn what_the_application_must_judge_itself_arrives_as_it_was_sent() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    // As ingress-nginx: these are no headers of ours, and docs/security.md says whom they may tell something.
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nForwarded: for=1.2.3.4\r\nTrue-Client-IP: 1.2.3.4\r\nCF-Connecting-IP: 1.2.3.4\r\n\
         Connection: keep-alive\r\nConnection: X-Hop\r\nX-Hop: gone\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
    ));
    let got = client.response("GET").text();
    let lines = [
        "Forwarded: for=1.2.3.4",
        "True-Client-IP: 1.2.3.4",
        "CF-Connecting-IP: 1.2.3.4",
        "X-Forwarded-For: 127.0.0.1",
    ];
    for line in [&lines[..], &["X-Original-Forwarded-For: 5.6.7.8, 9.9.9.9"]].concat() {
        assert!(got.contains(&format!("\r\n{line}\r\n")), "no {line:?} in\n{got}");
    }
    assert!(!got.contains("gone"), "each Connection field counts:\n{got}");
    // An escaped slash is no slash: neither for the route nor for the dots beside it.
    for (sent, forwarded) in [
        ("/a/..%2fadmin", "/a/..%2Fadmin"),
        ("/a/..%2Fadmin?x=%2f", "/a/..%2Fadmin?x=%2f"),
        ("/a/%2e%2e/admin", "/admin"),
        ("/a/%2e%2e%2fadmin", "/a/..%2Fadmin"),
        ("/a//../admin", "/admin"),
    ] {
        let got = client.get(HOST, sent).text();
        let line = got.lines().next().unwrap_or_default();
        assert_eq!(line, format!("GET {forwarded} HTTP/1.1"), "{sent}");
    }
    // What servlet containers read as dots is refused.
    assert_eq!(client.get(HOST, "/a/..;/admin").status, 400);
}

#[test]
fn a_response_keeps_its_fields_and_gets_server_and_date() {
    let upstream = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send("HTTP/1.1 203 Fine\r\nX-a: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nhi");
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let response = moongate.get(HOST, "/");
    assert_eq!((response.status, response.text().as_str()), (203, "hi"));
    assert!(response.headers.contains(&("X-a".into(), "1".into())), "{response:?}");
    assert_eq!(response.header("set-cookie"), "a=1, b=2");
    assert!(response.has("Date") && response.has("Server") && !response.has("X-Hop"), "{response:?}");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    for _ in 0..100 {
        assert_eq!(client.get(HOST, "/").text(), "ok");
    }
    assert_eq!(upstream.connections(), 1, "100 requests of one connection need one upstream connection");
}

#[test]
fn connections_end_when_asked() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let check = |request: String| {
        let mut client = Client::connect(moongate.http);
        assert_eq!(client.send(&request).response("GET").status, 200, "{request:?}");
        assert!(client.is_closed(), "still open after {request:?}");
    };
    check(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
    check(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
}

/// As nginx does: a client that ends its side is taken to be gone, so that no endpoint works for nobody.
#[test]
fn a_client_that_goes_away_ends_its_request() {
    let (send, ended) = mpsc::sync_channel(1);
    let upstream = Upstream::start(move |mut c| {
        if c.request().is_some() {
            // No answer: the next thing to come is the connection's end.
            let _ = send.send(c.request().is_none());
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).half_close();
    assert!(ended.recv().unwrap(), "another request on the connection of one that was given up");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            c.answer(200, &format!("{} {}", request.target(), String::from_utf8_lossy(&request.body)));
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    client.send(format!(
        "GET /1 HTTP/1.1\r\nHost: {HOST}\r\n\r\nPOST /2 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nabc\
         POST /3 HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
         GET /4 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
    ));
    for expected in ["/1 ", "/2 abc", "/3 de", "/4 "] {
        assert_eq!(client.response("GET").text(), expected);
    }
}

#[test]
fn responses_without_a_body_have_none() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            let head = match (request.method(), request.target()) {
                ("HEAD", _) => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                (_, "/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                (_, "/304") => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            };
            c.send(head);
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    let mut check = |method: &str, path: &str, status: u16, length: &str| {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        let response = client.response(method);
        assert_eq!((response.status, response.header("content-length").as_str()), (status, length), "{method} {path}");
    };
    check("HEAD", "/", 200, "5");
    check("GET", "/204", 204, "");
    check("GET", "/304", 304, "");
    check("GET", "/", 200, "0");
}

#[test]
fn a_body_without_a_length_ends_with_the_upstream_s_connection() {
    let upstream = Upstream::start(|mut c| {
        if c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\n\r\nto the end");
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    assert_eq!(client.get(HOST, "/").text(), "to the end");
    assert_eq!(client.get(HOST, "/").text(), "to the end", "the client's connection goes on");
    // HTTP/1.0 knows no chunks.
    let mut old = Client::connect(moongate.http);
    let response = old.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).response("GET");
    assert_eq!((response.text().as_str(), response.has("transfer-encoding")), ("to the end", false));
}

#[test]
fn trailers_pass_in_both_directions() {
    let (send, received) = mpsc::sync_channel(1);
    let upstream = Upstream::start(move |mut c| {
        while let Some(request) = c.request() {
            let _ = send.send(request.trailers);
            c.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n",
            );
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Check: 4\r\n\r\n"
    ));
    let response = client.response("POST");
    assert_eq!(response.text(), "abc");
    assert_eq!(response.trailers, [("X-Sum".to_owned(), "3".to_owned())]);
    assert_eq!(received.recv().unwrap(), "X-Check: 4\r\n");
}

#[test]
fn a_body_is_sent_once_the_client_is_told_to_continue() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = proxy(&[upstream.port], "http: {clientMaxBodySize: 1Ki}");
    let mut client = Client::connect(moongate.http);
    let head = |length: u32| {
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    assert_eq!(client.send(head(5)).response("POST").status, 100);
    let response = client.send("hello").response("POST");
    assert!(response.status == 200 && response.text().ends_with("hello"), "{response:?}");
    // A body that will not be taken is not asked for.
    assert_eq!(client.send(head(2000)).response("POST").status, 413);
}

#[test]
fn informational_responses_pass() {
    let upstream = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
            c.answer(200, "ok");
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    let first = client.get(HOST, "/");
    assert_eq!((first.status, first.header("link").as_str()), (103, "</a.css>; rel=preload"));
    assert_eq!(client.response("GET").text(), "ok");
}

#[test]
fn an_upgrade_is_a_tunnel_after_101_and_not_before() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            if request.target() == "/refused" {
                c.answer(200, "no");
                continue;
            }
            let upgrade = request.header("upgrade").to_owned();
            c.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {upgrade}\r\n\r\nhello "
            ));
            while let Some(bytes) = c.bytes() {
                c.send(bytes.to_ascii_uppercase());
            }
            return;
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let ask =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n");
    let mut client = Client::connect(moongate.http);
    let response = client.send(ask("/")).response("GET");
    assert_eq!((response.status, response.header("upgrade").as_str()), (101, "shout"));
    client.until("hello ");
    client.send("abc").until("ABC");
    client.send("GET / HTTP/1.1\r\n\r\n").until("GET / HTTP/1.1\r\n\r\n");
    client.half_close();
    assert!(client.is_closed(), "a tunnel ends with both of its sides");

    let mut client = Client::connect(moongate.http);
    assert_eq!(client.send(ask("/refused")).response("GET").text(), "no");
    assert_eq!(client.send(ask("/refused")).response("GET").text(), "no", "without a 101 it stays HTTP");
}

#[test]
fn an_answer_before_the_body_s_end_reaches_the_client() {
    let upstream = Upstream::start(|mut c| {
        if c.head().is_some() {
            c.answer(403, "not you");
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\nfirst bytes"));
    let response = client.response("POST");
    assert_eq!((response.status, response.text().as_str()), (403, "not you"));
}

#[test]
fn what_cannot_be_forwarded_is_answered_by_us() {
    let silent = Upstream::start(|mut c| while c.request().is_some() {});
    let closing = Upstream::start(|mut c| drop(c.request()));
    let garbage = Upstream::start(|mut c| {
        c.request();
        c.send("SSH-2.0-OpenSSH\r\n\r\n");
    });
    let nobody = e2e::upstream::free_port();
    let manifests = Manifests::of(&[
        config("http: {proxyReadTimeout: 1s, proxyNextUpstreamTries: 1}"),
        service("silent", &[silent.port]),
        service("closing", &[closing.port]),
        service("garbage", &[garbage.port]),
        service("refusing", &[nobody]),
        service("empty", &[]),
        ingress("silent", HOST, "/silent", "silent", &[]),
        ingress("closing", HOST, "/closing", "closing", &[]),
        ingress("garbage", HOST, "/garbage", "garbage", &[]),
        ingress("refusing", HOST, "/refusing", "refusing", &[]),
        ingress("empty", HOST, "/empty", "empty", &[]),
        ingress("missing", HOST, "/missing", "no-such-service", &[]),
    ]);
    let moongate = Moongate::start(&manifests);
    let mut client = Client::connect(moongate.http);
    let mut check = |host: &str, path: &str, status: u16| {
        let response = client.get(host, path);
        assert_eq!(response.status, status, "{host}{path} {response:?}\n{}", moongate.process.log());
        assert!(response.body.len() < 1000, "the body is short: {response:?}");
        assert!(!response.text().contains("127.0.0.1"), "the body tells nothing about the inside: {response:?}");
    };
    check(HOST, "/", 404);
    check("other.example.com", "/silent", 404);
    check(HOST, "/silent", 504);
    check(HOST, "/closing", 502);
    check(HOST, "/garbage", 502);
    check(HOST, "/refusing", 502);
    check(HOST, "/empty", 503);
    check(HOST, "/missing", 503);
}

#[test]
fn ambiguous_and_broken_requests_are_refused_and_the_connection_ends() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let check = |request: &str, status: u16| {
        let mut client = Client::connect(moongate.http);
        let response = client.send(request).response("GET");
        assert_eq!(response.status, status, "{request:?} {response:?}");
        assert!(client.is_closed(), "open after {request:?}");
    };
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
    check(&with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400);
    check(&with("Content-Length: 3\r\nContent-Length: 4\r\n"), 400);
    check(&with("Content-Length: +3\r\n"), 400);
    check(&with("X : y\r\n"), 400);
    check(&with("X: y\r\n folded\r\n"), 400);
    check(&with("X: a\0b\r\n"), 400);
    check("GET / HTTP/1.1\r\n\r\n", 400);
    check("NONSENSE\r\n\r\n", 400);
    check("GET / HTTP/3.0\r\n\r\n", 505);
    check(&with("Transfer-Encoding: gzip, chunked\r\n"), 501);
    assert_eq!(upstream.connections(), 0, "nothing of these reaches an upstream");
}

#[test]
fn heads_and_bodies_have_limits() {
    let upstream = Upstream::echo();
    let spec = "http: {clientHeaderMaxSize: 4Ki, clientHeaderMaxCount: 20, clientMaxBodySize: 1Ki}";
    let (_manifests, moongate) = proxy(&[upstream.port], spec);
    let check = |request: String, status: u16| {
        let mut client = Client::connect(moongate.http);
        // The answer may come before everything was sent.
        let _ = client.try_send(request.as_bytes());
        let response = client.response("GET");
        assert_eq!(response.status, status, "{} bytes: {response:?}", request.len());
    };
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
    check(get(&format!("X: {}\r\n", "x".repeat(3000))), 200);
    check(get(&format!("X: {}\r\n", "x".repeat(5000))), 431);
    check(get(&"X: y\r\n".repeat(15)), 200);
    check(get(&"X: y\r\n".repeat(25)), 431);
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n{body}");
    check(post("Content-Length: 1024", &"b".repeat(1024)), 200);
    check(post("Content-Length: 1025", &"b".repeat(1025)), 413);
    check(post("Transfer-Encoding: chunked", &format!("401\r\n{}\r\n0\r\n\r\n", "b".repeat(1025))), 413);
}

#[test]
fn slow_clients_are_not_waited_for_without_end() {
    let upstream = Upstream::echo();
    let spec = "http: {clientHeaderTimeout: 1s, clientBodyTimeout: 1s, keepaliveTimeout: 1s}";
    let (_manifests, moongate) = proxy(&[upstream.port], spec);
    let mut head = Client::connect(moongate.http);
    head.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n"));
    let mut body = Client::connect(moongate.http);
    body.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nabc"));
    let mut idle = Client::connect(moongate.http);
    assert_eq!(idle.get(HOST, "/").status, 200);
    assert_eq!(head.response("GET").status, 408, "a head that does not end");
    assert_eq!(body.response("POST").status, 408, "a body that does not end");
    assert!(idle.is_closed(), "an idle connection is closed without a word");
}

#[test]
fn a_slow_reader_costs_no_memory() {
    const SIZE: u64 = 512 * 1024 * 1024;
    let upstream = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            let piece = vec![b'm'; 1024 * 1024];
            for _ in 0..SIZE / 1024 / 1024 {
                if !c.send(&piece) {
                    return;
                }
            }
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let before = moongate.process.rss();
    let mut readers: Vec<Client> = (0..8).map(|_| Client::connect(moongate.http)).collect();
    for reader in &mut readers {
        reader.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).until("\r\n\r\n");
    }
    // Another client is served while these eight are full.
    assert_eq!(moongate.get("other.example.com", "/").status, 404);
    let grown = moongate.process.rss().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "eight unread downloads of 512 MiB hold {grown} bytes");
}

/// A script may replace what the upstream answers; whatever it sets, the next response on the connection is the next
/// request's.
#[test]
fn what_scripts_set_never_breaks_the_framing() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            let body = if request.method() == "HEAD" { "" } else { "hello" };
            c.send(format!("HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\r\n{body}"));
        }
    });
    let check = |phase: &str, script: &str, method: &str, status: u16, body: &str| {
        let manifests = Manifests::of(&[
            service("backend", &[upstream.port]),
            ingress("plain", "plain.example.com", "/", "backend", &[]),
            plugin("script", &[(phase, script)], ""),
            ingress("shop", HOST, "/", "backend", &[("moongate.dev/plugins", "script")]),
        ]);
        let moongate = Moongate::start(&manifests);
        let mut client = Client::connect(moongate.http);
        client.send(format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        let response = client.response(method);
        assert_eq!((response.status, response.text().as_str()), (status, body), "{phase} {script}");
        let next = client.get("plain.example.com", "/");
        assert_eq!((next.status, next.text().as_str()), (200, "hello"), "after {phase} {script}");
    };
    check("headerFilter", "ngx.exit(503)", "GET", 503, "");
    check("headerFilter", "ngx.header['Content-Length'] = 2", "GET", 200, "he");
    check("headerFilter", "ngx.status = 101", "GET", 500, "hello");
    check("content", "ngx.status = 103 ngx.header['Content-Length'] = 2 ngx.print('ok')", "GET", 500, "ok");
    check("access", "ngx.req.set_method(ngx.HTTP_HEAD)", "GET", 200, "");
    check("access", "ngx.req.set_method(ngx.HTTP_GET)", "HEAD", 200, "");
}

#[test]
fn interim_responses_without_end_end_the_try() {
    let upstream = Upstream::start(|mut c| {
        if c.request().is_some() {
            while c.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") {}
        }
    });
    let (_manifests, moongate) = proxy(&[upstream.port], "");
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
    assert!(client.rest().contains("HTTP/1.1 502 Bad Gateway\r\n"));
}

#[test]
fn an_endpoint_that_began_to_answer_is_not_followed_by_another() {
    let broken = Upstream::start(|mut c| {
        if c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\nX-Half");
        }
    });
    let (_manifests, moongate) = proxy(&[broken.port, broken.port], "");
    assert_eq!(moongate.get(HOST, "/").status, 502);
    assert_eq!(moongate.metric("moongate_upstream_retries_total"), Some(0.0));
}
