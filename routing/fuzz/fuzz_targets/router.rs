//! The router against the naive reference, over a history of changes. The input is text, one step a line:
//! `+HOST KIND PATH` sets a route, `-HOST KIND PATH` removes it (KIND: E, P, S or D as in `PathKind`), `?HOST PATH` asks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routing::path::{normalize, normalize_host};
use routing::router::{Router, Verdict};
use routing::{PathKind, RouteKey};

#[expect(dead_code, reason = "the other target uses the rest of it")]
#[path = "../../tests/routing/naive.rs"]
mod naive;

use naive::Naive;

/// Enough for rules to meet, few enough for many runs a second.
const STEPS_MAX: usize = 64;

fuzz_target!(|input: &str| {
    let (mut router, mut table) = (Router::default(), Naive::default());
    let mut published = Vec::new();
    for (line, value) in input.lines().take(STEPS_MAX).zip(0..) {
        if let Some(key) = line.strip_prefix('+').and_then(key) {
            published.push((router.clone(), table.clone()));
            if router.set(&key, value) {
                table.0.insert(key, value);
            }
        } else if let Some(key) = line.strip_prefix('-').and_then(key) {
            published.push((router.clone(), table.clone()));
            assert_eq!(router.remove(&key), table.0.remove(&key).is_some());
        } else if let Some((host, path)) = line.strip_prefix('?').and_then(|l| l.split_once(' ')) {
            ask(&router, &table, host, path);
        }
    }
    published.push((router, table));
    for (router, table) in &published {
        assert_eq!(router, &fresh(table), "a clone stays as it was, and equals a fresh build");
        assert_eq!((router.len(), router.hosts()), (table.0.len(), table.hosts()));
    }
    if let Some((router, table)) = published.last() {
        for key in table.0.keys() {
            ask(router, table, &key.host.replace('*', "x"), &key.path);
        }
    }
});

fn key(text: &str) -> Option<RouteKey> {
    let mut parts = text.splitn(3, ' ');
    let host = parts.next()?.to_owned();
    let kind = match parts.next()? {
        "E" => PathKind::Exact,
        "P" => PathKind::Prefix,
        "S" => PathKind::ImplementationSpecific,
        "D" => PathKind::Default,
        _ => return None,
    };
    Some(RouteKey { host, kind, path: parts.next()?.to_owned() })
}

fn fresh(table: &Naive) -> Router<u32> {
    let mut router = Router::default();
    table.0.iter().for_each(|(key, value)| assert!(router.set(key, *value)));
    router
}

fn ask(router: &Router<u32>, table: &Naive, host: &str, path: &str) {
    let (Ok(host), Ok(path)) = (normalize_host(host.as_bytes()), normalize(path.as_bytes(), false)) else { return };
    let found = router.find(&host, &path);
    let got = found.map(|f| (f.key(), *f.value));
    assert_eq!(got, table.find(&host, &path).map(|(k, v)| (k.clone(), v)), "{host:?} {path:?}");
    assert_eq!(router.host_of(&host).map(|h| h.name()), table.host_of(&host).as_deref(), "{host:?}");
    let explained = router.explain(&host, &path);
    let serving: Vec<_> = explained.iter().filter(|c| c.verdict == Verdict::Serves).map(|c| c.route).collect();
    assert_eq!(serving, Vec::from_iter(found));
}
