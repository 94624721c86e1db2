use super::check;

/// Chunks that LuaJIT compiles.
const RIGHT: &[&str] = &[
    "",
    "local config, meta = ...",
    "return",
    "return;",
    "return 1, 2",
    "#!/usr/bin/env luajit\nreturn 1",
    "\u{feff}return 1",
    "x = 1; y = 2;",
    "x, y.z, t[1] = f()",
    "f'text' f{1} f[[long]] a.b.c:d(1)(2).e = 3",
    "x = {1, 2; 3, [4] = 5, six = 7, f(), ...,}",
    "x = #t .. -1 ^ 2 ^ not y",
    "x = 0x10, 0xA.8p-1, 1e+3, .5, 3., 0b101, 1LL, 0xffULL, 0b1ll, 2i, 1.5i, 0xep+1",
    "x = 'a\\x41\\065\\z   \n b\\u{7f}\\\n c\\n'",
    "x = [==[ ]] ]=] ]==] -- comment\n--[[ long\n]] y = 1 --[==[ ]] ]==]",
    "for i = 1, 10, 2 do break end for k, v in pairs(t) do if k then break else f() end end",
    "for i = 1, 3 do for j = 1, 3 do if j == 2 then goto continue end f() ::continue:: end end",
    "repeat local x = f() until x",
    "goto done; local x ::done::",
    "do goto a end ::a:: f()",
    "::a:: do ::a:: end",
    "while true do goto out end ::out::",
    "local function f(a, b, ...) return f(...) end function a.b.c:d() return self end",
    "local goto = 1",
    "if a then elseif b then elseif c then else end",
    "é = 1",
    "return function(...) return ... end",
    "x = a & b | c ~ ~d << 1 >> 2 ~>> 3; y = a != b && !c || d ?? e",
    "x += 1; t.x ..= 'a'; t[1] ~= 2; x <<= 1 x ~>>= 1",
    "x = a ? b : c ? d.e : f; x = a ? (b:c()) : d:e()",
    "x = a?.b?.c[1]?.[2]:d?.(1)?.(2); a?.b?.()",
    "map(x -> x + 1, |a, b, ...| -> a < b, || -> do return 1 end, |a| -> b -> a(b))",
    "const limit = 1; const function f() return limit end; local const, continue = 1, 2; const = continue",
    "for i = 1, 3 do if i == 2 then continue end f(i) end",
    "x = 1_000_000 + 0x_ff + 1_0e1_0",
    "goto continue ::continue::",
];

/// Chunks that it refuses: line, column, and what the message has.
const WRONG: &[(&str, u32, u32, &str)] = &[
    ("x =", 1, 4, "unexpected symbol near '<eof>'"),
    ("x = 1 y", 1, 8, "'=' expected near '<eof>'"),
    ("if x then\n  f()\n", 3, 1, "'end' expected (to close 'if' at line 1) near '<eof>'"),
    ("f(1,\n2", 2, 2, "')' expected (to close '(' at line 1) near '<eof>'"),
    ("local x = {1, 2", 1, 16, "'}' expected near '<eof>'"),
    ("return 1 f()", 1, 10, "'<eof>' expected near 'f'"),
    ("break", 1, 1, "break outside a loop"),
    ("while x do local f = function() break end end", 1, 33, "break outside a loop"),
    ("function f() return ... end", 1, 21, "cannot use '...' outside a vararg function"),
    ("goto nowhere", 1, 6, "undefined label 'nowhere'"),
    ("do ::a:: end goto a", 1, 19, "undefined label 'a'"),
    ("local f = function() goto a end ::a::", 1, 27, "undefined label 'a'"),
    ("goto a\nlocal x\n::a:: f(x)", 1, 6, "<goto a> jumps into the scope of local 'x'"),
    ("repeat goto a; local x ::a:: until x", 1, 13, "<goto a> jumps into the scope of local 'x'"),
    ("::a:: ::a::", 1, 9, "duplicate label 'a'"),
    ("f() = 1", 1, 5, "syntax error near '='"),
    ("(f) = 1", 1, 5, "syntax error near '='"),
    ("a, f() = 1", 1, 8, "syntax error near '='"),
    ("a", 1, 2, "'=' expected near '<eof>'"),
    ("a.b", 1, 4, "'=' expected near '<eof>'"),
    ("x = 3..2", 1, 5, "malformed number near '3..2'"),
    ("x = 0x", 1, 5, "malformed number near '0x'"),
    ("x = 1.5LL", 1, 5, "malformed number near '1.5LL'"),
    ("x = 1e", 1, 5, "malformed number near '1e'"),
    ("x = 0b2", 1, 5, "malformed number near '0b2'"),
    ("x = 1foo", 1, 5, "malformed number near '1foo'"),
    ("x = 'abc\n'", 1, 5, "unfinished string: no ' on this line"),
    ("x = \"\\q\"", 1, 6, "invalid escape sequence: write \\\\ for a backslash"),
    ("x = '\\256'", 1, 6, "no byte is above \\255"),
    ("x = '\\u{110000}'", 1, 6, "write \\u{0} to \\u{10FFFF}"),
    ("x = [[ a", 1, 5, "unfinished long string: no ]] follows"),
    ("--[==[ a", 1, 1, "unfinished long comment: no ]==] follows"),
    ("x = [=", 1, 5, "invalid long string delimiter"),
    ("x = a // b", 1, 8, "unexpected symbol near '/'"),
    ("x + = 1", 1, 3, "'=' expected near '+'"),
    ("x ^= 1", 1, 3, "'=' expected near '^'"),
    ("x, y += 1", 1, 6, "'=' expected near '+'"),
    ("x = a ? b:c() : d", 1, 18, "function arguments expected near '<eof>'"),
    ("a?.b, c = 1, 2", 1, 5, "syntax error near ','"),
    ("x = a ? b", 1, 10, "':' expected near '<eof>'"),
    ("x = @", 1, 5, "unexpected symbol near '@'"),
    ("f -> 1", 1, 3, "'=' expected near '->'"),
    ("x = |a -> 1", 1, 8, "'|' expected near '->'"),
    ("const a = 1\na = 2", 2, 1, "attempt to assign to const variable 'a'"),
    ("const a = 1\nlocal a = 2", 2, 7, "attempt to re-declare const variable 'a'"),
    ("const function f() end function f() end", 1, 33, "attempt to assign to const variable 'f'"),
    ("do continue end", 1, 4, "continue outside a loop"),
    ("local x <const> = 1", 1, 9, "unexpected symbol near '<'"),
    ("function f(a,) end", 1, 14, "'<name>' expected near ')'"),
    ("function f(..., a) end", 1, 15, "')' expected near ','"),
    ("for i do end", 1, 7, "'=' or 'in' expected near 'do'"),
    ("x = {,}", 1, 6, "unexpected symbol near ','"),
    ("local a.b = 1", 1, 8, "unexpected symbol near '.'"),
    ("x = f:g", 1, 8, "function arguments expected near '<eof>'"),
    ("local ñ = 1\nlocal é = = 2", 2, 11, "unexpected symbol near '='"),
    ("end", 1, 1, "'<eof>' expected near 'end'"),
    ("\u{1b}LJ\u{2}", 1, 1, "precompiled bytecode is refused"),
    ("#\n\u{1b}LJ\u{2}", 1, 2, "precompiled bytecode is refused"),
];

#[test]
fn lua_that_luajit_compiles_is_accepted() {
    for source in RIGHT {
        assert_eq!(check(source), Ok(()), "{source}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (source, line, column, message) in WRONG {
        let problem = check(source).expect_err(source);
        assert_eq!((problem.line, problem.column), (*line, *column), "{source}: {problem}");
        assert!(problem.message.contains(message), "{source}: {problem}");
    }
}

/// No nesting overflows the stack of a thread as small as the standard library makes them for tests.
#[test]
fn deep_nesting_is_refused_and_does_no_harm() {
    let deep = 100_000;
    for open in [
        "(",
        "{",
        "x[",
        "f(",
        "do ",
        "if x then ",
        "while x do ",
        "function() ",
        "- ",
        "not ",
        "a..",
        "2^",
        "{x=",
        "a ? ",
        "a ? b : ",
        "x -> ",
        "|| -> do ",
        "f?.",
    ] {
        let source = format!("x = {}", open.repeat(deep));
        assert!(check(&source).is_err(), "{open}");
        let statement = open.repeat(deep);
        assert!(check(&statement).is_err(), "{open}");
    }
    let nested = |n: usize| format!("x = {}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(check(&nested(190)), Ok(()));
    assert!(check(&nested(201)).unwrap_err().message.contains("more than 200"));
}

/// Work grows with the text and not with its square: each of these took minutes if it did not.
#[test]
fn long_chunks_are_read_in_linear_time() {
    let names = |n: usize| (0..n).map(|i| format!("::l{i}::")).collect::<String>();
    let locals = (0..190).map(|i| format!("local v{i};")).collect::<String>();
    for source in [
        format!("x = 1{}", " + 1".repeat(200_000)),
        format!("x = f{}", "()".repeat(400_000)),
        format!("x = a{}", ".b".repeat(400_000)),
        format!("x = {{{}}}", "1,".repeat(400_000)),
        format!("if x then {} end", "elseif y then ".repeat(60_000)),
        format!("{locals}{}", "v0=v189;".repeat(100_000)),
        names(80_000),
        "f() ".repeat(200_000),
    ] {
        assert_eq!(check(&source), Ok(()), "{}", &source[..60]);
    }
}

#[test]
fn luajits_limits_hold() {
    let locals = |n: usize| (0..n).map(|i| format!("local v{i}\n")).collect::<String>();
    assert_eq!(check(&locals(200)), Ok(()));
    assert_eq!(check(&locals(201)).unwrap_err().line, 201);
    assert_eq!(check(&format!("do {} end {}", locals(150), locals(150))), Ok(()));
    let upvalues = |n: usize| {
        let reads = (0..n).map(|i| format!("f(v{i})\n")).collect::<String>();
        format!("{}return function() {reads} end", locals(100))
    };
    assert_eq!(check(&upvalues(60)), Ok(()));
    assert!(check(&upvalues(61)).unwrap_err().message.contains("more than 60 upvalues"));
    assert!(check(&" ".repeat(super::SCRIPT_BYTES_MAX + 1)).is_err());
}

proptest::proptest! {
    /// Any text has an end and a place for its problem within it; what compiles, compiles with more behind it.
    #[test]
    fn any_text_is_read_to_its_end(parts in proptest::collection::vec(0..RIGHT.len() + 12, 0..8), cut in 0..60_usize) {
        const BITS: [&str; 12] = ["end ", "(", ")", "\"", "[[", "--[[", " = ", "do ", "é", "\\", "? ", "-> "];
        let text = |part: &usize| RIGHT.get(*part).copied().unwrap_or_else(|| BITS[*part - RIGHT.len()]);
        let whole: String = parts.iter().map(text).collect();
        let source: String = whole.chars().take(whole.chars().count().saturating_sub(cut)).collect();
        match check(&source) {
            Ok(()) => proptest::prop_assert_eq!(check(&format!("do {source}\nend")).is_ok(), !source.starts_with(['#', '\u{feff}'])),
            Err(problem) => {
                proptest::prop_assert!((1..=source.lines().count().max(1) + 1).contains(&(problem.line as usize)), "{}", problem);
            }
        }
    }
}
