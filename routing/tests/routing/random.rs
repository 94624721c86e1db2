//! Random tables, requests and histories against the naive reference.

use proptest::prelude::*;
use routing::path::{decode, encode, normalize, normalize_host, normalize_rule};
use routing::router::{Router, Verdict};
use routing::{PathKind, RouteKey};

use super::naive::{self, Naive};

/// Few names, so that rules and requests meet.
const HOSTS: &[&str] = &["*", "*.com", "*.a.com", "a.com", "b.a.com", "c.b.a.com", "com", "192.0.2.1", "*.0.2.1", ""];

/// One step of a table.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Set(RouteKey, u32),
    Remove(RouteKey),
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(/(a|b|ab|aa)){0,4}/?",
        2 => "(/|a|b|%61|%2f){0,8}",
        1 => "/[ -~]{0,6}",
        1 => "/\\PC{0,3}",
    ]
}

fn key() -> impl Strategy<Value = RouteKey> {
    let kind = prop_oneof![
        3 => Just(PathKind::Exact),
        5 => Just(PathKind::Prefix),
        3 => Just(PathKind::ImplementationSpecific),
        1 => Just(PathKind::Default),
    ];
    let host = prop::sample::select(HOSTS).prop_filter("a rule has a host", |h| !h.is_empty());
    (host, kind, path()).prop_map(|(host, kind, path)| {
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let path = if kind == PathKind::Default { "/".into() } else { path };
        RouteKey { host: host.into(), kind, path }
    })
}

/// A history whose removals mostly meet a key that was set.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    let pool = prop::collection::vec(key(), 1..24);
    pool.prop_flat_map(|pool| {
        let key = prop::sample::select(pool);
        prop::collection::vec((key, any::<bool>(), 0..4u32), 0..60).prop_map(|steps| {
            let step = |(key, sets, value)| if sets { Step::Set(key, value) } else { Step::Remove(key) };
            steps.into_iter().map(step).collect()
        })
    })
}

pub(super) fn fresh(table: &Naive) -> Router<u32> {
    let mut router = Router::default();
    for (key, value) in &table.0 {
        assert!(router.set(key, *value));
    }
    router
}

#[track_caller]
fn check(router: &Router<u32>, table: &Naive, host: &str, path: &str) {
    let found = router.find(host, path);
    let got = found.map(|f| (f.key(), *f.value));
    let expected = table.find(host, path).map(|(k, v)| (k.clone(), v));
    assert_eq!(got, expected, "{host:?} {path:?} of {table:#?}");
    assert_eq!(router.host_of(host).map(|h| h.name().to_owned()), table.host_of(host), "{host:?} of {table:#?}");
    let explained = router.explain(host, path);
    let winner = explained.iter().filter(|c| c.verdict == Verdict::Serves).map(|c| c.route);
    assert_eq!(Vec::from_iter(winner), Vec::from_iter(found), "{host:?} {path:?} of {table:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_router_answers_as_the_reference_does(
        rules in prop::collection::vec((key(), 0..4u32), 0..30),
        paths in prop::collection::vec(path(), 1..20),
    ) {
        let table = Naive(rules.into_iter().collect());
        let router = fresh(&table);
        // The rules' own paths are the requests that come closest to several rules.
        let own: Vec<String> = table.0.keys().map(|k| k.path.clone()).collect();
        for path in paths.iter().chain(&own) {
            let Ok(path) = normalize(path.as_bytes(), false) else { continue };
            for host in HOSTS.iter().filter(|h| !h.contains('*')) {
                check(&router, &table, host, &path);
            }
        }
    }

    #[test]
    fn a_history_leads_where_a_fresh_build_does(steps in history()) {
        let mut table = Naive::default();
        let mut router = Router::default();
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    prop_assert!(router.set(&key, value));
                    table.0.insert(key, value);
                }
                Step::Remove(key) => prop_assert_eq!(router.remove(&key), table.0.remove(&key).is_some(), "{}", key),
            }
            prop_assert_eq!(router.len(), table.0.len());
            prop_assert_eq!(router.hosts(), table.hosts());
            prop_assert_eq!(&router, &fresh(&table));
        }
    }

    #[test]
    fn the_normal_form_is_the_references(path in path_bytes(), merge in any::<bool>()) {
        let got = normalize(&path, merge).ok();
        let expected = naive::normalize(&path, merge);
        prop_assert_eq!(got.as_deref(), expected.as_deref(), "{}", path.escape_ascii());
    }

    #[test]
    fn the_normal_form_of_a_host_is_the_references(authority in "[a-cA-C.\\-_*@\\[\\]:0-9]{0,12}(\\.|:[0-9]{0,6})?|\\PC{0,4}") {
        let got = normalize_host(authority.as_bytes()).ok();
        let expected = naive::normalize_host(authority.as_bytes());
        prop_assert_eq!(got.as_deref(), expected.as_deref(), "{}", authority);
    }

    #[test]
    fn what_a_script_sets_arrives(path in prop::collection::vec(any::<u8>(), 0..20)) {
        let encoded = encode(&path);
        let mut decoded = Vec::new();
        decode(&encoded, &mut decoded);
        prop_assert_eq!(decoded, path);
        let rule = format!("/{encoded}");
        prop_assert_eq!(normalize_rule(&rule), &*rule);
    }

    #[test]
    fn a_rule_in_a_requests_normal_form_is_in_a_rules_normal_form(path in path_bytes()) {
        if let Ok(path) = normalize(&path, false) {
            prop_assert_eq!(normalize_rule(&path), &*path);
        }
    }
}

fn path_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(&["/", "a", ".", "..", "/..", "//", "%2e", "%2F", "%2f", "%41", "%", "2", ";", "%00"][..])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b]),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| {
        let mut path = b"/".to_vec();
        path.extend(pieces.concat());
        path
    })
}
