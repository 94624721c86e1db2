//! HTTP/1 by the clients that people use: curl and wrk.

#![forbid(unsafe_code)]

use std::process::Command;

use e2e::client::resolve;
use e2e::manifests::{config, ingress, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream, curl, process, upstream};

const HOST: &str = "shop.example.com";

/// What curl tells with `--verbose`, and what it received.
fn verbose(moongate: &Moongate, arguments: &[&str]) -> (String, String) {
    let mut curl = Command::new("curl");
    curl.args(["-sSv", "--max-time", "20", "--resolve", &resolve(HOST, moongate.http)]).args(arguments);
    let output = process::run(curl.arg(format!("http://{HOST}:{}/", moongate.http.port())));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {}", text(&output.stderr));
    (text(&output.stderr), text(&output.stdout))
}

fn counting() -> Upstream {
    Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            c.answer(200, &format!("got {} {}", request.body.len(), request.header("expect")));
        }
    })
}

#[test]
fn curl_uploads_once_it_is_told_to_continue() {
    let upstream = counting();
    let (manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], "http: {clientMaxBodySize: 8Mi}", &[]);
    let upload = |bytes: usize| {
        let file = manifests.logs().join("body");
        std::fs::write(&file, vec![b'x'; bytes]).unwrap();
        // Longer than any answer may take: curl must not just have lost its patience.
        let expect = ["--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "60"];
        let file = format!("@{}", file.display());
        verbose(&moongate, &[&expect[..], &["--data-binary", &file]].concat())
    };
    let (told, body) = upload(5_000_000);
    assert_eq!(body, "got 5000000 ", "the word is for this hop alone");
    assert!(told.contains("< HTTP/1.1 100 Continue") && told.contains("< HTTP/1.1 200"), "{told}");
    // What is refused is not sent.
    let (told, _) = upload(9_000_000);
    assert!(told.contains("< HTTP/1.1 413 ") && !told.contains("100 Continue"), "{told}");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn curl_gets_trailers() {
    let upstream = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n");
        }
    });
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], "", &[]);
    let url = format!("http://{HOST}:{}/", moongate.http.port());
    let response = curl(&["--http1.1", "--resolve", &resolve(HOST, moongate.http), &url]);
    assert_eq!(response.header("trailer"), "X-Sum");
    assert_eq!(response.text(), "abcX-Sum: 3\r\n", "curl prints trailers after the body");
}

#[test]
fn curl_speaks_http_1_0() {
    let upstream = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            match request.method() {
                "POST" => drop(c.answer(200, &format!("got {}", request.body.len()))),
                // Of a length that is not known at first, which HTTP/1.0 has no chunks for.
                _ => drop(c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")),
            }
        }
    });
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], "", &[]);
    let (told, body) = verbose(&moongate, &["-0"]);
    assert!(told.contains("> GET / HTTP/1.0") && !told.to_lowercase().contains("chunked"), "{told}");
    assert_eq!(body, "abc");
    assert_eq!(verbose(&moongate, &["-0", "-d", "12345"]).1, "got 5");
    // One that asks for it is kept, when the answer's end can be told.
    let mut kept = Client::connect(moongate.http);
    for _ in 0..3 {
        let head = format!("POST / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(kept.send(head).response("POST").text(), "got 2");
    }
}

/// Connections are kept up to the limit of their requests, which is reached here many times.
#[test]
fn wrk_sees_no_error() {
    let manifests = Manifests::new();
    let (_nginx, port) = upstream::nginx(manifests.logs(), "location / { return 200 \"hello\"; }");
    let access = "ngx.ctx.n = tonumber(ngx.var.arg_n) or 1";
    let phases =
        [("access", access), ("headerFilter", "ngx.header['X-N'] = ngx.ctx.n"), ("log", "local n = ngx.ctx.n")];
    let documents = [
        config("http: {keepaliveRequests: 10}"),
        service("backend", &[port]),
        ingress("plain", "plain.example.com", "/", "backend", &[]),
        plugin("three", &phases, ""),
        ingress("lua", "lua.example.com", "/", "backend", &[("moongate.dev/plugins", "three")]),
        plugin("say", &[("content", "ngx.say('hello')")], ""),
        ingress("say", "say.example.com", "/", "backend", &[("moongate.dev/plugins", "say")]),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    for (name, ingress) in [("plain.example.com", "plain"), ("lua.example.com", "lua"), ("say.example.com", "say")] {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", "20", "--duration", "2s", "--timeout", "20s"]);
        wrk.arg("--header").arg(format!("Host: {name}")).arg(format!("http://{}/?n=7", moongate.http));
        let said = String::from_utf8_lossy(&process::run(&mut wrk).stdout).into_owned();
        let (_, requests) =
            said.split_once("requests in").map(|(before, _)| before.rsplit_once('\n').unwrap()).unwrap();
        let requests: f64 = requests.trim().parse().unwrap();
        assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{name}: {said}");
        assert!(requests > 200.0, "each connection came to its limit: {said}");
        let labels = format!("{{namespace=\"shop\",ingress=\"{ingress}\",status=\"2xx\"}}");
        let counted = moongate.metric(&format!("moongate_requests_total{labels}")).unwrap();
        // What was under way when wrk ended is none of its requests.
        assert!((requests..=requests + 20.0).contains(&counted), "{counted} counted\n{said}");
    }
}
