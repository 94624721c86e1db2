//! The normal forms of paths, rules and hosts: equal to the naive reference, stable, and borrowed just when nothing
//! changed. The input is one request target or one authority.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use routing::path::{Target, normalize, normalize_host, normalize_rule, split_target};

#[expect(dead_code, reason = "the other target uses the rest of it")]
#[path = "../../tests/routing/naive.rs"]
mod naive;

fuzz_target!(|input: &[u8]| {
    for merge in [true, false] {
        check_path(split_target(input).0, merge);
        check_target(input, merge);
    }
    check_host(input);
    if let Ok(rule) = std::str::from_utf8(input) {
        let form = normalize_rule(rule);
        assert_eq!(normalize_rule(&form), form, "a rule's normal form is stable");
        assert!(form.is_ascii());
    }
});

fn check_path(path: &[u8], merge: bool) {
    let got = normalize(path, merge);
    assert_eq!(got.as_deref().ok(), naive::normalize(path, merge).as_deref());
    let Ok(got) = got else { return };
    assert_eq!(matches!(got, Cow::Borrowed(_)), got.as_bytes() == path, "borrowed just when nothing changed");
    assert!(matches!(normalize(got.as_bytes(), merge), Ok(Cow::Borrowed(again)) if again == got));
    assert_eq!(normalize_rule(&got), got, "a rule spelled as the request is the same path");
}

/// What goes upstream is read there as it was matched here.
fn check_target(raw: &[u8], merge: bool) {
    let Ok(target) = Target::parse(raw, merge) else { return };
    let forwarded = target.forwarded();
    let again = Target::parse(&forwarded, merge).expect("what is forwarded can be read");
    assert_eq!((&again.path, again.query), (&target.path, target.query));
    assert_eq!(again.forwarded(), forwarded);
}

fn check_host(authority: &[u8]) {
    let got = normalize_host(authority);
    assert_eq!(got.as_deref().ok(), naive::normalize_host(authority).as_deref());
    let Ok(got) = got else { return };
    assert_eq!(matches!(got, Cow::Owned(_)), authority.iter().any(u8::is_ascii_uppercase));
    assert_eq!(normalize_host(got.as_bytes()).as_deref(), Ok(&*got));
}
