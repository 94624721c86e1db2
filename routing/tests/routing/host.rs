//! The normal form of hosts: ingress.md 1.2, item 1.

use std::borrow::Cow;

use routing::path::{BadHost, is_ip_literal, normalize_host};

#[track_caller]
fn check(authority: &str, expected: Result<&str, BadHost>) {
    let got = normalize_host(authority.as_bytes());
    assert_eq!(got.as_deref(), expected.as_deref(), "{authority:?}");
    let Ok(got) = got else { return };
    let allocated = matches!(got, Cow::Owned(_));
    assert_eq!(
        allocated,
        authority.bytes().any(|b| b.is_ascii_uppercase()),
        "{authority:?} is borrowed without capitals"
    );
    assert_eq!(
        normalize_host(got.as_bytes()).as_deref(),
        Ok(&*got),
        "{authority:?} became {got:?}, which is not stable"
    );
}

#[test]
fn port_and_trailing_dot_go_and_capitals_become_small() {
    check("example.com", Ok("example.com"));
    check("Shop.EXAMPLE.com:8080", Ok("shop.example.com"));
    check("example.com.", Ok("example.com"));
    check("example.com.:443", Ok("example.com"));
    check("example.com:", Ok("example.com"));
    check("example.com:65535", Ok("example.com"));
    check("localhost", Ok("localhost"));
    check("xn--caf-dma.example", Ok("xn--caf-dma.example"));
    check("my_host.local", Ok("my_host.local"));
    check("", Ok(""));
    check(&"a".repeat(253), Ok(&"a".repeat(253)));
}

#[test]
fn addresses_stay_addresses() {
    check("192.0.2.1:80", Ok("192.0.2.1"));
    check("[2001:DB8::1]:443", Ok("[2001:db8::1]"));
    check("[::1]", Ok("[::1]"));
    check("[::ffff:192.0.2.1]:", Ok("[::ffff:192.0.2.1]"));
    for (host, is) in
        [("192.0.2.1", true), ("[::1]", true), ("a.1", false), ("1.2.3", false), ("a.com", false), ("", false)]
    {
        assert_eq!(is_ip_literal(host), is, "{host}");
    }
}

#[test]
fn what_no_rule_can_name_is_refused() {
    for port in ["a:x", "a:65536", "a:+80", "a:80:80", "a:000080", "a: 80", "[::1]:x", "a:-1", "::1"] {
        match normalize_host(port.as_bytes()) {
            Err(BadHost::Port | BadHost::EmptyLabel) => {}
            other => panic!("{port}: {other:?}"),
        }
    }
    for (host, byte) in [
        ("user@example.com", b'@'),
        ("*.example.com", b'*'),
        ("*", b'*'),
        ("a b", b' '),
        ("a%20b", b'%'),
        ("a/b", b'/'),
        ("a\0", 0),
        ("caf\u{e9}.fr", 0xc3),
        ("a,b", b','),
        ("[::1]x", b'x'),
        ("a]", b']'),
    ] {
        check(host, Err(BadHost::Byte(byte)));
    }
    for host in [".", "..", ".a", "a..b", "a..", ":80", ".:80"] {
        check(host, Err(BadHost::EmptyLabel));
    }
    for host in ["[", "[]", "[1.2.3.4]", "[fe80::1%eth0]", "[v1.x]", "[::1", "[:::]"] {
        check(host, Err(BadHost::Address));
    }
    check(&"a".repeat(254), Err(BadHost::TooLong));
    assert_eq!(normalize_host(b"\xff"), Err(BadHost::Byte(0xff)));
}
