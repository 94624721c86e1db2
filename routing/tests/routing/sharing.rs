//! What a change costs and whom it touches.

use std::cell::Cell;

use proptest::prelude::*;
use routing::router::{RULE_PATH_BYTES_MAX, Router};
use routing::{PathKind, RouteKey};

use super::naive::Naive;
use super::random::{Step, fresh, history};

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
}

/// A route's value that counts how often routes are copied.
struct Counted;

impl Clone for Counted {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self
    }
}

fn prefix(host: &str, path: &str) -> RouteKey {
    RouteKey { host: host.into(), kind: PathKind::Prefix, path: path.into() }
}

#[test]
fn a_change_copies_the_nodes_above_its_place_only() {
    const ROUTES: usize = 100_000;
    #[track_caller]
    fn check(shape: &str, key: impl Fn(usize) -> RouteKey) {
        let mut router = Router::default();
        (0..ROUTES).for_each(|i| assert!(router.set(&key(i), Counted)));
        assert_eq!(router.len(), ROUTES);
        CLONES.set(0);
        for i in (0..ROUTES).step_by(ROUTES / 10) {
            let published = router.clone();
            assert!(router.remove(&key(i)));
            assert!(router.set(&key(i), Counted));
            let one_more = key(ROUTES + i);
            assert!(router.set(&one_more, Counted));
            assert_eq!(published.len(), router.len() - 1);
            assert!(router.remove(&one_more));
        }
        // Ten rounds of four changes. The nodes above a place hold few routes themselves; a copy of a level of the
        // tree, let alone of the host, would be ten thousand.
        assert!(CLONES.get() <= 10 * 4 * 16, "{shape}: {} values were copied", CLONES.get());
    }
    check("one host", |i| prefix("a.com", &format!("/api/v1/item-{i}/view")));
    check("one host, nested", |i| prefix("a.com", &format!("/{}/{}/{}", i % 10, i / 10 % 100, i)));
    check("many hosts", |i| prefix(&format!("h{i}.com"), "/"));
    check("wildcards", |i| prefix(&format!("*.h{}.com", i / 10), &format!("/{i}")));
}

#[test]
fn rules_as_deep_as_can_be_need_no_deep_stack() {
    // A tree is dropped and compared by recursion, and the longest path bounds it. A thread has 2 MiB or more.
    const STACK_BYTES: usize = 1024 * 1024;
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(one_byte_deeper_each).unwrap().join().unwrap();
}

fn one_byte_deeper_each() {
    let path = |len: usize| format!("/{}", "a".repeat(len - 1));
    let string = |len| RouteKey { kind: PathKind::ImplementationSpecific, ..prefix("a.com", &path(len)) };
    let mut router = Router::default();
    for len in 1..=RULE_PATH_BYTES_MAX {
        assert!(router.set(&string(len), len));
    }
    let published = router.clone();
    assert_eq!(router.find("a.com", &path(2 * RULE_PATH_BYTES_MAX)).map(|f| *f.value), Some(RULE_PATH_BYTES_MAX));
    assert_eq!(router.explain("a.com", &path(100)).len(), 100);
    assert!(router.remove(&string(RULE_PATH_BYTES_MAX)));
    assert_eq!(router.find("a.com", &path(RULE_PATH_BYTES_MAX)).map(|f| *f.value), Some(RULE_PATH_BYTES_MAX - 1));
    assert!(router.set(&string(RULE_PATH_BYTES_MAX), RULE_PATH_BYTES_MAX));
    assert!(router == published);
    drop(published);
    drop(router);
}

#[test]
fn a_rule_beyond_the_longest_path_is_not_set() {
    let mut router = Router::default();
    let long = prefix("a.com", &format!("/{}", "a".repeat(RULE_PATH_BYTES_MAX)));
    // Short as written, long in normal form.
    let escaped = prefix("a.com", &format!("/{}", " ".repeat(RULE_PATH_BYTES_MAX / 3 + 1)));
    for key in [long, escaped] {
        assert!(!router.set(&key, ()));
        assert!(!router.remove(&key));
    }
    assert_eq!(router, Router::default());
}

#[test]
fn a_router_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: T) {}
    shared(Router::<u32>::default());
}

proptest! {
    #[test]
    fn a_clone_stays_as_it_was(steps in history()) {
        let mut table = Naive::default();
        let mut router = Router::default();
        let mut published = Vec::new();
        for step in steps {
            published.push((router.clone(), table.clone()));
            match step {
                Step::Set(key, value) => {
                    router.set(&key, value);
                    table.0.insert(key, value);
                }
                Step::Remove(key) => {
                    router.remove(&key);
                    table.0.remove(&key);
                }
            }
        }
        for (router, table) in published {
            prop_assert_eq!(router, fresh(&table));
        }
    }
}
