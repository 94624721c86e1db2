//! The string functions of namespaces against LuaJIT's own, which a trusted VM has; and that they end.

#[path = "support/lua.rs"]
mod lua;

use std::time::Duration;

/// Prints all results of a call, or its error.
const SHOW: &str = r##"
local function show(...)
  local n, t = select("#", ...), {}
  for i = 1, n do t[i] = type((select(i, ...))):sub(1, 1) .. tostring((select(i, ...))) end
  ngx.print(table.concat(t, ","), "\n")
end
local function all(s, p)
  local t = {}
  for a, b in s:gmatch(p) do t[#t + 1] = tostring(a) .. "/" .. tostring(b) end
  return table.concat(t, " ")
end
"##;

/// Both kinds of VM say the same; what they say.
fn both(script: &str) -> String {
    let source = SHOW.replace('\n', " ") + script;
    let [theirs, ours] = [true, false].map(|trusted| lua::run(&lua::vm(trusted), &source));
    let [theirs, ours] = [theirs, ours].map(|said| said.unwrap_or_else(|error| error));
    // Of long texts the first difference, with the line that says what it is about.
    let mut about = "";
    for (their, our) in theirs.lines().zip(ours.lines()) {
        about = if their.starts_with("case ") { their } else { about };
        assert_eq!(our, their, "{about} in {}", script.chars().take(500).collect::<String>());
    }
    assert_eq!(ours, theirs);
    ours
}

/// A Lua literal for any bytes.
fn quote(bytes: &[u8]) -> String {
    let text = bytes.iter().map(|&byte| match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\{byte:03}"),
    });
    format!("\"{}\"", text.collect::<String>())
}

/// Numbers without order that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn text(&mut self) -> Vec<u8> {
        let pieces = ["a", "b", "ab", "(", ")", "1", " ", "-", "\0", "\u{e9}", "A", "]", "%", "\n", "x=1"];
        (0..self.below(8)).flat_map(|_| self.pick(&pieces).bytes().collect::<Vec<_>>()).collect()
    }

    /// Mostly well-formed; the items are also put together so that it is not.
    fn pattern(&mut self) -> Vec<u8> {
        let items = [
            "a", "b", ".", "%a", "%A", "%d", "%s", "%S", "%w", "%p", "%z", "%c", "%x", "%%", "%-", "[ab]", "[^a]",
            "[a-y]", "[%a_]", "[]]", "[^]]", "[%]]", "[a-]", "[a-%%]", "%b()", "%bxy", "%f[%w]", "%f[^a]", "%1", "%2",
            "()", "\u{e9}", " ", "-", "$", "^", "1", "%", "[", "]", "(", ")", "%f", "%b", "%b(", "%0", "%9", "\0",
            "%u", "%l", "%g", "%G",
        ];
        let quantifiers = ["", "", "", "*", "+", "-", "?", "**"];
        let mut pattern = String::new();
        if self.below(6) == 0 {
            pattern.push('^');
        }
        let mut open = 0;
        for _ in 0..self.below(6) {
            if self.below(5) == 0 {
                pattern.push('(');
                open += 1;
            }
            // The malformed ones are at the end of the list and rarer.
            let count = if self.below(12) == 0 { items.len() } else { 33 };
            pattern.push_str(items[self.below(count)]);
            pattern.push_str(self.pick(&quantifiers));
            if open > 0 && self.below(3) == 0 {
                pattern.push(')');
                open -= 1;
            }
        }
        if self.below(10) > 0 {
            pattern.push_str(&")".repeat(open));
        }
        if self.below(6) == 0 {
            pattern.push('$');
        }
        pattern.into_bytes()
    }
}

#[test]
fn random_patterns_do_what_luajit_does() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60 {
        let cases: String = (0..200)
            .map(|_| {
                let (text, pattern) = (random.text(), random.pattern());
                let replacement = random.pick(&["<%0>", "<%1>", "%2", "x", "%%", "%", "%a", ""]);
                let init = random.below(14) as i32 - 5;
                format!("{{{}, {}, {init}, {}}},", quote(&text), quote(&pattern), quote(replacement.as_bytes()))
            })
            .collect();
        both(&format!(
            r#"for _, c in ipairs{{{cases}}} do
                 local s, p, i, r = c[1], c[2], c[3], c[4]
                 ngx.print(("case %q %q %d %q"):format(s, p, i, r):gsub("\\n", "n"), "\n")
                 show(pcall(string.find, s, p, i)) show(pcall(string.find, s, p, i, true)) show(pcall(string.match, s, p, i))
                 show(pcall(all, s, p)) show(pcall(string.gsub, s, p, r)) show(pcall(string.gsub, s, p, r, i))
                 show(pcall(string.gsub, s, p, {{a = 1, b = true, [1] = false}}))
                 show(pcall(string.gsub, s, p, function(...) return select('#', ...) > 1 and ... or nil end))
               end"#
        ));
    }
}

#[test]
fn classes_of_all_bytes() {
    both(
        r#"for class in ("acdglpsuwxzACDGLPSUWXZqe@[%]"):gmatch(".") do
             for byte = 0, 255 do show(class, byte, pcall(string.find, string.char(byte), "%" .. class)) end
           end"#,
    );
}

#[test]
fn arguments() {
    for script in [
        "string.find({}, 'a')",
        "string.find('a', nil)",
        "string.match('a')",
        "string.gmatch('a', nil)",
        "string.gmatch({}, 'a')",
        "for w in string.gmatch('a', '(') do end",
        "local it = string.gmatch('a', '(') show(pcall(it))",
        "for a in string.gmatch(1212, 2) do show(a) end",
        "string.gsub('a', 'a')",
        "string.gsub('a', 'a', true)",
        "string.gsub('a', 'a', 'b', {})",
        "string.find('a', 'a', 'x')",
        "('x'):match(('%d'):rep(3) .. '[')",
        "show(string.find(12345, 34)) show(string.match(12345, '%d', '3')) show(string.gsub(111, 1, 2, 2))",
        "show(string.find('abc', 'b', -1e10)) show(string.find('abc', 'b', 2^31)) show(string.find('abc', 'b', 1e300))",
        "show(string.find('abc', '', 10)) show(string.find('abc', '', -10)) show(string.find('abc', '', 4))",
        "show(string.find('abc', 'b', nil, 1)) show(string.find('a.c', '.', 1, false)) show(string.find('a.c', '.', 2, true))",
        "show(string.find('a\\0b', '\\0')) show(string.find('a\\0b', '\\0', 1, true)) show(string.find('a\\0b.', '\\0b%.'))",
        "show(string.gsub('abc', '', '-')) show(string.gsub('abc', 'b*', '-')) show(string.gsub('abc', '^a', '-'))",
        "show(string.gsub('hello world', '%w+', '%0 %0', 1)) show(string.gsub('abc', '%w', '%%%0')) show(string.gsub('abc', 'b', '%'))",
        "show(string.gsub('abc', 'b', {b = {}}))",
        "show(string.gsub('abc', 'b', function() return print end))",
        "show(string.gsub('abc', '()', '%1')) show(string.gsub('abc', '(b)', {b = 7})) show(string.gsub('abc', 'b', function() end))",
        "show(string.gsub('abc', '(a', 'x'))",
        "show(string.find('abc', '(()b)'))",
        "show(pcall(string.find, ('a'):rep(300), ('a?'):rep(300)))",
        "show(pcall(string.find, 'a', ('(a)'):rep(33)))",
        "show(pcall(string.match, 'abc', '(%1)'))",
        "local it = string.gmatch('ab', '()') show(it()) show(it()) show(it()) show(it()) show(it())",
        "show(type(string.gmatch('a', '^a'))) show(all('^a', '^a'))",
        "show(('x'):rep(600):gsub('x', 'yy'))",
    ] {
        both(script);
    }
    // Only here the texts differ: these are Lua functions, which cannot tell nil from nothing.
    for script in ["string.find('a')", "string.gmatch()"] {
        let [theirs, ours] = [true, false].map(|trusted| lua::run(&lua::vm(trusted), script).unwrap_err());
        assert_eq!(theirs.replace("no value", "nil"), ours);
    }
    assert_eq!(both("string.find('a', {})"), "test:1: bad argument #2 to 'find' (string expected, got table)");
    assert_eq!(both("local s = 'a' s:match('[')"), "test:1: malformed pattern (missing ']')");
}

#[test]
fn plain_searches_in_long_strings() {
    let said = both(
        r#"local s = ("a"):rep(200000) .. "b" .. ("a"):rep(1000)
           show(s:find("ab", 1, true)) show(s:find("ab")) show(s:find(("a"):rep(500) .. "b")) show(s:find("", 300000, true))
           show(s:find("a", -5, true)) show(s:find("c", 1, true)) show(s:match("b(a*)$") == ("a"):rep(1000))"#,
    );
    assert!(said.starts_with("n200000,n200001\n"), "{said}");
    // LuaJIT takes seconds for this.
    let vm = lua::vm(false);
    let script = r#"local s = ("a"):rep(800000) ngx.print(tostring(s:find(("a"):rep(400000) .. "b", 1, true)))"#;
    assert_eq!(lua::run(&vm, script), Ok("nil".into()));
}

#[test]
fn what_would_run_for_ever_is_stopped() {
    let limits = lua_vm::Limits {
        memory_bytes: 64 * 1024 * 1024,
        cpu_per_resume: Duration::from_millis(20),
        cpu_per_request: Duration::from_secs(10),
        regex_match_limit: 1000,
        regex_cache_entries: 100,
    };
    let vm = lua_vm::Vm::new(lua_vm::VmOptions { limits, ..lua_vm::VmOptions::default() }).expect("a VM");
    for script in [
        "local s = ('a'):rep(40) s:find(('a?'):rep(40) .. s .. 'b')",
        "local s = ('a'):rep(3000) s:find(('.-'):rep(6) .. 'b')",
        "local s = ('a'):rep(3000) s:match(('a*'):rep(8) .. 'b')",
        "local s = ('a'):rep(1000000) s:gsub('a*b', '')",
        "local s = ('('):rep(1000000) for _ in s:gmatch('%b()') do end",
        "local s = ('a'):rep(1000000) s:match('[' .. ('bc'):rep(500000) .. ']*')",
        "local s = ('a'):rep(1000000) s:find('(a*)%1b')",
        "local s = ('a'):rep(1000000) while true do pcall(string.find, s, '.-b') end",
        "local s = ('a'):rep(100000) while true do s:gsub('()', '%1') end",
    ] {
        let error = lua::run(&vm, script).expect_err(script);
        assert!(error.contains("CPU") || error.contains("cpu"), "{script}: {error}");
        assert_eq!(lua::run(&vm, "ngx.print(('abc'):gsub('b', 'x'))"), Ok("axc1".into()), "after {script}");
    }
}
