//! Who the client is, and what it asked for, when a proxy in front says so: believed from the proxies that the
//! MoongateConfig names, and from nobody else.

#![forbid(unsafe_code)]

use e2e::client::resolve;
use e2e::manifests::{config, ingress, ingress_tls, plugin, secret, service};
use e2e::{Manifests, Moongate, Response, Upstream, certificates, curl, until};

const HOST: &str = "shop.example.com";
/// The proxy in front, and somebody else.
const PROXY: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";
const TRUST: &str = "http: {useForwardedHeaders: true, proxyRealIpCidr: [127.0.0.2/32, 10.0.0.0/8]}";

/// curl from an address of this machine, over plain HTTP. Without connections that are kept: each has an address.
fn ask_from(moongate: &Moongate, from: &str, headers: &[&str], more: &[&str]) -> Response {
    let (resolve, url) = (resolve(HOST, moongate.http), format!("http://{HOST}:{}/", moongate.http.port()));
    let headers = headers.iter().flat_map(|header| ["-H", header]);
    let arguments: Vec<&str> = ["--interface", from, "--resolve", &resolve].into_iter().chain(headers).collect();
    curl(&[&arguments, more, &[url.as_str()]].concat())
}

/// The headers that the upstream got, of those that tell about clients.
fn told(response: &Response) -> Vec<String> {
    let names = ["x-real-ip", "x-forwarded-", "x-original-", "x-scheme"];
    let text = response.text();
    let of_clients = text.lines().filter(|line| names.iter().any(|name| line.to_lowercase().starts_with(name)));
    let mut lines: Vec<String> = of_clients.map(str::to_owned).collect();
    lines.sort();
    lines
}

const CLAIMS: [&str; 4] = [
    "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1",
    "X-Forwarded-Proto: https, http",
    "X-Forwarded-Host: front.example.com:8443, inner.example.com",
    "X-Forwarded-Port: 8443",
];

#[test]
fn a_trusted_proxy_is_believed_and_nobody_else() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], TRUST, &[]);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let by_proxy = told(&ask_from(&moongate, PROXY, &CLAIMS, &[version]));
        // 10.1.1.1 is a proxy as well; what stands before the first address that is none may be made up.
        let expected = [
            "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1, 127.0.0.2",
            "X-Forwarded-Host: front.example.com:8443",
            "X-Forwarded-Port: 8443",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Scheme: https",
            "X-Real-IP: 203.0.113.9",
            "X-Scheme: https",
        ];
        assert_eq!(by_proxy, expected, "{version}");
        assert_eq!(told(&ask_from(&moongate, OTHER, &CLAIMS, &[version])), nothing_believed(&moongate, OTHER));
    }
    // The access log has the client, too.
    until("both clients in the access log", || {
        let clients: Vec<String> = moongate.access_log().iter().map(|l| l["client"].to_string()).collect();
        let both = clients.iter().any(|c| c == "\"203.0.113.9\"") && clients.iter().any(|c| c == "\"127.0.0.3\"");
        if both { Ok(()) } else { Err(format!("{clients:?}")) }
    });
}

/// What the upstream gets of [`CLAIMS`] from a peer that may claim nothing.
fn nothing_believed(moongate: &Moongate, from: &str) -> Vec<String> {
    let port = moongate.http.port();
    vec![
        format!("X-Forwarded-For: {from}"),
        format!("X-Forwarded-Host: {HOST}:{port}"),
        format!("X-Forwarded-Port: {port}"),
        "X-Forwarded-Proto: http".into(),
        "X-Forwarded-Scheme: http".into(),
        "X-Original-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1".into(),
        format!("X-Real-IP: {from}"),
        "X-Scheme: http".into(),
    ]
}

/// Which port a client came in by says nothing to the application: a Service, a load balancer or a mapped port stands
/// between. What the client asked for is in its Host, or follows from the scheme.
#[test]
fn the_port_is_the_one_that_the_client_asked_for() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], TRUST, &[]);
    let check = |claims: &[&str], expected: &str| {
        let told = told(&ask_from(&moongate, PROXY, claims, &[]));
        let port = told.iter().find_map(|line| line.strip_prefix("X-Forwarded-Port: "));
        assert_eq!(port, Some(expected), "{claims:?}");
    };
    check(&["Host: shop.example.com"], "80");
    check(&["Host: shop.example.com:"], "80");
    check(&["Host: shop.example.com:8443"], "8443");
    check(&["Host: shop.example.com", "X-Forwarded-Proto: https"], "443");
    check(&["Host: shop.example.com:81", "X-Forwarded-Proto: https", "X-Forwarded-Host: front.example.com"], "443");
    check(&["X-Forwarded-Host: front.example.com:444", "X-Forwarded-Proto: https"], "444");
}

#[test]
fn both_settings_are_needed() {
    let upstream = Upstream::echo();
    for spec in ["http: {useForwardedHeaders: true}", "http: {proxyRealIpCidr: [127.0.0.2/32]}"] {
        let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], spec, &[]);
        let by_proxy = told(&ask_from(&moongate, PROXY, &CLAIMS, &[]));
        assert_eq!(by_proxy, nothing_believed(&moongate, PROXY), "{spec}");
    }
}

#[test]
fn what_a_trusted_proxy_leaves_out_or_garbles_is_as_without_it() {
    let upstream = Upstream::echo();
    let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], TRUST, &[]);
    let port = moongate.http.port();
    let check = |claims: &[&str], client: &str, list: &str| {
        let got = told(&ask_from(&moongate, PROXY, claims, &[]));
        let expected = [
            format!("X-Forwarded-For: {list}"),
            format!("X-Forwarded-Host: {HOST}:{port}"),
            format!("X-Forwarded-Port: {port}"),
            "X-Forwarded-Proto: http".into(),
            "X-Forwarded-Scheme: http".into(),
            format!("X-Real-IP: {client}"),
            "X-Scheme: http".into(),
        ];
        assert_eq!(got, expected, "{claims:?}");
    };
    check(&[], PROXY, PROXY);
    let garbled = ["X-Forwarded-Proto: gopher", "X-Forwarded-Host: a b", "X-Forwarded-Port: 99999"];
    check(&garbled, PROXY, PROXY);
    check(&["X-Forwarded-For: unknown"], PROXY, "unknown, 127.0.0.2");
    check(&["X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1"], "10.0.0.1", "6.6.6.6, unknown, 10.0.0.1, 127.0.0.2");
    check(&["X-Forwarded-For: 203.0.113.9:4711"], "203.0.113.9", "203.0.113.9:4711, 127.0.0.2");
    check(&["X-Forwarded-For: 2001:db8::7"], "2001:db8::7", "2001:db8::7, 127.0.0.2");
    // All of them proxies: the one that is farthest away.
    check(&["X-Forwarded-For: 10.0.0.1, 10.0.0.2"], "10.0.0.1", "10.0.0.1, 10.0.0.2, 127.0.0.2");
}

#[test]
fn scripts_and_redirects_go_by_what_the_proxy_says() {
    let upstream = Upstream::answering("ok");
    let manifests = Manifests::new();
    let certificate = certificates::make(manifests.logs(), &[HOST]);
    let script =
        "ngx.header['X-Seen'] = table.concat({ngx.var.remote_addr, ngx.var.realip_remote_addr, ngx.var.scheme}, ' ')";
    let host = ingress_tls("shop", HOST, "backend", "tls")
        .replace("ssl-redirect: \"false\"", "ssl-redirect: \"true\"\n    moongate.dev/plugins: seen");
    let documents = [
        config(TRUST),
        service("backend", &[upstream.port]),
        secret("tls", &certificate.certificate, &certificate.key),
        plugin("seen", &[("access", script)], ""),
        host,
        ingress("other", "other.example.com", "/", "backend", &[]),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    // The proxy had TLS with the client: there is nothing to redirect.
    let secure = ask_from(&moongate, PROXY, &CLAIMS, &[]);
    assert_eq!((secure.status, secure.header("x-seen").as_str()), (200, "203.0.113.9 127.0.0.2 https"));
    let plain = ask_from(&moongate, PROXY, &["X-Forwarded-Host: front.example.com:8080"], &[]);
    assert_eq!((plain.status, plain.header("location").as_str()), (308, "https://front.example.com/"));
    let claimed = ask_from(&moongate, OTHER, &CLAIMS, &[]);
    assert_eq!((claimed.status, claimed.header("location")), (308, format!("https://{HOST}/")));
}

#[test]
fn names_with_underscores_are_dropped_unless_they_are_let_through() {
    let upstream = Upstream::echo();
    let headers = ["X_User: admin", "X-User: me", "a_b_c: 1"];
    for (spec, expected) in [
        ("", &["X-User: me"][..]),
        ("http: {underscoresInHeaders: false}", &["X-User: me"]),
        ("http: {underscoresInHeaders: true}", &["X_User: admin", "X-User: me", "a_b_c: 1"]),
    ] {
        let (_manifests, moongate) = Moongate::proxy(HOST, &[upstream.port], spec, &[]);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let text = ask_from(&moongate, "127.0.0.1", &headers, &[version]).text().to_lowercase();
            let got: Vec<&str> = text.lines().filter(|l| l.contains("user") || l.starts_with("a_b")).collect();
            let got: Vec<&str> = got.into_iter().filter(|l| !l.starts_with("user-agent")).collect();
            let expected: Vec<String> = expected.iter().map(|l| l.to_lowercase()).collect();
            assert_eq!(got, expected, "{spec} {version}");
        }
    }
}
