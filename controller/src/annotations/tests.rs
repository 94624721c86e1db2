use std::collections::{BTreeMap, HashSet};

use routing::key::PluginKind;
use routing::value::{RoutePolicyOverrides, UpstreamProtocol};

use super::known::{ALL, Support};
use super::{AnnotationProblem, Annotations, NGINX, PluginName, parse};
use crate::problem::Severity;

fn one(key: &str, text: &str) -> (Annotations, Vec<AnnotationProblem>) {
    parse(&BTreeMap::from([(key.to_owned(), text.to_owned())]))
}

#[test]
fn supported_annotations_are_understood() {
    let check = |name: &str, text: &str, expected: RoutePolicyOverrides| {
        let (parsed, problems) = one(&format!("{NGINX}{name}"), text);
        assert_eq!(problems, [], "{name}: {text}");
        assert_eq!(parsed, Annotations { policy: expected, ..Annotations::default() }, "{name}: {text}");
    };
    let none = RoutePolicyOverrides::default;
    let body = |bytes| RoutePolicyOverrides { client_max_body_bytes: Some(bytes), ..none() };
    check("proxy-body-size", "8m", body(8 << 20));
    check("proxy-body-size", "8M", body(8 << 20));
    check("proxy-body-size", " 512k ", body(512 << 10));
    check("proxy-body-size", "1g", body(1 << 30));
    check("proxy-body-size", "1000", body(1000));
    check("proxy-body-size", "0", body(0));
    check("proxy-connect-timeout", "5", RoutePolicyOverrides { connect_timeout_ms: Some(5_000), ..none() });
    check("proxy-read-timeout", "3600", RoutePolicyOverrides { read_timeout_ms: Some(3_600_000), ..none() });
    check("proxy-send-timeout", "1", RoutePolicyOverrides { send_timeout_ms: Some(1_000), ..none() });
    check("proxy-next-upstream-tries", "2", RoutePolicyOverrides { tries: Some(2), ..none() });
    check("proxy-next-upstream-tries", "0", RoutePolicyOverrides { tries: Some(100), ..none() });
    check("proxy-request-buffering", "off", RoutePolicyOverrides { request_buffering: Some(false), ..none() });
    check("proxy-request-buffering", "On", RoutePolicyOverrides { request_buffering: Some(true), ..none() });
    check("ssl-redirect", "false", RoutePolicyOverrides { ssl_redirect: Some(false), ..none() });
    check("ssl-redirect", "T", RoutePolicyOverrides { ssl_redirect: Some(true), ..none() });
    check("force-ssl-redirect", "1", RoutePolicyOverrides { force_ssl_redirect: Some(true), ..none() });
}

#[test]
fn backend_protocols_are_understood() {
    let check = |text: &str, expected: Option<UpstreamProtocol>, restricting: Option<bool>| {
        let (parsed, problems) = one("nginx.ingress.kubernetes.io/backend-protocol", text);
        assert_eq!(parsed.backend_protocol, expected, "{text}");
        assert_eq!(problems.first().map(|problem| problem.restricting), restricting, "{text}: {problems:?}");
    };
    check("HTTP", Some(UpstreamProtocol::Http), None);
    check("https", Some(UpstreamProtocol::Https { server_name: None, verify: false }), None);
    check("GRPC", Some(UpstreamProtocol::H2c), None);
    check("AUTO_HTTP", None, Some(false));
    check("GRPCS", None, Some(true));
    check("FCGI", None, Some(true));
    check("H2C", None, Some(false));
}

#[test]
fn plugins_are_named_in_order() {
    let local = |name: &str| PluginName { kind: PluginKind::LuaPlugin, name: name.into() };
    let cluster = |name: &str| PluginName { kind: PluginKind::ClusterLuaPlugin, name: name.into() };
    let check = |text: &str, plugins: &[PluginName], message: &str, restricting: bool| {
        let (parsed, problems) = one("moongate.dev/plugins", text);
        assert_eq!(parsed.plugins, plugins, "{text}");
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.is_empty(), message.is_empty(), "{text}: {texts:?}");
        assert!(texts.join("; ").contains(message), "{text}: {texts:?}");
        assert_eq!(problems.iter().any(|problem| problem.restricting), restricting, "{text}: {texts:?}");
    };
    check("quota, cluster/request-id", &[local("quota"), cluster("request-id")], "", false);
    check("quota,", &[local("quota")], "", false);
    check("", &[], "", false);
    check("a.b-c.1", &[local("a.b-c.1")], "", false);
    check("quota, quota", &[local("quota")], "names quota twice", false);
    check("quota, cluster/quota", &[local("quota"), cluster("quota")], "", false);
    check("Quota, x", &[local("x")], "\"Quota\" names no plugin", true);
    check("a,,b", &[local("a"), local("b")], "\"\" names no plugin", true);
    check("shop/quota", &[], "names no plugin", true);
    check("cluster/", &[], "names no plugin", true);
    check("-a", &[], "names no plugin", true);
    let many: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let (parsed, problems) = one("moongate.dev/plugins", &many.join(","));
    assert_eq!((parsed.plugins.len(), problems.len(), problems[0].restricting), (32, 1, true));
    assert_eq!(local("a").key("shop").to_string(), "LuaPlugin shop/a");
    assert_eq!(cluster("a").key("shop").to_string(), "ClusterLuaPlugin a");
}

/// Annotation, value, and of its only problem: whether it closes the routes, its severity, and what it has.
#[test]
fn what_is_not_applied_is_said_and_closes_what_it_protects() {
    use Severity::{Error, Warning};
    let check = |name: &str, text: &str, expected: Option<(bool, Severity, &str)>| {
        let key = if name.contains('/') { name.to_owned() } else { format!("{NGINX}{name}") };
        let (parsed, problems) = one(&key, text);
        assert_eq!(parsed, Annotations { is_canary: parsed.is_canary, ..Annotations::default() }, "{name}");
        let Some((restricting, severity, message)) = expected else {
            assert_eq!(problems, [], "{name}: {text}");
            return;
        };
        let [problem] = problems.as_slice() else { panic!("{name}: {text}: {problems:?}") };
        assert_eq!((problem.restricting, problem.severity), (restricting, severity), "{name}: {problem}");
        assert!(problem.message.contains(message), "{name}: {problem}");
        assert_eq!(problem.key, key);
    };
    check("proxy-body-size", "8 MB", Some((false, Error, "is not a size such as \"8m\"")));
    check("proxy-body-size", "99999999999999g", Some((false, Error, "is not a size")));
    check("proxy-read-timeout", "60s", Some((false, Error, "without a unit")));
    check("proxy-read-timeout", "-1", Some((false, Error, "is not a whole number of seconds")));
    check("proxy-read-timeout", "0", Some((false, Error, "end every request at once")));
    check("proxy-read-timeout", "99999999999", Some((false, Error, "is more than a year")));
    check("proxy-next-upstream-tries", "101", Some((false, Error, "from 0 to 100")));
    check("proxy-request-buffering", "true", Some((false, Error, "neither \"on\" nor \"off\"")));
    check("ssl-redirect", "yes", Some((false, Error, "neither \"true\" nor \"false\"")));
    check("auth-url", "https://auth", Some((true, Error, "the routes answer 503")));
    check("auth-type", "basic", Some((true, Error, "the plugin basic-auth does it")));
    check("whitelist-source-range", "10.0.0.0/8", Some((true, Error, "the plugin ip-restriction does it")));
    check("denylist-source-range", "10.0.0.0/8", Some((true, Error, "ip-restriction")));
    check("auth-tls-secret", "ns/ca", Some((true, Error, "restricts access")));
    check("auth-tls-verify-client", "on", Some((true, Error, "restricts access")));
    check("auth-tls-verify-client", "off", None);
    check("enable-global-auth", "false", None);
    check("enable-modsecurity", "true", Some((true, Error, "restricts access")));
    check("enable-cors", "true", Some((false, Warning, "the plugin cors does it")));
    check("enable-cors", "false", None);
    check("rewrite-target", "/$1", Some((false, Warning, "is not supported, and ignored")));
    check("proxy-buffering", "off", None);
    check("configuration-snippet", "more_set_headers 'X: y';", Some((false, Warning, "a LuaPlugin")));
    check("configuration-snippet", "deny all;", Some((true, Error, "restricts access")));
    check("configuration-snippet", "if ($x) { return 403; }", Some((true, Error, "restricts access")));
    check("configuration-snippet", "return 301 /;", Some((false, Warning, "is not supported")));
    check("server-snippet", "auth_basic 'x';", Some((true, Error, "restricts access")));
    check("server-snippet", "access_by_lua_block { f() }", Some((true, Error, "restricts access")));
    check("secure-backends", "true", Some((false, Warning, "write backend-protocol: HTTPS")));
    check("enable-websockets", "true", Some((false, Warning, "work without a setting")));
    check("proxy-bodysize", "8m", Some((false, Error, "did you mean nginx.ingress.kubernetes.io/proxy-body-size?")));
    check("whitelist-source-rang", "10.0.0.0/8", Some((true, Error, "did you mean")));
    check("auth-something", "x", Some((true, Error, "is not known")));
    check("nonsense", "x", Some((false, Error, "is not known, and ignored")));
    check("moongate.dev/plugin", "x", Some((true, Error, "did you mean moongate.dev/plugins?")));
    check("moongate.dev/nonsense", "x", Some((false, Error, "the one there is: moongate.dev/plugins")));
    check("example.com/anything", "x", None);
    check("canary", "true", Some((false, Warning, "is not supported")));
    assert!(one("nginx.ingress.kubernetes.io/canary", "true").0.is_canary);
    assert!(!one("nginx.ingress.kubernetes.io/canary", "false").0.is_canary);
}

#[test]
fn the_list_is_whole_and_each_supported_one_has_a_parser() {
    let names: HashSet<&str> = ALL.iter().map(|known| known.name).collect();
    assert_eq!(names.len(), ALL.len(), "a name stands twice");
    // 136 in ingress-nginx's annotations-risk table, and two aliases.
    assert_eq!(ALL.len(), 138);
    for known in ALL {
        assert!(known.idle.iter().all(|value| value.to_ascii_lowercase() == **value), "{}", known.name);
        let (parsed, problems) = one(&format!("{NGINX}{}", known.name), "\u{0}nonsense");
        assert_eq!(parsed.policy, RoutePolicyOverrides::default());
        assert_eq!(problems.len(), 1, "{}", known.name);
        if known.support == Support::Restricts {
            assert!(problems[0].restricting, "{}", known.name);
        }
        if known.name.starts_with("auth-") {
            assert_eq!(known.support, Support::Restricts, "{}", known.name);
        }
    }
}
