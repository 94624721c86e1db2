//! The engine below the prelude; what scripts see is tested in `tests/regex.rs`.

use std::cell::Cell;
use std::ffi::c_void;

use super::*;

fn regexes(limits: Limits) -> Regexes {
    Regexes::new(limits)
}

/// Limits of a namespace: `asked` counts the questions, and the answer is yes from the `due`th on.
fn watched(state: &(Cell<u64>, u64), match_limit: u32) -> Limits {
    unsafe fn ask(state: *const c_void) -> bool {
        // SAFETY: the test's own, which outlives the regexes.
        let (asked, due) = unsafe { &*state.cast::<(Cell<u64>, u64)>() };
        asked.set(asked.get() + 1);
        asked.get() >= *due
    }
    let interrupted = Some(Interrupt { ask, arg: (&raw const *state).cast() });
    Limits { match_limit, interrupted, ..Limits::default() }
}

fn exec(regexes: &mut Regexes, pattern: &str, options: &str, subject: &[u8], start: usize) -> (i32, Vec<i32>) {
    let id = regexes.compile(pattern.as_bytes(), options.as_bytes()).unwrap();
    let rc = regexes.exec(id, subject, start).unwrap();
    (rc, regexes.offsets().to_vec())
}

#[test]
fn the_bundled_pcre2_with_its_jit() {
    let mut jit = 0_u32;
    let mut version = [0_u8; 64];
    // SAFETY: the types and sizes that PCRE2 documents for these two.
    unsafe {
        pcre2_sys::pcre2_config_8(pcre2_sys::PCRE2_CONFIG_JIT, (&raw mut jit).cast());
        pcre2_sys::pcre2_config_8(pcre2_sys::PCRE2_CONFIG_VERSION, (&raw mut version).cast());
    }
    assert_eq!(jit, 1);
    assert!(version.starts_with(b"10.4"), "{}", String::from_utf8_lossy(&version));
}

#[test]
fn offsets() {
    for limits in [Limits::default(), watched(&(Cell::new(0), u64::MAX), 0)] {
        let mut re = regexes(limits);
        assert_eq!(exec(&mut re, "(a)|(b)(c)?", "", b"xb", 0), (3, vec![1, 2, -1, -1, 1, 2, -1, -1]));
        assert_eq!(exec(&mut re, "(a)|(b)(c)?", "", b"xb", 2), (NO_MATCH, vec![]));
        assert_eq!(exec(&mut re, "b", "a", b"xb", 0), (NO_MATCH, vec![]));
        assert_eq!(exec(&mut re, "b", "a", b"xb", 1), (1, vec![1, 2]));
        assert_eq!(exec(&mut re, "", "", b"ab", 2), (1, vec![2, 2]));
        assert_eq!(exec(&mut re, "", "", b"ab", 3).0, -33);
        assert_eq!(exec(&mut re, "a+?", "d", b"xaaa", 0), (1, vec![1, 4]));
        assert_eq!(exec(&mut re, ".", "u", b"\xff", 0).0, -23);
        assert_eq!(exec(&mut re, "é", "U", b"\xff\xc3\xa9\xc3", 0), (1, vec![1, 3]));
        assert_eq!(exec(&mut re, ".", "dU", b"\xff", 0).0, -23);
    }
}

#[test]
fn errors_of_patterns() {
    let check = |pattern: &str, options: &str, error: CompileError| {
        let mut re = regexes(Limits::default());
        assert_eq!(re.compile(pattern.as_bytes(), options.as_bytes()), Err(error), "{pattern}");
        assert_eq!(re.len(), 0);
    };
    let refused = |text: &str| CompileError::Return(format!("pcre2_compile() failed: {text}"));
    check("(abc", "", refused("missing closing parenthesis in \"(abc\""));
    check("abc)d", "", refused("unmatched closing parenthesis in \"abc)d\" at \")d\""));
    check("a{2,1}b", "", refused("numbers out of order in {} quantifier in \"a{2,1}b\" at \"}b\""));
    check("a", "xXy", CompileError::Raise("unknown flag \"X\" (flags \"xXy\")".into()));
    let too_large = regexes(Limits::default()).compile(b"(((a{1000}){1000}){1000})", b"").unwrap_err();
    assert!(matches!(&too_large, CompileError::Return(text) if text.contains("too large")), "{too_large:?}");
}

#[test]
fn what_would_run_for_years_ends() {
    let many = "a".repeat(64);
    let long = "a".repeat(200_000);
    let nested = "[".repeat(100_000);
    let cases: &[(&str, &str, &str)] = &[
        ("^(a+)+$", "", &format!("{}b", &many[..40])),
        ("(a?){40}a{40}[bc]", "", &many),
        ("a*a*a*a*a*a*a*a*a*[bc]", "", &many),
        ("(?:a*?a*+)*[bc]", "", &long),
        ("a*[bc]", "", &long),
        ("(?=.*x|.*y|.*[zw])a", "", &long),
        ("(a|b|ab)*[cd]", "d", &long),
        (r"(\[(?:[^\[\]]|(?1))*\])", "", &nested),
        ("(*COMMIT)a*[bc]|a*[de]", "", &long),
    ];
    for (pattern, options, subject) in cases {
        let state = (Cell::new(0), 3000);
        let mut re = regexes(watched(&state, 0));
        let (rc, _) = exec(&mut re, pattern, options, subject.as_bytes(), 0);
        // By the question, or because it was found hopeless earlier.
        assert!(rc < 0, "{pattern}: {rc}");
        assert!(state.0.get() <= 3000, "{pattern} asked {} times", state.0.get());
    }
    let state = (Cell::new(0), 3000);
    let mut re = regexes(watched(&state, 0));
    assert_eq!(exec(&mut re, "^(a+)+$", "", format!("{many}b").as_bytes(), 0).0, MATCH_LIMIT);
    assert_eq!(state.0.get(), 3000);
}

#[test]
fn the_match_limit_is_the_same_however_long_the_subject() {
    for length in [30, 3000] {
        let subject = format!("{}b", "a".repeat(length));
        for limits in [Limits { match_limit: 1000, ..Limits::default() }, watched(&(Cell::new(0), u64::MAX), 1000)] {
            assert_eq!(exec(&mut regexes(limits), "^(a+)+$", "", subject.as_bytes(), 0).0, MATCH_LIMIT);
        }
    }
}

#[test]
fn a_deep_match_outgrows_the_jits_stack() {
    let mut re = regexes(Limits::default());
    assert!(re.set_jit_stack(0));
    let subject = "ab".repeat(20_000);
    let (rc, offsets) = exec(&mut re, "^(?:(?:a|b)(?:(a)|b))*$", "", subject.as_bytes(), 0);
    assert_eq!((rc, &offsets[..2]), (1, &[0, 40_000][..]));
}

#[test]
fn the_cache_evicts_what_was_used_least_recently() {
    let mut re = regexes(Limits { cache_entries: 3, ..Limits::default() });
    let ids = ["a", "b", "c"].map(|pattern| re.compile(pattern.as_bytes(), b"").unwrap());
    assert_eq!(re.compile(b"a", b"jo"), Ok(ids[0]), "j and o make no other pattern");
    assert!(re.exec(ids[1], b"b", 0).is_some());
    let d = re.compile(b"d", b"").unwrap();
    assert_eq!(ids.map(|id| re.exec(id, b"a", 0).is_some()), [true, true, false]);
    let e = re.compile(b"a", b"i").unwrap();
    assert_eq!([ids[0], ids[1], d, e].map(|id| re.get(id).is_some()), [true, true, false, true]);
    assert_eq!(re.len(), 3);
    assert_eq!([Id(-1), Id(i32::MAX), Id(i32::MIN), Id(0)].map(|id| re.get(id).is_some()), [false; 4]);

    let mut re = regexes(Limits { cache_bytes: 100_000, ..Limits::default() });
    for at in 0..200 {
        re.compile(format!("(foo|bar){at}").as_bytes(), b"").unwrap();
        assert!(re.bytes() <= 100_000);
    }
    assert!(re.len() < 200 && re.len() > 5, "{}", re.len());
}

#[test]
fn substitution() {
    let check =
        |subject: &str, pattern: &str, replacement: &str, global: bool, expected: Result<(&str, usize), SubError>| {
            let mut re = regexes(Limits { output: 100, ..Limits::default() });
            let id = re.compile(pattern.as_bytes(), b"").unwrap();
            let mut out = Vec::new();
            let result = re.sub(id, subject.as_bytes(), replacement.as_bytes(), global, usize::MAX, &mut out);
            let expected = expected.map(|(text, count)| (text.to_owned(), count));
            let result = result.map(|count| (String::from_utf8(out).unwrap(), count));
            assert_eq!(result, expected, "{subject} {pattern} {replacement}");
        };
    check("hello, 1234", "[0-9]([0-9])", "[$0][$1]", false, Ok(("hello, [12][2]34", 1)));
    check("hello, 1234", "[0-9]([0-9])", "[$0][${1}x]", true, Ok(("hello, [12][2x][34][4x]", 2)));
    check("hello", "x", "y", true, Ok(("", 0)));
    check("abcd", "a|(c)", "<$1$2$99999999999999999999>", true, Ok(("<>b<c>d", 2)));
    check("ab", "", "-", true, Ok(("-a-b-", 3)));
    check("", "", "-", true, Ok(("-", 1)));
    check("abc", "b|$", "$$", true, Ok(("a$c$", 2)));
    check("aXb", "X", "$$1${0}", true, Ok(("a$1Xb", 1)));
    check("abc", "b", "", true, Ok(("ac", 1)));
    for bad in ["$", "a$", "$x", "${", "${1", "${x}", "${}", "$-"] {
        check("abc", "b", bad, true, Err(SubError::Template));
    }
    check(&"a".repeat(60), "a", "$0$0", true, Err(SubError::Memory));
    check(&"a".repeat(60), "b$", "", true, Ok(("", 0)));
}
