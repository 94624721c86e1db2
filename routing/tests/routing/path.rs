//! The normal form of paths: ingress.md 1.9.

use std::borrow::Cow;

use routing::path::{BadPath, Target, decode, encode, normalize, normalize_rule, split_target};

/// Each path with what it is matched and forwarded as, slashes merged and not.
#[track_caller]
fn check(path: &str, merged: Result<&str, BadPath>, kept: Result<&str, BadPath>) {
    for (merge, expected) in [(true, merged), (false, kept)] {
        let got = normalize(path.as_bytes(), merge);
        assert_eq!(got.as_deref(), expected.as_deref(), "{path:?}, merge_slashes: {merge}");
        let Ok(got) = got else { continue };
        assert_eq!(matches!(got, Cow::Borrowed(_)), got == path, "{path:?} is borrowed just when it is in normal form");
        let again = normalize(got.as_bytes(), merge);
        assert!(matches!(again, Ok(Cow::Borrowed(a)) if a == got), "{path:?} became {got:?}, which is not stable");
    }
}

#[track_caller]
fn same(path: &str, expected: &str) {
    check(path, Ok(expected), Ok(expected));
}

#[track_caller]
fn bad(path: &str, expected: BadPath) {
    check(path, Err(expected), Err(expected));
}

#[test]
fn a_path_in_normal_form_stays() {
    for path in
        ["/", "/a", "/a/", "/a/b.c", "/.well-known/x", "/...", "/a..b/..c/d..", "/a;v=1/b", "/a:b@c", "/~u/-_.x"]
    {
        same(path, path);
    }
    same("/!$&'()*+,;=", "/!$&'()*+,;=");
    same("/a%20b%2Fc%25", "/a%20b%2Fc%25");
}

#[test]
fn escapes_of_unreserved_characters_are_decoded_and_others_kept() {
    same("/%61%7e%2D%5F%2e%39", "/a~-_.9");
    same("/a%2fb%2Fc", "/a%2Fb%2Fc");
    same("/a%c3%a9", "/a%C3%A9");
    same("/%3b%3B%26%40", "/%3B%3B%26%40");
    // No second round: the percent sign is data.
    same("/%252e%252e/%2525", "/%252e%252e/%2525");
    same("/%0a%1f%7f", "/%0A%1F%7F");
    same("/%5c", "/%5C");
}

#[test]
fn bytes_that_no_path_has_become_escapes() {
    same("/a|b\"<>^`{}[]", "/a%7Cb%22%3C%3E%5E%60%7B%7D%5B%5D");
    same("/a\\..\\b", "/a%5C..%5Cb");
    same("/é", "/%C3%A9");
    assert_eq!(normalize(b"/\xff", true).as_deref(), Ok("/%FF"));
}

#[test]
fn dot_segments_are_resolved() {
    same("/.", "/");
    same("/./", "/");
    same("/a/.", "/a/");
    same("/a/./b", "/a/b");
    same("/a/..", "/");
    same("/a/../", "/");
    same("/a/b/..", "/a/");
    same("/a/b/../../c", "/c");
    same("/a/../my/path", "/my/path");
    same("/a/%2e%2E/b", "/b");
    same("/a/.%2e/b", "/b");
    same("/a/%2e/b", "/a/b");
    same("/a/..%2Fb", "/a/..%2Fb");
    check("/a/b/..//c", Ok("/a/c"), Ok("/a//c"));
    for path in ["/..", "/../", "/../a", "/a/../..", "/a/../../b", "/%2e%2e", "/./.."] {
        bad(path, BadPath::AboveRoot);
    }
    for path in ["/a/..;/b", "/a/..;x=1", "/%2e%2e;/b", "/..;"] {
        bad(path, BadPath::DotParameters);
    }
}

#[test]
fn slashes_are_merged_before_dots_are_resolved() {
    check("//", Ok("/"), Ok("//"));
    check("/my//path", Ok("/my/path"), Ok("/my//path"));
    check("///a///", Ok("/a/"), Ok("///a///"));
    check("/a//../b", Ok("/b"), Ok("/a/b"));
    check("//..", Err(BadPath::AboveRoot), Ok("/"));
    check("/a//.", Ok("/a/"), Ok("/a//"));
    check("/a/.//b", Ok("/a/b"), Ok("/a//b"));
    check("/a/%2F/b", Ok("/a/%2F/b"), Ok("/a/%2F/b"));
}

#[test]
fn ambiguous_paths_are_refused() {
    for path in ["/%", "/%2", "/a%zz", "/%%32%46", "/%+1", "/%2 ", "/é%", "/%é"] {
        bad(path, BadPath::Escape);
    }
    bad("/a%00b", BadPath::Nul);
    for byte in (0..=b' ').chain([0x7f, b'#']) {
        bad(&format!("/a{}b", char::from(byte)), BadPath::Byte(byte));
    }
    for path in ["", "*", "a/b", "example.com:443", "http://a/b", "%2Fa", " /a"] {
        bad(path, BadPath::NotAbsolute);
    }
}

#[test]
fn a_target_is_forwarded_as_it_was_matched() {
    #[track_caller]
    fn check(raw: &str, path: &str, query: Option<&str>, forwarded: &str) {
        let target = Target::parse(raw.as_bytes(), true).unwrap();
        assert_eq!((&*target.path, target.query), (path, query.map(str::as_bytes)), "{raw}");
        assert_eq!(&*target.forwarded(), forwarded.as_bytes(), "{raw}");
        assert_eq!(matches!(target.forwarded(), Cow::Borrowed(_)), raw == forwarded, "{raw}");
    }
    check("/a?b=%2e%2E//../c", "/a", Some("b=%2e%2E//../c"), "/a?b=%2e%2E//../c");
    check("/a?", "/a", Some(""), "/a?");
    check("/a/../b?x?y", "/b", Some("x?y"), "/b?x?y");
    check("/%61", "/a", None, "/a");
    check("//a//?", "/a/", Some(""), "/a/?");
    assert_eq!(Target::parse(b"/a?b#c", true), Err(BadPath::Byte(b'#')));
    assert_eq!(Target::parse(b"/a?b c", true), Err(BadPath::Byte(b' ')));
    assert_eq!(Target::parse(b"?a", true), Err(BadPath::NotAbsolute));
    assert_eq!(split_target(b"/a%3Fb?c"), (&b"/a%3Fb"[..], Some(&b"c"[..])));
}

#[test]
fn a_rules_path_gets_the_same_form_and_is_never_refused() {
    #[track_caller]
    fn check(rule: &str, expected: &str) {
        let got = normalize_rule(rule);
        assert_eq!(got, expected, "{rule:?}");
        assert_eq!(matches!(got, Cow::Borrowed(_)), rule == expected || rule.is_empty(), "{rule:?}");
    }
    check("", "/");
    check("/a/b.c", "/a/b.c");
    check("/a b", "/a%20b");
    check("/caf\u{e9}", "/caf%C3%A9");
    check("/%7euser/%2f/%c3", "/~user/%2F/%C3");
    check("/100%", "/100%25");
    check("/%zz%é", "/%25zz%25%C3%A9");
    check("/a\n\0?b#c", "/a%0A%00%3Fb%23c");
    check("/a/../b//c/.", "/a/../b//c/.");
}

#[test]
fn a_script_sees_and_sets_decoded_paths() {
    #[track_caller]
    fn check(normal: &str, decoded: &[u8], encoded: &str) {
        let mut got = Vec::new();
        decode(normal, &mut got);
        assert_eq!(got, decoded, "{normal:?} decoded");
        assert_eq!(encode(decoded), encoded, "{:?} encoded", decoded.escape_ascii());
    }
    check("/a/b;c", b"/a/b;c", "/a/b;c");
    check("/a%20b%25%C3%A9%0A", b"/a b%\xc3\xa9\n", "/a%20b%25%C3%A9%0A");
    // One round each way: what was a percent sign in data stays one.
    check("/%252F", b"/%2F", "/%252F");
    // As in nginx, `%2F` is lost once a script has set the path that it read.
    check("/a%2Fb%3Fc", b"/a/b?c", "/a/b%3Fc");
    check("/%26", b"/&", "/&");
}
