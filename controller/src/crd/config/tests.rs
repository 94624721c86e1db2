use std::collections::BTreeMap;

use routing::ObjectName;
use routing::value::{LuaLimits, RoutePolicyOverrides, Settings, TlsVersion};
use serde_json::{Value, json};

use super::MoongateConfigSpec;
use crate::crd::FieldProblem;

fn spec(json: Value) -> MoongateConfigSpec {
    serde_json::from_value(json).unwrap()
}

fn texts(problems: &[FieldProblem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_field_changes_its_setting_and_no_other() {
    let check = |json: Value, change: fn(&mut Settings)| {
        let mut expected = Settings::default();
        change(&mut expected);
        assert_ne!(expected, Settings::default(), "{json}: the case shows nothing");
        assert_eq!(spec(json.clone()).settings(), (expected, Vec::new()), "{json}");
    };
    let http = |json: Value| json!({"http": json});
    check(http(json!({"clientHeaderMaxSize": "16Ki"})), |s| s.http.request_head_bytes_max = 16 << 10);
    check(http(json!({"clientHeaderMaxCount": 50})), |s| s.http.request_headers_max = 50);
    check(http(json!({"upstreamHeaderMaxSize": "8Ki"})), |s| s.http.response_head_bytes_max = 8 << 10);
    check(http(json!({"clientHeaderTimeout": "10s"})), |s| s.http.client_header_timeout_ms = 10_000);
    check(http(json!({"clientBodyTimeout": "11s"})), |s| s.http.client_body_timeout_ms = 11_000);
    check(http(json!({"sendTimeout": "12s"})), |s| s.http.send_timeout_ms = 12_000);
    check(http(json!({"keepaliveTimeout": "13s"})), |s| s.http.keepalive_timeout_ms = 13_000);
    check(http(json!({"keepaliveRequests": 7})), |s| s.http.keepalive_requests = 7);
    check(http(json!({"http2MaxConcurrentStreams": 8})), |s| s.http.http2_streams_max = 8);
    check(http(json!({"underscoresInHeaders": true})), |s| s.http.underscores_in_headers = true);
    check(http(json!({"mergeSlashes": false})), |s| s.http.merge_slashes = false);
    check(http(json!({"useForwardedHeaders": true})), |s| s.http.use_forwarded_headers = true);
    check(http(json!({"proxyRealIpCidr": ["10.0.0.0/8"]})), |s| {
        s.http.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    });
    check(http(json!({"upstreamKeepaliveConnections": 0})), |s| s.http.upstream_keepalive_connections = 0);
    check(http(json!({"upstreamKeepaliveTimeout": "1m30s"})), |s| s.http.upstream_keepalive_timeout_ms = 90_000);
    check(http(json!({"upstreamKeepaliveRequests": 9})), |s| s.http.upstream_keepalive_requests = 9);
    check(http(json!({"serverHeader": ""})), |s| s.http.server_header = String::new());
    check(http(json!({"accessLog": false})), |s| s.http.access_log = false);
    check(http(json!({"clientMaxBodySize": "8Mi"})), |s| s.http.route.client_max_body_bytes = 8 << 20);
    check(http(json!({"clientMaxBodySize": 0})), |s| s.http.route.client_max_body_bytes = 0);
    check(http(json!({"sslRedirect": false})), |s| s.http.route.ssl_redirect = false);
    check(http(json!({"forceSslRedirect": true})), |s| s.http.route.force_ssl_redirect = true);
    check(http(json!({"proxyConnectTimeout": "250ms"})), |s| s.http.route.connect_timeout_ms = 250);
    check(http(json!({"proxyReadTimeout": "1h"})), |s| s.http.route.read_timeout_ms = 3_600_000);
    check(http(json!({"proxySendTimeout": "2s"})), |s| s.http.route.send_timeout_ms = 2_000);
    check(http(json!({"proxyNextUpstreamTries": 1})), |s| s.http.route.tries = 1);
    check(http(json!({"proxyNextUpstreamTries": 0})), |s| s.http.route.tries = 100);
    check(http(json!({"proxyRequestBuffering": true})), |s| s.http.route.request_buffering = true);
    check(json!({"tls": {"minVersion": "TLSv1.3"}}), |s| s.tls.min_version = TlsVersion::Tls13);
    check(json!({"tls": {"redirectPort": 8443}}), |s| s.tls.redirect_port = Some(8443));
    check(json!({"tls": {"defaultCertificate": {"namespace": "a", "name": "b"}}}), |s| {
        s.default_certificate = Some(ObjectName::new("a", "b"));
    });
    let lua = |json: Value| json!({"lua": json});
    check(lua(json!({"maxPendingTimers": 1})), |s| s.lua.max_pending_timers = 1);
    check(lua(json!({"maxRunningTimers": 2})), |s| s.lua.max_running_timers = 2);
    check(lua(json!({"regexCacheMaxEntries": 3})), |s| s.lua.regex_cache_max_entries = 3);
    check(lua(json!({"regexMatchLimit": 0})), |s| s.lua.regex_match_limit = 0);
    check(lua(json!({"checkClientAbort": true})), |s| s.lua.check_client_abort = true);
    check(lua(json!({"transformUnderscoresInResponseHeaders": false})), |s| {
        s.lua.transform_underscores_in_response_headers = false;
    });
    check(lua(json!({"maxCpuPerResume": "50ms"})), |s| s.lua.cpu_per_resume_max_ms = 50);
    check(lua(json!({"memoryBudget": "1Gi"})), |s| s.lua.memory_budget_bytes = Some(1 << 30));
    let limits = json!({
        "memory": "64Mi", "cpuPerResume": "1ms", "cpuPerRequest": "2ms", "sharedDicts": "1Mi", "workerShare": 50,
    });
    check(lua(json!({"operatorLimits": limits})), |s| {
        s.lua.operator = LuaLimits {
            memory_bytes: 64 << 20,
            cpu_per_resume_ms: 1,
            cpu_per_request_ms: 2,
            shared_dict_bytes: 1 << 20,
            worker_share_percent: 50,
        };
    });
    assert_eq!(spec(json!({})).settings(), (Settings::default(), Vec::new()));
    assert_eq!(spec(json!({"tls": {"redirectPort": 443}})).settings().0, Settings::default());
}

/// A value that the definition's schema would refuse, or that only the conversion can judge, is a problem and changes
/// nothing.
#[test]
fn fields_that_cannot_be_used_keep_their_defaults() {
    let check = |json: Value, expected: &str| {
        let (settings, problems) = spec(json.clone()).settings();
        assert_eq!(settings, Settings::default(), "{json}");
        let found = texts(&problems);
        assert!(found.len() == 1 && found[0].contains(expected), "{json}: {found:?}");
    };
    let http = |json: Value| json!({"http": json});
    check(http(json!({"clientHeaderMaxSize": "1"})), "spec.http.clientHeaderMaxSize: is not between 1Ki and 16Mi");
    check(http(json!({"upstreamHeaderMaxSize": "1Gi"})), "spec.http.upstreamHeaderMaxSize: is not between");
    check(http(json!({"clientHeaderMaxCount": 0})), "spec.http.clientHeaderMaxCount: 0 is not between 1 and 1000");
    check(http(json!({"proxyReadTimeout": "0s"})), "spec.http.proxyReadTimeout: is zero");
    check(http(json!({"keepaliveTimeout": "99999h"})), "spec.http.keepaliveTimeout: is longer than a year");
    check(
        http(json!({"proxyRealIpCidr": ["10.0.0.0/33"]})),
        "spec.http.proxyRealIpCidr[0]: \"10.0.0.0/33\" is neither",
    );
    check(http(json!({"serverHeader": "a\nb"})), "spec.http.serverHeader: has a character");
    check(http(json!({"proxyNextUpstreamTries": 101})), "spec.http.proxyNextUpstreamTries: is not between");
    let operator = |json: Value| json!({"lua": {"operatorLimits": json}});
    check(json!({"lua": {"memoryBudget": "1Mi"}}), "spec.lua.memoryBudget: is too small");
    check(operator(json!({"memory": "1Mi"})), "spec.lua.operatorLimits.memory: is too small");
    check(operator(json!({"workerShare": 0})), "spec.lua.operatorLimits.workerShare: 0 is not between 1 and 100");
}

#[test]
fn a_class_sets_per_route_fields_only() {
    let (policy, problems) = spec(json!({
        "http": {"proxyReadTimeout": "5s", "sslRedirect": false, "keepaliveTimeout": "1s"},
        "lua": {"checkClientAbort": true},
        "hostOwnership": "Namespace",
    }))
    .class_policy();
    let expected =
        RoutePolicyOverrides { read_timeout_ms: Some(5_000), ssl_redirect: Some(false), ..Default::default() };
    assert_eq!(policy, expected);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["spec.http.keepaliveTimeout", "spec.lua", "spec.hostOwnership"]);
    assert_eq!(spec(json!({})).class_policy(), (RoutePolicyOverrides::default(), Vec::new()));
}

#[test]
fn namespaces_get_the_first_entry_that_selects_them() {
    let config = spec(json!({"lua": {
        "namespaceSelector": {"matchExpressions": [{"key": "lua", "operator": "NotIn", "values": ["no"]}]},
        "namespaceLimits": {"memory": "16Mi"},
        "network": {"allow": ["10.0.0.0/8"]},
        "namespaces": [
            {"selector": {"matchLabels": {"tier": "gold"}}, "limits": {"cpuPerResume": "40ms"}, "network": {"allow": ["::1", "x"]}},
            {"selector": {}, "limits": {"memory": "8Mi"}},
        ],
    }}));
    let check = |labels: &[(&str, &str)], plugins: bool, limits: LuaLimits, allowed: &[&str], wrong: &[&str]| {
        let labels: BTreeMap<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (rights, problems) = config.namespace(&labels);
        let ranges: Vec<String> = rights.allowed.iter().map(|range| (*range).into()).collect();
        assert_eq!((rights.plugins, rights.limits), (plugins, limits), "{labels:?}");
        assert_eq!(
            (ranges, problems.len()),
            (allowed.iter().map(|r| (*r).to_owned()).collect(), wrong.len()),
            "{labels:?}"
        );
        assert!(texts(&problems).iter().zip(wrong).all(|(text, wrong)| text.contains(wrong)), "{problems:?}");
    };
    let limits =
        |memory_bytes, cpu_per_resume_ms| LuaLimits { memory_bytes, cpu_per_resume_ms, ..LuaLimits::default() };
    check(&[], true, limits(8 << 20, 20), &["10.0.0.0/8"], &[]);
    let wrong = ["spec.lua.namespaces[0].network.allow[1]"];
    check(&[("tier", "gold")], true, limits(16 << 20, 40), &["10.0.0.0/8", "::1/128"], &wrong);
    check(&[("lua", "no")], false, limits(8 << 20, 20), &["10.0.0.0/8"], &[]);
    let rights = spec(json!({})).namespace(&BTreeMap::new()).0;
    assert_eq!((rights.plugins, rights.limits, rights.allowed), (true, LuaLimits::default(), Vec::new()));
}
