//! What is to be seen of a running process: health, metrics, logs.

#![forbid(unsafe_code)]

use e2e::manifests::{ingress, ingress_tls, plugin, secret, service};
use e2e::{Client, Manifests, Moongate, Upstream, certificates, tidy, until};

const HOST: &str = "shop.example.com";

#[test]
fn health_is_told() {
    let manifests = Manifests::new();
    let moongate = Moongate::start(&manifests);
    assert_eq!(moongate.admin("/live").status, 200);
    assert_eq!(moongate.admin("/ready").status, 200);
    assert_eq!(moongate.admin("/nothing").status, 404);
    assert_eq!(moongate.get(HOST, "/ready").status, 404, "the public listener does not serve it");
}

/// Names that the second column of a table in docs/observability.md lists, in the section of this title.
fn documented(section: &str) -> Vec<String> {
    let text = tidy::read("docs/observability.md").expect("it is documented");
    let from = text.find(&format!("## {section}\n")).expect("there is a section of that title");
    let rest = &text[from + 3..];
    let part = &rest[..rest.find("\n## ").unwrap_or(rest.len())];
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect()
}

#[test]
fn the_access_log_has_the_documented_fields() {
    let upstream = Upstream::answering("hello");
    let manifests = Manifests::of(&[service("backend", &[upstream.port]), ingress("shop", HOST, "/", "backend", &[])]);
    let moongate = Moongate::start(&manifests);
    let mut client = Client::connect(moongate.http);
    client.send(format!(
        "POST /a?b=c HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: me\r\nReferer: http://r/\r\nContent-Length: 3\r\n\r\nabc"
    ));
    assert_eq!(client.response("POST").status, 200);
    let line = until("the line of the access log", || {
        moongate.access_log().into_iter().next().ok_or_else(|| moongate.process.output())
    });
    let mut fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = documented("The access log");
    let mut expected: Vec<&str> = documented.iter().map(String::as_str).collect();
    fields.sort_unstable();
    expected.sort_unstable();
    assert_eq!(fields, expected, "{line}");
    let check = |field: &str, value: serde_json::Value| assert_eq!(line[field], value, "{field} of {line}");
    check("method", "POST".into());
    check("host", HOST.into());
    check("path", "/a?b=c".into());
    check("status", 200.into());
    check("client", "127.0.0.1".into());
    check("namespace", "shop".into());
    check("ingress", "shop".into());
    check("service", "backend".into());
    check("upstream", format!("127.0.0.1:{}", upstream.port).into());
    check("upstream_status", 200.into());
    check("response_bytes", 5.into());
    check("user_agent", "me".into());
    check("referer", "http://r/".into());
}

#[test]
fn the_metrics_are_the_documented_ones() {
    let upstream = Upstream::answering("hello");
    let manifests = Manifests::of(&[
        service("backend", &[upstream.port]),
        ingress("shop", HOST, "/", "backend", &[]),
        ingress("fails", HOST, "/fails", "backend", &[("moongate.dev/plugins", "fails")]),
        plugin("fails", &[("access", "error('as asked')")], ""),
    ]);
    let certificate = certificates::make(manifests.logs(), &["secure.example.com"]);
    manifests.write("secret.yaml", &secret("tls", &certificate.certificate, &certificate.key));
    manifests.write("secure.yaml", &ingress_tls("secure", "secure.example.com", "backend", "tls"));
    let moongate = Moongate::start(&manifests);
    // A family without a series is not printed.
    assert_eq!(moongate.get(HOST, "/fails").status, 500);
    for _ in 0..3 {
        assert_eq!(moongate.get(HOST, "/").status, 200);
    }
    assert_eq!(moongate.get("unknown.example.com", "/").status, 404);
    until("the count of three requests", || {
        let labels = "{namespace=\"shop\",ingress=\"shop\",status=\"2xx\"}";
        match moongate.metric(&format!("moongate_requests_total{labels}")) {
            Some(3.0) => Ok(()),
            other => Err(format!("{other:?}\n{}", moongate.admin("/metrics").text())),
        }
    });
    let expiry = "moongate_certificate_expiry_timestamp_seconds{namespace=\"shop\",secret=\"tls\"}";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let days = (moongate.metric(expiry).unwrap() - now) / 86_400.0;
    assert!((1.9..2.1).contains(&days), "the certificate is made for two days: {days}");
    let text = moongate.admin("/metrics").text();
    assert!(!text.contains("unknown.example.com"), "a request's host is no label:\n{text}");
    let mut named: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documented = documented("Metrics");
    let mut expected: Vec<&str> = documented.iter().map(String::as_str).collect();
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected);
    manifests.remove("secure.yaml");
    until("no certificate in the table", || match moongate.metric(expiry) {
        None => Ok(()),
        Some(at) => Err(at.to_string()),
    });
}

#[test]
fn scripts_log_in_openresty_s_words() {
    let manifests = Manifests::of(&[
        service("backend", &[]),
        ingress("shop", HOST, "/", "backend", &[("moongate.dev/plugins", "talk")]),
        plugin(
            "talk",
            &[("access", "ngx.log(ngx.WARN, 'seen ', 1 + 1)\nprint('printed')"), ("content", "ngx.say('hi')")],
            "",
        ),
    ]);
    let moongate = Moongate::start(&manifests);
    assert_eq!(moongate.get(HOST, "/").text(), "hi\n");
    let line = moongate.await_log("seen 2");
    assert_eq!(line["level"], "WARN", "{line}");
    assert!(line["message"].as_str().unwrap().contains("[lua] access:1: seen 2"), "{line}");
    let line = moongate.await_log("printed");
    assert!(line["message"].as_str().unwrap().contains("[lua] access:2: printed"), "{line}");
}
