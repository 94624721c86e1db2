//! HTTP/2, TLS, gRPC and WebSocket, by the clients that people use.

#![forbid(unsafe_code)]

use std::process::Command;

use e2e::certificates::{self, s_client};
use e2e::client::resolve;
use e2e::manifests::{config, ingress, ingress_tls, secret, service, service_of};
use e2e::{Client, Manifests, Moongate, Upstream, curl, process, until, upstream};

const HOST: &str = "shop.example.com";

/// Moongate with one host that has TLS and goes to `backend`.
fn secure(backend: &str) -> (Manifests, Moongate, certificates::Certificate) {
    let manifests = Manifests::new();
    let certificate = certificates::make(manifests.logs(), &[HOST]);
    let documents = [
        backend.to_owned(),
        secret("shop-tls", &certificate.certificate, &certificate.key),
        ingress_tls("shop", HOST, "backend", "shop-tls"),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    (manifests, moongate, certificate)
}

/// curl against the HTTPS listener, the certificate checked.
fn curl_tls(
    moongate: &Moongate,
    certificate: &certificates::Certificate,
    arguments: &[&str],
    path: &str,
) -> e2e::Response {
    let resolve = resolve(HOST, moongate.https);
    let url = format!("https://{HOST}:{}{path}", moongate.https.port());
    let file = certificate.file.display().to_string();
    curl(&[&["--resolve", &resolve, "--cacert", &file], arguments, &[&url]].concat())
}

#[test]
fn http2_by_alpn_and_http1_without() {
    let backend = Upstream::echo();
    let (_manifests, moongate, certificate) = secure(&service("backend", &[backend.port]));
    let version = |arguments: &[&str]| {
        let head = curl_tls(&moongate, &certificate, arguments, "/");
        assert_eq!(head.status, 200, "{head:?}");
        let version = process::run(Command::new("curl").args(arguments).args([
            "-sk",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}",
            "--resolve",
            &resolve(HOST, moongate.https),
            &format!("https://{HOST}:{}/", moongate.https.port()),
        ]));
        String::from_utf8_lossy(&version.stdout).into_owned()
    };
    assert_eq!(version(&["--http2"]), "2");
    // The request may come together with the end of the handshake, or after it.
    for _ in 0..20 {
        assert_eq!(version(&["--http1.1", "--max-time", "20"]), "1.1");
    }
    let got = curl_tls(&moongate, &certificate, &["--http2"], "/x?y").text();
    assert!(got.starts_with("GET /x?y HTTP/1.1\r\n"), "{got}");
    assert!(got.contains("X-Forwarded-Proto: https\r\n"), "{got}");
    assert!(got.contains(&format!("Host: {HOST}:{}\r\n", moongate.https.port())), "{got}");
}

#[test]
fn http2_by_prior_knowledge() {
    let backend = Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            match request.method() {
                "HEAD" => drop(c.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")),
                "POST" => drop(c.answer(200, &format!("got {}", request.body.len()))),
                _ => drop(
                    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n"),
                ),
            }
        }
    });
    let manifests = Manifests::of(&[
        config("http: {clientMaxBodySize: 8Mi}"),
        service("backend", &[backend.port]),
        ingress("shop", HOST, "/", "backend", &[]),
    ]);
    let moongate = Moongate::start(&manifests);
    let resolve = resolve(HOST, moongate.http);
    let url = format!("http://{HOST}:{}/", moongate.http.port());
    let ask =
        |arguments: &[&str]| curl(&[&["--http2-prior-knowledge", "--resolve", &resolve], arguments, &[&url]].concat());
    assert_eq!(ask(&[]).text(), "abcx-sum: 3\r\n", "curl prints trailers after the body");
    assert_eq!(ask(&["--head"]).header("content-length"), "7");
    let file = manifests.logs().join("body");
    std::fs::write(&file, vec![b'x'; 5_000_000]).unwrap();
    assert_eq!(ask(&["--data-binary", &format!("@{}", file.display())]).text(), "got 5000000");
    // Not by curl: when a response ends before the request does, its 7.88 often reports the stream's reset (NO_ERROR)
    // instead of the response; with nginx too.
    std::fs::write(&file, vec![b'x'; 9_000_000]).unwrap();
    let mut nghttp = Command::new("nghttp");
    nghttp
        .args(["-v", "-H", &format!(":authority: {HOST}"), "-d"])
        .arg(&file)
        .arg(format!("http://{}/", moongate.http));
    let said = String::from_utf8_lossy(&process::run(&mut nghttp).stdout).into_owned();
    assert!(said.contains(":status: 413") && said.contains("END_STREAM"), "{said}");
    assert!(!said.contains("PROTOCOL_ERROR") && !said.contains("error_code=CANCEL"), "{said}");
    let unknown = curl(&["--http2-prior-knowledge", &format!("http://{}/", moongate.http)]);
    assert_eq!(unknown.status, 404);
}

#[test]
fn many_streams_at_once() {
    let manifests = Manifests::new();
    let (_nginx, port) = upstream::nginx(manifests.logs(), "location / { return 200 \"hello\"; }");
    let (_manifests, moongate, _certificate) = secure(&service("backend", &[port]));
    let url = format!("https://{}/", moongate.https);
    let mut h2load = Command::new("h2load");
    // nginx's answer is 200 whatever the host: the name in the URL is what the route is chosen by.
    h2load.args(["-n", "5000", "-c", "8", "-m", "50", "-t", "1", "-H", &format!(":authority: {HOST}"), &url]);
    let output = String::from_utf8_lossy(&process::run(&mut h2load).stdout).into_owned();
    assert!(output.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{output}");
    assert!(output.contains("status codes: 5000 2xx"), "{output}");
}

#[test]
fn the_certificate_is_that_of_the_name() {
    let manifests = Manifests::new();
    let one = certificates::make(manifests.logs(), &["one.example.com"]);
    let wild = certificates::make(manifests.logs(), &["*.wild.example.com"]);
    let documents = [
        service("backend", &[]),
        secret("one", &one.certificate, &one.key),
        secret("wild", &wild.certificate, &wild.key),
        ingress_tls("one", "one.example.com", "backend", "one"),
        ingress_tls("wild", "\"*.wild.example.com\"", "backend", "wild"),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    let subject = |name: &str| {
        let said = s_client(moongate.https, name, &[]);
        said.lines().find(|l| l.starts_with("subject=")).unwrap_or(&said).to_owned()
    };
    assert!(subject("one.example.com").contains("one.example.com"));
    assert!(subject("ONE.example.com").contains("one.example.com"));
    assert!(subject("a.wild.example.com").contains("*.wild.example.com"));
    let default = subject("unknown.example.com");
    assert!(!default.contains("example.com"), "{default}");
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(moongate.https, "one.example.com", &[option]);
        assert!(said.contains(&format!("New, {version}")), "{version}: {said}");
    }
    assert!(!s_client(moongate.https, "one.example.com", &["-tls1_1"]).contains("New, TLSv1.1"));

    // Another certificate under the same name, while the process runs.
    let next = certificates::make(manifests.logs(), &["one.example.com", "renewed.example.com"]);
    manifests.write(
        "all.yaml",
        &documents
            .join("---\n")
            .replace(&indent(&one.certificate), &indent(&next.certificate))
            .replace(&indent(&one.key), &indent(&next.key)),
    );
    until("the new certificate", || {
        let file = next.file.display().to_string();
        let said = s_client(moongate.https, "one.example.com", &["-CAfile", &file]);
        if said.contains("Verify return code: 0 (ok)") { Ok(()) } else { Err(said) }
    });
}

/// As the Secret has it.
fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn plain_http_is_redirected_where_there_is_tls() {
    let manifests = Manifests::new();
    let certificate = certificates::make(manifests.logs(), &[HOST]);
    let backend = Upstream::echo();
    let redirecting = ingress_tls("shop", HOST, "backend", "tls").replace("\"false\"", "\"true\"");
    let documents = [
        config("tls: {redirectPort: 8443}"),
        service("backend", &[backend.port]),
        secret("tls", &certificate.certificate, &certificate.key),
        redirecting,
        ingress("plain", "plain.example.com", "/", "backend", &[]),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    let response = moongate.get(HOST, "/a?b=c");
    assert_eq!((response.status, response.header("location").as_str()), (308, "https://shop.example.com:8443/a?b=c"));
    assert_eq!(moongate.get("plain.example.com", "/").status, 200);
}

#[test]
fn grpc_goes_through_h2c_with_its_trailers() {
    let manifests = Manifests::new();
    let (_server, port) = upstream::python(manifests.logs(), "grpc_server.py", &[]);
    let (_manifests, moongate, certificate) = secure(&service_of("backend", "kubernetes.io/h2c", &[port]));
    let call = |arguments: &[&str]| {
        let mut client = process::python();
        client.arg(e2e::tidy::root().join("e2e/python/grpc_client.py")).args(arguments);
        let output = process::run(&mut client);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(said.trim(), "ok", "{arguments:?}\n{}", moongate.process.log());
    };
    call(&[&moongate.http.to_string(), HOST]);
    call(&[&moongate.https.to_string(), HOST, &certificate.file.display().to_string()]);
}

#[test]
fn websockets_of_a_library_work() {
    let manifests = Manifests::new();
    let (_server, port) = upstream::python(manifests.logs(), "websocket_echo.py", &[]);
    let (_manifests, moongate, _certificate) = secure(&service("backend", &[port]));
    for url in [format!("ws://{HOST}:{}/", moongate.http.port()), format!("wss://{HOST}:{}/", moongate.https.port())] {
        let mut client = process::python();
        client.arg(e2e::tidy::root().join("e2e/python/websocket_client.py")).args([&url, "200"]);
        let output = process::run(&mut client);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(said.trim(), "ok", "{url}\n{}", moongate.process.log());
    }
}

#[test]
fn an_upstream_may_speak_https() {
    let manifests = Manifests::new();
    let own = certificates::make(manifests.logs(), &["inner.example.com"]);
    let (certificate, key) = (manifests.logs().join("inner.crt"), manifests.logs().join("inner.key"));
    std::fs::write(&certificate, &own.certificate).unwrap();
    std::fs::write(&key, &own.key).unwrap();
    let port = upstream::free_port();
    let server = format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
         location / {{ return 200 \"$scheme $ssl_server_name $http_host\"; }}",
        certificate.display(),
        key.display()
    );
    let (_nginx, _plain) = upstream::nginx(manifests.logs(), &server);
    let annotations = [("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS")];
    let manifests = Manifests::of(&[service("backend", &[port]), ingress("shop", HOST, "/", "backend", &annotations)]);
    let moongate = Moongate::start(&manifests);
    let mut client = Client::connect(moongate.http);
    for _ in 0..3 {
        let response = client.get(HOST, "/");
        assert_eq!(response.status, 200, "{response:?}\n{}", moongate.process.log());
        assert!(response.text().starts_with("https ") && response.text().ends_with(HOST), "{response:?}");
    }
}
