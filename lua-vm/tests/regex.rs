//! `ngx.re.*` and the module `ngx.re` as scripts see them, in trusted and in hardened VMs.

#[path = "support/lua.rs"]
mod lua;

/// Prelude of the scripts: `show` prints values, tables of captures in order.
const SHOW: &str = r##"
local function text(v)
  if type(v) ~= "table" then return tostring(v) end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, k in ipairs(keys) do keys[i] = tostring(k) .. "=" .. text(v[k]) end
  return "{" .. table.concat(keys, " ") .. "}"
end
local function show(...)
  local n, t = select("#", ...), {}
  for i = 1, n do t[i] = text((select(i, ...))) end
  ngx.print(table.concat(t, ", "), "|")
end
"##;

/// Each script shows what it gets; both kinds of VM agree.
fn check(script: &str, expected: &str) {
    for trusted in [true, false] {
        let vm = lua::vm(trusted);
        let source = SHOW.replace('\n', " ") + script;
        let said = lua::run(&vm, &source).unwrap_or_else(|error| error);
        assert_eq!(said, expected, "trusted {trusted}: {script}");
    }
}

#[test]
fn captures() {
    check(r#"show(ngx.re.match("hello, 1234", "([0-9])[0-9]+"))"#, "{0=1234 1=1}|");
    check(r#"show(ngx.re.match("hello", "([0-9])"))"#, "nil|");
    check(r#"show(ngx.re.match("b", "(a)|(b)|(c)"))"#, "{0=b 1=false 2=b 3=false}|");
    check(
        r#"show(ngx.re.match("k=v", "(?<key>\\w)=(?<value>\\w)(?<rest>x)?", "jo"))"#,
        "{0=k=v 1=k 2=v 3=false key=k rest=false value=v}|",
    );
    check(
        r#"show(ngx.re.match("hello, 1234", "(?<n>[a-z]+), (?<n>[0-9]+)(?<n>x)?", "D"))"#,
        "{0=hello, 1234 1=hello 2=1234 3=false n={1=hello 2=1234}}|",
    );
    check(r#"show(ngx.re.match(12345, 34))"#, "{0=34}|");
    check(r#"show(ngx.re.match(nil, "n(i)l"))"#, "{0=nil 1=i}|");
    check(r#"show(ngx.re.match("aaa", "(a)+?", "d"))"#, "{0=aaa}|");
    check(
        r#"local t = {"x", "y", z = 1} show(ngx.re.match("ab", "(a)(b)", nil, nil, t) == t, t)"#,
        "true, {0=ab 1=a 2=b z=1}|",
    );
    check(
        r#"show(ngx.re.match("ABC\nd", "^abc$.d", "ims"), ngx.re.match("a b", "a # x\n \\s b", "x"))"#,
        "{0=ABC\nd}, {0=a b}|",
    );
    check(
        r#"show(ngx.re.match("é", "^.$", "u"), ngx.re.match("é", "^.$"), ngx.re.match("\xff", ".", "u"))"#,
        "{0=é}, nil, nil, pcre_exec() failed: -23|",
    );
}

#[test]
fn positions() {
    check(r#"local c = {pos = 3} show(ngx.re.match("1234, hello", "[0-9]+", "", c), c)"#, "{0=34}, {pos=5}|");
    check(r#"local c = {} show(ngx.re.match("ab", "b", "", c), c)"#, "{0=b}, {pos=3}|");
    check(r#"local c = {pos = 2} show(ngx.re.match("ab", "a", "", c), c)"#, "nil, {pos=2}|");
    check(r#"local c = {pos = 9} show(ngx.re.match("ab", "a", "", c))"#, "nil, pcre_exec() failed: -33|");
    check(
        r#"for _, p in ipairs{-1, 0, 0/0, 1.5, 2} do show((ngx.re.find("aa", "a", "a", {pos = p}))) end"#,
        "1|1|1|1|2|",
    );
    check(r#"show(ngx.re.find("hello, 1234", "([a-z]+)|([0-9]+)"))"#, "1, 5|");
    check(
        r#"for i = 0, 4 do show(ngx.re.find("b1", "(a)?([a-z])(x)?", nil, nil, i)) end"#,
        "1, 1|nil, nil|1, 1|nil, nil|nil, nil, nth out of bound|",
    );
    check(r#"local c = {} show(ngx.re.find("hello", "l+", "", c), c, ngx.re.find("x", "y"))"#, "3, {pos=5}, nil|");
}

#[test]
fn iterators() {
    check(r#"for m in ngx.re.gmatch("a1b22", "([a-z])([0-9])") do show(m) end"#, "{0=a1 1=a 2=1}|{0=b2 1=b 2=2}|");
    check(r#"for m in ngx.re.gmatch("ab", "b|") do show(m) end"#, "{0=}|{0=b}|{0=}|");
    check(r#"for m in ngx.re.gmatch("éa", "", "u") do show(m) end"#, "{0=}|{0=}|{0=}|");
    check(
        r#"local it = ngx.re.gmatch("ab", "a") it() show(it(), it(), getmetatable(it), next(it))"#,
        "nil, nil, false, nil|",
    );
    check(r#"local it = ngx.re.gmatch("\xff", ".", "u") show(it()) show(it())"#, "nil, pcre_exec() failed: -23|nil|");
    check(r#"show(ngx.re.gmatch("a", "("))"#, "nil, pcre2_compile() failed: missing closing parenthesis in \"(\"|");
}

#[test]
fn substitutions() {
    check(r#"show(ngx.re.sub("hello, 1234", "([0-9])[0-9]", "[$0][$1]"))"#, "hello, [12][1]34, 1|");
    check(r#"show(ngx.re.gsub("hello, world", "([a-z])[a-z]+", "[$0,${1}]", "i"))"#, "[hello,h], [world,w], 2|");
    check(r#"show(ngx.re.gsub("a", "b", "c"))"#, "a, 0|");
    check(r#"show(ngx.re.sub("ab", "a", 7))"#, "7b, 1|");
    check(r#"show(ngx.re.sub("ab", "a", "$x"))"#, "nil, nil, failed to compile the replacement template|");
    check(
        r#"show(ngx.re.sub("ab", "(", "x"))"#,
        "nil, nil, pcre2_compile() failed: missing closing parenthesis in \"(\"|",
    );
    check(r#"show(ngx.re.gsub("aé", "", "-", "u"))"#, "-a-é-, 3|");
    check(r#"show(ngx.re.gsub("a,b", "[a-z]", function(m) return m[0]:upper() .. "$0" end))"#, "A$0,B$0, 2|");
    check(r#"show(ngx.re.sub("abab", "b", function(m) return nil end))"#, "anilab, 1|");
    check(r#"show(ngx.re.gsub("aé", "", function() return "-" end, "u"))"#, "-a-é-, 3|");
    check(
        r#"show(ngx.re.gsub("a1b2", "([a-z])([0-9])", function(m)
               ngx.sleep(0.001)
               return ngx.re.gsub(m[0], "[a-z]", function(n) return n[0] .. m[2] end) .. "!"
             end))"#,
        "a11!b22!, 2|",
    );
    check(
        r#"show(pcall(ngx.re.gsub, "ab", "a", function() error("no", 0) end)) show(ngx.re.gsub("ab", "a", "x"))"#,
        "false, no|xb, 1|",
    );
}

#[test]
fn errors() {
    check(
        r#"show(ngx.re.match("a", "a)b"))"#,
        "nil, pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\"|",
    );
    check(
        r#"show(ngx.re.find("a", "a)"))"#,
        "nil, nil, pcre2_compile() failed: unmatched closing parenthesis in \"a)\" at \")\"|",
    );
    for (script, error) in [
        (r#"ngx.re.match("a", "a", "jH")"#, "unknown flag \"H\" (flags \"jH\")"),
        (r#"ngx.re.gsub("a", "a", "b", "H")"#, "unknown flag \"H\" (flags \"H\")"),
        (r#"ngx.re.match("a")"#, "bad argument #2 to 'match' (string expected, got nil)"),
        (r#"ngx.re.find("a", {})"#, "bad argument #2 to 'find' (string expected, got table)"),
        (r#"ngx.re.match("a", "a", 1)"#, "bad argument #3 to 'match' (string expected, got number)"),
        (r#"ngx.re.sub("a", "a", "b", 1)"#, "bad argument #4 to 'sub' (string expected, got number)"),
        (r#"ngx.re.match("a", "a", "", 1)"#, "bad argument #4 to 'match' (table expected, got number)"),
        (r#"ngx.re.match("a", "a", "", nil, 1)"#, "bad argument #5 to 'match' (table expected, got number)"),
    ] {
        check(script, &format!("test:1: {error}"));
    }
}

#[test]
fn splitting() {
    let cases = [
        (r#""a,b,c,d", ",""#, "a b c d"),
        (r#""a,b,c,d", ",", nil, nil, 2"#, "a b,c,d"),
        (r#""a,b,c,d", ",", nil, {pos = 3}"#, "b c d"),
        (r#""a,b,,", ",""#, "a b"),
        (r#""a,b,,", ",", nil, nil, 9"#, "a b <> <>"),
        (r#"",a", ",""#, "<> a"),
        (r#""abc", """#, "a b c"),
        (r#""abc", "", nil, nil, 2"#, "a bc"),
        (r#""a;b,c", "([;,])""#, "a ; b , c"),
        (r#""abc", "x""#, "abc"),
        (r#""", ",""#, ""),
        (r#"",,", ",""#, ""),
        (r#""ab", "", nil, {pos = 7}"#, ""),
    ];
    for (args, parts) in cases {
        let script = format!(
            r#"local t = require("ngx.re").split({args})
               for i = 1, #t do if t[i] == "" then t[i] = "<>" end end ngx.print(table.concat(t, " "))"#
        );
        check(&script, parts);
    }
    check(
        r#"show(require("ngx.re").split("a", "("))"#,
        "nil, pcre2_compile() failed: missing closing parenthesis in \"(\"|",
    );
    check(
        r#"show(pcall(require("ngx.re").opt, "jit_stack_size", 200000), pcall(require("ngx.re").opt, "x", 1))"#,
        "true, false, unrecognized option name|",
    );
}

#[test]
fn many_patterns_and_stale_ones() {
    // More than are kept, used again after they were evicted, also from inside an iterator.
    check(
        r#"local it = ngx.re.gmatch("b1b2", "b(\\d)")
           it()
           for i = 1, 3000 do
             if not ngx.re.match("x" .. i, "x" .. i .. "$") then show("lost", i) end
           end
           show(it()) show(ngx.re.sub("x1", "x1$", "y")) show(ngx.re.match("x2", "x2$"))"#,
        "{0=b2 1=2}|y, 1|{0=x2}|",
    );
}

#[test]
fn a_namespaces_match_cannot_hang() {
    for (script, error) in [
        (r#"return ngx.re.match(("a"):rep(5000) .. "b", "^(a+)+$")"#, "-47"),
        (r#"return ngx.re.gsub(("a"):rep(5000) .. "b", "^(a+)+$|[cd]", "x")"#, "-47"),
    ] {
        let vm = lua::vm(false);
        let said = lua::run(&vm, &format!("local m, n, err = (function() {script} end)() ngx.print(err or n)"));
        assert_eq!(said, Ok(format!("pcre_exec() failed: {error}")), "{script}");
    }
}

/// Calls `f` from a function that the compiler must not touch, and tells what the compiler made of `f`.
const COMPILED: &str = r#"
local function harness(f, ...)
  local begun, made, given_up, last = 0, 0, 0, nil
  local function on_trace(what, trace, func, pc, other)
    if what == "start" then
      last = func == f and not other and trace or nil
      if last then begun = begun + 1 end
    elseif what == "stop" and trace == last then made = made + 1
    elseif what == "abort" and trace == last then given_up = given_up + 1 end
  end
  local function call(...) for i = 1, 400 do f(...) end end
  jit.off(call)
  jit.attach(on_trace, "trace")
  call(...)
  jit.attach(on_trace)
  ngx.print(begun, made, given_up)
end
"#;

#[test]
fn each_function_compiles_alone() {
    for call in [
        r#"ngx.re.find, "a1b22", "[0-9]+", "jo""#,
        r#"ngx.re.find, "abc", "[0-9]+", "jo""#,
        r#"ngx.re.match, "a1b22", "[0-9]+", "jo""#,
        r#"ngx.re.match, "abc", "[0-9]+", "jo""#,
        r#"ngx.re.gsub, "a1b22", "[0-9]+", "-", "jo""#,
    ] {
        let said = lua::run(&lua::vm(true), &format!("{COMPILED} harness({call})"));
        assert_eq!(said, Ok("110".into()), "{call}: traces begun, made, given up");
    }
}
