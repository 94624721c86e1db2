//! Semantics as scripts see them, in cases; the same against a naive model, over random histories; threads.

mod cases;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::table::Scope;

/// Milliseconds since the epoch at which the tests begin.
const START: u64 = 1_700_000_000_000;

fn sum_of_costs(dict: &Dict) -> usize {
    dict.lock_all().iter().map(|shard| shard.cost()).sum()
}

#[test]
fn a_dict_of_many_locks_evicts_over_all_of_them() {
    let dict = Dict::with_shards(64 * 1024, 16);
    let value = vec![b'v'; 1000];
    let mut forced = 0;
    for at in 0..1000_u32 {
        let stored = dict.store(Store::Set, &at.to_be_bytes(), Put::Str(&value), 0, 0, START);
        assert_eq!(stored.result, Ok(()), "key {at}");
        forced += usize::from(stored.forcible);
    }
    assert_eq!(dict.memory.used(), sum_of_costs(&dict));
    assert!(dict.memory.used() <= 64 * 1024);
    let kept = dict.get_keys(0, usize::MAX, START).len();
    // Nothing expires, so that each store beyond the first full dict evicts, and most evict one entry.
    assert!((50..=58).contains(&kept) && forced >= 1000 - 58, "{kept} kept, {forced} forced");
    // A value that needs the room of many, though its own shard has few.
    let large = vec![b'v'; 16 * 1024];
    let stored = dict.store(Store::Set, b"large", Put::Str(&large), 0, 0, START);
    assert_eq!(stored, Stored { result: Ok(()), forcible: true });
    // And one that 30 evictions do not make room for.
    let larger = vec![b'v'; 60 * 1024];
    let stored = dict.store(Store::Set, b"larger", Put::Str(&larger), 0, 0, START);
    assert_eq!(stored, Stored { result: Err(DictError::NoMemory), forcible: true });
    assert_eq!(dict.memory.used(), sum_of_costs(&dict));
}

#[test]
fn replacing_never_evicts_the_entry_itself() {
    for shards in [1, 4] {
        let dict = Dict::with_shards(MIN_CAPACITY, shards);
        dict.store(Store::Set, b"k", Put::Num(1.0), 0, 0, START);
        let stored = dict.store(Store::Replace, b"k", Put::Str(&[b'x'; 7000]), 0, 0, START);
        assert_eq!(stored, Stored { result: Ok(()), forcible: false });
        let stored = dict.store(Store::Replace, b"k", Put::Str(&[b'x'; 9000]), 0, 0, START);
        assert_eq!(stored, Stored { result: Err(DictError::NoMemory), forcible: false });
        assert_eq!(dict.memory.used(), 0, "as in OpenResty, the old entry is gone");
    }
}

#[test]
fn resizing_keeps_what_fits() {
    let dict = Dict::new(MIN_CAPACITY);
    let keys = |dict: &Dict| dict.get_keys(0, usize::MAX, START).len();
    for at in 0..1000_u32 {
        dict.store(Store::Set, &at.to_be_bytes(), Put::Num(f64::from(at)), 0, 0, START);
    }
    let full = keys(&dict);
    dict.resize(1024 * 1024, START);
    assert_eq!(keys(&dict), full);
    for at in 0..1000_u32 {
        dict.store(Store::Set, &at.to_be_bytes(), Put::Num(f64::from(at)), 0, 0, START);
    }
    assert_eq!(keys(&dict), 1000);
    dict.resize(0, START);
    assert_eq!((dict.capacity(), keys(&dict)), (MIN_CAPACITY, full));
    assert_eq!(dict.get(&999_u32.to_be_bytes(), START, &mut Vec::new()).unwrap().unwrap().value, Got::Num(999.0));
}

#[test]
fn an_emptied_dict_holds_no_memory() {
    let dict = Dict::new(1024 * 1024);
    for at in 0..5000_u32 {
        dict.store(Store::Set, &at.to_be_bytes(), Put::Num(0.0), 1, 0, START);
    }
    assert_eq!(dict.flush_expired(0, START + 1), 5000);
    assert_eq!((dict.memory.used(), dict.free_space()), (0, 1024 * 1024));
}

#[test]
fn threads_count_exactly_and_the_account_adds_up() {
    const EACH: u32 = 20_000;
    for shards in [1, 8] {
        let dict = Arc::new(Dict::with_shards(64 * 1024, shards));
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let dict = dict.clone();
                scope.spawn(move || {
                    let mut out = Vec::new();
                    for at in 0..EACH {
                        dict.incr(b"sum", 1.0, Some(0.0), 60_000, START).unwrap();
                        // Others come and go in the full dict around it.
                        let key = (at * 4 + thread).to_be_bytes();
                        dict.store(Store::Set, &key, Put::Str(&key), i64::from(at % 3), 0, START + u64::from(at));
                        dict.get(&(at * 3).to_be_bytes(), START, &mut out).unwrap();
                        if at % 1000 == 0 {
                            dict.get_keys(10, 1000, START);
                            dict.flush_expired(5, START + u64::from(at));
                        }
                    }
                });
            }
        });
        let (sum, _) = dict.incr(b"sum", 0.0, None, 0, START).unwrap();
        assert_eq!(sum, f64::from(4 * EACH));
        assert_eq!(dict.memory.used(), sum_of_costs(&dict));
    }
}

#[test]
fn scopes_have_dicts_of_their_own_within_their_cap() {
    let mib = 1024 * 1024;
    let dicts = Dicts::default();
    let shop = Scope::Namespace("shop".into());
    let wanted = |list: &[(&str, u64)]| list.iter().map(|&(n, b)| (n.to_owned(), b)).collect::<BTreeMap<_, _>>();
    let sizes = |scope: &Scope| ["a", "b", "c"].map(|name| dicts.get(scope, name).map_or(0, |dict| dict.capacity()));

    assert_eq!(dicts.declare(&shop, &wanted(&[("a", 2 * mib), ("b", mib)]), 4 * mib, START), []);
    assert_eq!(dicts.declare(&Scope::Operator, &wanted(&[("a", mib)]), 4 * mib, START), []);
    let a = dicts.get(&shop, "a").unwrap();
    a.store(Store::Set, b"k", Put::Num(1.0), 0, 0, START);
    assert_eq!(dicts.get(&Scope::Operator, "a").unwrap().get(b"k", START, &mut Vec::new()), Ok(None));

    // Growing keeps the entries and the identity; what has no room is told, and keeps its size.
    let refused = dicts.declare(&shop, &wanted(&[("a", 3 * mib), ("b", 2 * mib), ("c", mib)]), 4 * mib, START);
    let names: Vec<_> = refused.iter().map(|refused| (refused.name.as_str(), refused.left as u64)).collect();
    assert_eq!(names, [("b", mib), ("c", 0)]);
    assert_eq!(sizes(&shop).map(|bytes| bytes as u64), [3 * mib, mib, 0]);
    assert!(Arc::ptr_eq(&a, &dicts.get(&shop, "a").unwrap()));
    assert!(a.get(b"k", START, &mut Vec::new()).unwrap().is_some());

    // What shrinks makes room for what grows, whatever their names' order; what is not declared is gone.
    assert_eq!(dicts.declare(&shop, &wanted(&[("a", 4 * mib - 8192), ("c", 1)]), 4 * mib, START), []);
    assert_eq!(dicts.declare(&shop, &wanted(&[("a", 8192), ("c", 3 * mib)]), 4 * mib, START), []);
    assert_eq!(sizes(&shop).map(|bytes| bytes as u64), [8192, 0, 3 * mib]);
    dicts.retain(|scope| *scope == Scope::Operator);
    assert_eq!((sizes(&shop), sizes(&Scope::Operator)), ([0; 3], [1024 * 1024, 0, 0]));
}
