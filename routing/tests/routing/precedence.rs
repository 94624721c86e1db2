//! Which rule serves which request: KEP-1453 and ingress.md 1.2 to 1.4 and 1.9.

use routing::path::{Target, normalize_host};
use routing::router::{HostMatch, Router, Verdict};
use routing::{PathKind, RouteKey};

/// A block of rules (`host kind path`), a line of dashes, and requests with the rule expected (`host target => rule`,
/// or 404, or 400). Both orders of setting the rules must give the same, and `explain` the same winner.
#[track_caller]
fn check(block: &str) {
    let (rules, requests) = block.split_once("---").unwrap();
    let rules: Vec<&str> = rules.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let forward = router(rules.iter());
    let backward = router(rules.iter().rev());
    for line in requests.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (request, expected) = line.split_once("=>").unwrap();
        for router in [&forward, &backward] {
            assert_eq!(answer(router, request.trim()), expected.trim(), "{request}\nwith {rules:#?}");
        }
    }
}

fn router<'a>(rules: impl Iterator<Item = &'a &'a str>) -> Router<String> {
    let mut router = Router::default();
    for rule in rules {
        assert!(router.set(&key(rule), (*rule).to_owned()), "{rule}");
    }
    router
}

/// `shop.example.com Prefix /a b`; the path may have spaces or be empty.
fn key(rule: &str) -> RouteKey {
    let mut parts = rule.splitn(3, ' ');
    let host = parts.next().unwrap().to_owned();
    let kind = match parts.next().unwrap() {
        "Exact" => PathKind::Exact,
        "Prefix" => PathKind::Prefix,
        "String" => PathKind::ImplementationSpecific,
        "Default" => PathKind::Default,
        other => panic!("{other} is no kind"),
    };
    RouteKey { host, kind, path: parts.next().unwrap_or("").to_owned() }
}

fn answer(router: &Router<String>, request: &str) -> String {
    let (authority, target) = request.split_once(' ').unwrap();
    let authority = if authority == "-" { "" } else { authority };
    let (Ok(host), Ok(target)) = (normalize_host(authority.as_bytes()), Target::parse(target.as_bytes(), true)) else {
        return "400".into();
    };
    let found = router.find(&host, &target.path);
    let explained = router.explain(&host, &target.path);
    let winners: Vec<_> = explained.iter().filter(|c| c.verdict == Verdict::Serves).map(|c| c.route).collect();
    assert_eq!(winners, Vec::from_iter(found), "explain and find agree on {request}");
    let Some(found) = found else { return "404".into() };
    assert_eq!(found.key(), key(found.value), "a route is found under its own key");
    found.value.clone()
}

#[test]
fn kep_1453_table() {
    let table = [
        ("* Prefix /", "/any/path => * Prefix /"),
        ("* Prefix /", "/ => * Prefix /"),
        ("* Exact /foo", "/foo => * Exact /foo"),
        ("* Exact /foo", "/bar => 404"),
        ("* Exact /foo", "/foo/ => 404"),
        ("* Exact /foo/", "/foo => 404"),
        ("* Prefix /foo", "/foo => * Prefix /foo"),
        ("* Prefix /foo", "/foo/ => * Prefix /foo"),
        ("* Prefix /foo/", "/foo => * Prefix /foo/"),
        ("* Prefix /foo/", "/foo/ => * Prefix /foo/"),
        ("* Prefix /aaa/bb", "/aaa/bbb => 404"),
        ("* Prefix /aaa/bbb", "/aaa/bbb => * Prefix /aaa/bbb"),
        ("* Prefix /aaa/bbb/", "/aaa/bbb => * Prefix /aaa/bbb/"),
        ("* Prefix /aaa/bbb", "/aaa/bbb/ => * Prefix /aaa/bbb"),
        ("* Prefix /aaa/bbb", "/aaa/bbb/ccc => * Prefix /aaa/bbb"),
        ("* Prefix /aaa/bbb", "/aaa/bbbxyz => 404"),
        ("* Prefix /\n* Prefix /aaa", "/aaa/ccc => * Prefix /aaa"),
        ("* Prefix /\n* Prefix /aaa\n* Prefix /aaa/bbb", "/aaa/bbb => * Prefix /aaa/bbb"),
        ("* Prefix /\n* Prefix /aaa\n* Prefix /aaa/bbb", "/ccc => * Prefix /"),
        ("* Prefix /aaa\n* Default /", "/ccc => * Default /"),
        ("* Prefix /aaa", "/ccc => 404"),
        ("* Exact /foo\n* Prefix /foo", "/foo => * Exact /foo"),
    ];
    for (rules, request) in table {
        check(&format!("{rules}\n---\nexample.com {request}"));
    }
}

#[test]
fn the_longest_match_wins_then_the_kind_then_the_spelling() {
    check(
        "a Exact /foo
         a Prefix /foo
         a Prefix /foo/
         a String /foo
         a String /foo/
         a Exact /foo/
         a Prefix /foo/bar
         a String /foo/bar
         a String /foo/bar/b
         ---
         a /foo => a Exact /foo
         a /foo/ => a Exact /foo/
         a /foo/x => a Prefix /foo/
         a /foobar => a String /foo
         a /foo/bar => a Prefix /foo/bar
         a /foo/bar/ => a Prefix /foo/bar
         a /foo/bar/c => a Prefix /foo/bar
         a /foo/barb => a String /foo/bar
         a /foo/bar/baz => a String /foo/bar/b
         a /FOO => 404",
    );
    check(
        "a Prefix /foo
         a Prefix /foo/
         a String /
         ---
         a /foo => a Prefix /foo/
         a /foo/ => a Prefix /foo/
         a /foo/x => a Prefix /foo/
         a /foox => a String /
         a / => a String /",
    );
    check(
        "a Prefix /
         a String /
         a Exact /
         ---
         a / => a Exact /
         a /x => a Prefix /",
    );
    // The slash that a Prefix ignores is no match either: Exact is not beaten by a spelling.
    check(
        "a Exact /foo
         a Prefix /foo/
         ---
         a /foo => a Exact /foo
         a /foo/ => a Prefix /foo/",
    );
    check(
        "a Prefix /foo
         a String /foo/
         ---
         a /foo => a Prefix /foo
         a /foo/x => a String /foo/",
    );
}

#[test]
fn implementation_specific_is_a_string_prefix() {
    check(
        "a String /foo
         a String /foo-
         a String /foo.*(
         b String
         ---
         a /foobar => a String /foo
         a /foo/bar => a String /foo
         a /foo-bar => a String /foo-
         a /fo => 404
         a /foo.*(x => a String /foo.*(
         b /anything => b String",
    );
}

#[test]
fn the_most_specific_host_is_chosen_and_kept() {
    check(
        "foo.com Prefix /exact
         *.foo.com Prefix /wild
         bar.foo.com Prefix /bar
         * Prefix /any
         ---
         foo.com /exact => foo.com Prefix /exact
         foo.com /any => 404
         foo.com /wild => 404
         BAR.foo.com:8080 /bar => bar.foo.com Prefix /bar
         bar.foo.com. /bar => bar.foo.com Prefix /bar
         bar.foo.com /wild => 404
         bar.foo.com /any => 404
         qux.foo.com /wild => *.foo.com Prefix /wild
         qux.foo.com /any => 404
         baz.bar.foo.com /any => * Prefix /any
         baz.bar.foo.com /bar => 404
         com /any => * Prefix /any
         xfoo.com /any => * Prefix /any
         - /any => * Prefix /any
         *.foo.com /wild => 400
         user@foo.com /exact => 400",
    );
}

#[test]
fn addresses_and_no_host_have_the_rules_without_host_only() {
    check(
        "* Prefix /any
         *.0.2.1 Prefix /wild
         192.0.2.1 Prefix /name
         ---
         192.0.2.1 /any => * Prefix /any
         192.0.2.1:8080 /name => 404
         192.0.2.1 /wild => 404
         x.0.2.1 /wild => *.0.2.1 Prefix /wild
         [2001:db8::1]:80 /any => * Prefix /any
         - /any => * Prefix /any",
    );
}

#[test]
fn default_backends_serve_what_nothing_else_matches() {
    check(
        "shop.com Prefix /cart
         shop.com Default /
         bare.com Default /
         *.wild.com Default /
         none.com Prefix /x
         * Prefix /any
         * Default /
         ---
         shop.com /cart => shop.com Prefix /cart
         shop.com /any => shop.com Default /
         bare.com /any => bare.com Default /
         a.wild.com /any => *.wild.com Default /
         none.com /any => * Default /
         none.com /x => none.com Prefix /x
         other.com /any => * Prefix /any
         other.com /y => * Default /
         192.0.2.1 /y => * Default /",
    );
    check(
        "a Prefix /x
         ---
         a /y => 404
         b /x => 404",
    );
    check(
        "* Default /
         ---
         a /y => * Default /
         - / => * Default /",
    );
}

#[test]
fn paths_are_matched_in_normal_form() {
    check(
        "a Prefix /my/path
         a Prefix /%7Euser
         a Exact /a b
         a Prefix /caf\u{e9}
         a String /enc%2f
         a Prefix /q
         a Exact /100%
         ---
         a /my//path/x => a Prefix /my/path
         a /x/../my/path => a Prefix /my/path
         a /x/%2e%2e/my/./path => a Prefix /my/path
         a /my%2Fpath => 404
         a /my/path%2Fx => 404
         a /%6d%79/path => a Prefix /my/path
         a /MY/path => 404
         a /~user/x => a Prefix /%7Euser
         a /%7euser => a Prefix /%7Euser
         a /a%20b => a Exact /a b
         a /caf%c3%a9/x => a Prefix /caf\u{e9}
         a /enc%2Fx => a String /enc%2f
         a /enc/x => 404
         a /q?/my/path => a Prefix /q
         a /x?/q => 404
         a /100%25 => a Exact /100%
         a /my/path/../../.. => 400
         a /my/path/..;/x => 400
         a /my/path%00 => 400
         a /my/path%zz => 400",
    );
}

#[test]
fn one_path_in_two_spellings_is_two_rules_and_the_first_in_byte_order_serves() {
    check(
        "a Prefix /~a
         a Prefix /%7Ea
         a Prefix /%7ea/
         ---
         a /~a/x => a Prefix /%7ea/
         a /~a => a Prefix /%7ea/",
    );
    check(
        "a Exact /~a
         a Exact /%7Ea
         ---
         a /~a => a Exact /%7Ea",
    );
    let mut router = router(["a Exact /~a", "a Exact /%7Ea"].iter());
    assert!(router.remove(&key("a Exact /%7Ea")));
    assert_eq!(answer(&router, "a /~a"), "a Exact /~a");
}

#[test]
fn host_of_says_which_entry_serves() {
    let router = router(["a.com Prefix /", "*.a.com Prefix /", "* Default /"].iter());
    for (host, expected) in [
        ("a.com", HostMatch::Exact("a.com")),
        ("b.a.com", HostMatch::Wildcard("*.a.com")),
        ("c.b.a.com", HostMatch::Any),
        ("192.0.2.1", HostMatch::Any),
        ("", HostMatch::Any),
    ] {
        assert_eq!(router.host_of(host), Some(expected), "{host}");
    }
    assert_eq!(Router::<u8>::default().host_of("a.com"), None);
    assert_eq!(router.hosts(), ["*", "*.a.com", "a.com"]);
}

#[test]
fn explain_says_why_each_candidate_lost() {
    #[track_caller]
    fn check(rules: &[&str], host: &str, path: &str, expected: &[(&str, Verdict)]) {
        let router = router(rules.iter());
        let explained = router.explain(host, path);
        let got: Vec<_> = explained.iter().map(|c| (c.route.value.as_str(), c.verdict)).collect();
        assert_eq!(got, expected, "{host} {path}");
    }
    use Verdict::*;
    let rules = [
        "a.com Exact /foo",
        "a.com Exact /foo/",
        "a.com Prefix /foo",
        "a.com Prefix /foo/",
        "a.com Prefix /%66oo",
        "a.com Prefix /",
        "a.com Prefix /fo",
        "a.com String /fo",
        "a.com Prefix /bar",
        "a.com Default /",
        "*.com Prefix /foo",
        "*.com Default /",
        "* Prefix /fo",
        "* String /f",
        "* Default /",
    ];
    check(
        &rules,
        "a.com",
        "/foo",
        &[
            ("a.com Exact /foo", Serves),
            ("a.com Prefix /foo/", LaterKind),
            ("a.com Prefix /%66oo", LaterKind),
            ("a.com Prefix /foo", LaterKind),
            ("a.com String /fo", Shorter),
            ("a.com Prefix /", Shorter),
            ("a.com Exact /foo/", NotEqual),
            ("a.com Prefix /fo", InsideElement),
            ("a.com Default /", NotNeeded),
            ("* Default /", NotNeeded),
            ("*.com Prefix /foo", LessSpecificHost),
            ("*.com Default /", LessSpecificHost),
            ("* String /f", LessSpecificHost),
        ],
    );
    check(
        &["a.com Prefix /foo", "a.com Prefix /foo/", "a.com Prefix /%66oo/"],
        "a.com",
        "/foo",
        &[
            ("a.com Prefix /%66oo/", Serves),
            ("a.com Prefix /foo/", OtherSpelling),
            ("a.com Prefix /foo", ShorterSpelling),
        ],
    );
    check(
        &["a.com Exact /foo", "* Default /"],
        "a.com",
        "/foo/",
        &[("a.com Exact /foo", NotEqual), ("* Default /", Serves)],
    );
    check(&["b.com Prefix /"], "a.com", "/", &[]);
    check(&["* Prefix /", "* Default /"], "a.com", "/", &[("* Prefix /", Serves), ("* Default /", NotNeeded)]);
}
