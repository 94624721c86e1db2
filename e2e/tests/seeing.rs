//! What is to be seen of a running process: health, metrics, logs.

#![forbid(unsafe_code)]

use e2e::manifests::{config, ingress, ingress_tls, plugin, secret, service};
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

/// Whoever may write an Ingress can name a Secret that is not there: nobody else may suffer from it.
#[test]
fn a_missing_certificate_leaves_it_ready() {
    let upstream = Upstream::answering("ok");
    let manifests = Manifests::of(&[service("backend", &[upstream.port]), ingress("shop", HOST, "/", "backend", &[])]);
    let moongate = Moongate::start(&manifests);
    let certificate = certificates::make(manifests.logs(), &["secure.example.com"]);
    let tls = secret("tls", &certificate.certificate, &certificate.key);
    let shown = |name: &str| {
        let said = certificates::s_client(moongate.https, "secure.example.com", &[]);
        if said.contains(name) { Ok(()) } else { Err(said) }
    };
    let is_ready = || {
        for path in ["/ready", "/serving"] {
            let response = moongate.admin(path);
            assert_eq!(response.status, 200, "{response:?}");
        }
    };
    manifests.write("secure.yaml", &ingress_tls("secure", "secure.example.com", "backend", "tls"));
    until("the host's route", || match moongate.get("secure.example.com", "/").status {
        404 => Err("404".into()),
        _ => Ok(()),
    });
    shown("Moongate Default Certificate").unwrap();
    is_ready();
    manifests.write("secret.yaml", &tls);
    until("its certificate", || shown("CN = secure.example.com").or_else(|_| shown("CN=secure.example.com")));
    is_ready();
}

#[test]
fn it_is_not_ready_before_its_first_whole_table() {
    let manifests = Manifests::new();
    let empty = manifests.logs().join("empty");
    std::fs::write(&empty, "").unwrap();
    let mut command = std::process::Command::new(e2e::moongate::binary());
    let nobody = format!("--controller=127.0.0.1:{}", e2e::upstream::free_port());
    command.args(["dataplane", &nobody, "--http=127.0.0.1:0", "--https=127.0.0.1:0", "--admin=127.0.0.1:0"]);
    command.args(["--log-format=json", "--shutdown-delay=0"]).arg("--ca").arg(&empty).arg("--token").arg(&empty);
    let moongate = Moongate::of(&mut command, &manifests);
    let response = moongate.admin("/ready");
    assert_eq!((response.status, response.text().as_str()), (503, "not ready: no table yet\n"));
    assert_eq!(moongate.admin("/live").status, 200);
    assert_eq!(moongate.get(HOST, "/").status, 503);
    assert!(moongate.stop().success());
}

/// Each way in which a script can fail is counted by plugin, phase and kind, and shown with its text until the plugin
/// is another one.
#[test]
fn failures_of_scripts_are_counted_and_shown() {
    let manifests = Manifests::new();
    let upstream = Upstream::answering("ok");
    let script = "local how = ngx.var.arg_how
        if how == 'runtime' then error('as asked') end
        if how == 'cpu' then while true do end end
        if how == 'memory' then local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e5) .. i end end";
    // Right by its grammar, with more arguments than LuaJIT's compiler has registers.
    let many = format!("print({}1)", "1, ".repeat(300));
    let documents = [
        // Builds under test are slow: memory has to end before time does.
        config("lua: {namespaceLimits: {cpuPerResume: 2s, cpuPerRequest: 4s}}"),
        service("backend", &[upstream.port]),
        plugin("wild", &[("access", script), ("log", "if ngx.var.arg_how == 'log' then error('late') end")], ""),
        plugin("many", &[("access", &many)], ""),
        ingress("shop", HOST, "/", "backend", &[("moongate.dev/plugins", "wild")]),
        ingress("many", "many.example.com", "/", "backend", &[("moongate.dev/plugins", "many")]),
    ];
    manifests.write("all.yaml", &documents.join("---\n"));
    let moongate = Moongate::start(&manifests);
    let count = |phase: &str, kind: &str| {
        let labels = format!("{{plugin=\"LuaPlugin shop/wild\",phase=\"{phase}\",kind=\"{kind}\"}}");
        moongate.metric(&format!("moongate_lua_failures_total{labels}")).unwrap_or(0.0)
    };
    for (n, kind) in (1..).zip(["runtime", "cpu", "memory"]) {
        assert_eq!(moongate.get(HOST, &format!("/?how={kind}")).status, 500, "{kind}");
        assert_eq!(count("access", kind), 1.0, "{kind}\n{}", moongate.admin("/metrics").text());
        let errors = moongate.metric("moongate_errors_total{kind=\"Script\",source=\"lua\"}");
        assert_eq!(errors, Some(f64::from(n)), "{kind}");
    }
    // A failure that ends no request is no error of a request.
    assert_eq!(moongate.get(HOST, "/?how=log").status, 200);
    until("the count of the log phase", || if count("log", "runtime") == 1.0 { Ok(()) } else { Err(String::new()) });
    assert_eq!(moongate.metric("moongate_errors_total{kind=\"Script\",source=\"lua\"}"), Some(3.0));

    assert_eq!(moongate.get("many.example.com", "/").status, 503, "it does not compile");
    assert_eq!(moongate.metric("moongate_table_failed_keys"), Some(1.0));
    let problems = moongate.admin("/problems").text();
    let shown: Vec<&str> = problems.lines().collect();
    assert_eq!(shown.len(), 2, "{problems}");
    assert!(shown[0].starts_with("plugin LuaPlugin shop/many: ") && shown[0].contains("too complex"), "{problems}");
    assert_eq!(shown[1], "last failure of LuaPlugin shop/wild: log: log:1: late");
    manifests.write("all.yaml", &documents.join("---\n").replace("'late'", "'later'").replace(&many, "return"));
    until("no problems", || match moongate.admin("/problems").text() {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    });
}
