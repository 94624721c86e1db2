//! `cjson` and `cjson.safe` as scripts see them, in trusted and in hardened VMs.

#[path = "support/lua.rs"]
mod lua;

/// `show` prints values; tables sorted by key.
const SHOW: &str = r##"
local cjson, safe = require "cjson", require "cjson.safe"
local function text(v)
  if v == cjson.null then return "null" end
  if type(v) == "string" then return "'" .. v .. "'" end
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

fn check(script: &str, expected: &str) {
    for trusted in [true, false] {
        let vm = lua::vm(trusted);
        let source = SHOW.replace('\n', " ") + script;
        let said = lua::run(&vm, &source).unwrap_or_else(|error| error);
        assert_eq!(said, expected, "trusted {trusted}: {script}");
    }
}

/// Each is what `decode` makes of the text, or the error that `cjson.safe` answers.
fn check_decode(settings: &str, cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        let script = format!("local j = safe.new() {settings} show(j.decode({}))", quote(json));
        check(&script, &format!("{expected}|"));
    }
}

/// Each expression, encoded.
fn check_encode(settings: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        check(
            &format!("local j = safe.new() {settings} local s, e = j.encode({value}) ngx.print(s == nil and e or s)"),
            expected,
        );
    }
}

/// A Lua literal for any text.
fn quote(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\{byte:03}"),
    });
    format!("\"{}\"", bytes.collect::<String>())
}

#[test]
fn decoding() {
    check_decode(
        "",
        &[
            (r#""test string""#, "'test string'"),
            ("[ 0.0, -5e3, -1, 0.3e-3, 1023.2, 0e10 ]", "{1=0 2=-5000 3=-1 4=0.0003 5=1023.2 6=0}"),
            ("null", "null"),
            ("true", "true"),
            (" false\t\r\n", "false"),
            (r#"{ "1": "one", "3": {"a" : []} , "x":{}}"#, "{1='one' 3={a={}} x={}}"),
            (r#"[ "one", null, [ "three" ] ]"#, "{1='one' 2=null 3={1='three'}}"),
            (r#"{"a":1,"a":2}"#, "{a=2}"),
            (r#""\"\\\/\b\f\n\r\tx""#, "'\"\\/\u{8}\u{c}\n\r\tx'"),
            (r#""\uF800\u00e9\ud83D\uDE00\u0041""#, "'\u{f800}é😀A'"),
            (r#"{"k\u0041":"v\n"}"#, "{kA='v\n'}"),
            ("12345678901234567890", "1.2345678901235e+19"),
            ("1 \u{0}garbage", "1"),
            ("-0", "0"),
            ("[1e999, -1e999]", "{1=inf 2=-inf}"),
        ],
    );
}

#[test]
fn errors_of_decoding() {
    check_decode(
        "",
        &[
            ("\0\"\0", "nil, 'JSON parser does not support UTF-16 or UTF-32'"),
            ("\"\0\0\0", "nil, 'JSON parser does not support UTF-16 or UTF-32'"),
            ("{ \"unexpected eof\": ", "nil, 'Expected value but found T_END at character 21'"),
            ("{ \"extra data\": true }, false", "nil, 'Expected the end but found T_COMMA at character 23'"),
            (
                r#" { "bad escape \q code" } "#,
                "nil, 'Expected object key string but found invalid escape code at character 16'",
            ),
            (
                r#" { "bad unicode \u0f6 escape" } "#,
                "nil, 'Expected object key string but found invalid unicode escape code at character 17'",
            ),
            (r#" [ "bad barewood", test ] "#, "nil, 'Expected value but found invalid token at character 20'"),
            ("[ -+12 ]", "nil, 'Expected value but found invalid number at character 3'"),
            ("-v", "nil, 'Expected value but found invalid number at character 1'"),
            ("[ 0.4eg10 ]", "nil, 'Expected comma or array end but found invalid token at character 6'"),
            ("", "nil, 'Expected value but found T_END at character 1'"),
            ("[1,]", "nil, 'Expected value but found T_ARR_END at character 4'"),
            ("[1 2]", "nil, 'Expected comma or array end but found T_INTEGER at character 4'"),
            ("[1 2.5]", "nil, 'Expected comma or array end but found T_NUMBER at character 4'"),
            ("[true {", "nil, 'Expected comma or array end but found T_OBJ_BEGIN at character 7'"),
            ("{1:2}", "nil, 'Expected object key string but found T_INTEGER at character 2'"),
            ("{\"a\" 1}", "nil, 'Expected colon but found T_INTEGER at character 6'"),
            ("{\"a\":1,}", "nil, 'Expected object key string but found T_OBJ_END at character 8'"),
            ("{\"a\":1]", "nil, 'Expected comma or object end but found T_ARR_END at character 7'"),
            ("\"abc", "nil, 'Expected value but found unexpected end of string at character 5'"),
            ("\"a\\nbc", "nil, 'Expected value but found unexpected end of string at character 7'"),
            (r#""\uDC00\uD800""#, "nil, 'Expected value but found invalid unicode escape code at character 2'"),
            (r#""\uDB00\uDB00""#, "nil, 'Expected value but found invalid unicode escape code at character 2'"),
            (r#""\uDB00""#, "nil, 'Expected value but found invalid unicode escape code at character 2'"),
            (r#""\uDB00\uD"#, "nil, 'Expected value but found invalid unicode escape code at character 2'"),
            ("Oops", "nil, 'Expected value but found invalid token at character 1'"),
            ("Infrared", "nil, 'Expected the end but found invalid token at character 4'"),
            ("Noodle", "nil, 'Expected value but found invalid token at character 1'"),
            ("{//c\n}", "nil, 'Expected object key string but found invalid token at character 2'"),
        ],
    );
}

#[test]
fn numbers_that_json_does_not_know() {
    check_decode(
        "",
        &[
            ("0x6.ffp1", "13.9921875"),
            ("[ 0123, 00.33 ]", "{1=123 2=0.33}"),
            ("[ +Inf, Infinity, -inf, +5 ]", "{1=inf 2=inf 3=-inf 4=5}"),
            ("[ +NaN, nan, -NaN ]", "{1=nan 2=nan 3=nan}"),
        ],
    );
    check_decode(
        "j.decode_invalid_numbers(false)",
        &[
            ("0x6", "nil, 'Expected value but found invalid number at character 1'"),
            ("[ 0123, 00.33 ]", "nil, 'Expected value but found invalid number at character 3'"),
            ("[ +Inf, Inf, -Inf ]", "nil, 'Expected value but found invalid token at character 3'"),
            ("-Inf", "nil, 'Expected value but found invalid number at character 1'"),
            ("[0, -0.5, 1e2]", "{1=0 2=-0.5 3=100}"),
        ],
    );
    check_encode("", &[("0/0", "Cannot serialise number: must not be NaN or Infinity")]);
    check_encode("j.encode_invalid_numbers('null')", &[("{0/0, 1/0, -1/0}", "[null,null,null]")]);
    check_encode("j.encode_invalid_numbers(true)", &[("{0/0, 1/0, -1/0}", "[NaN,Infinity,-Infinity]")]);
}

#[test]
fn comments() {
    check_decode(
        "j.decode_allow_comment(true)",
        &[
            ("{//comment\r\n}", "{}"),
            ("\"test // /* */ string\"//comment", "'test // /* */ string'"),
            ("{\"a\" /* Comment */: /**/ 1}", "{a=1}"),
            ("/*first*//*second*/{}", "{}"),
            ("{}/*Unclosed", "nil, 'Expected the end but found unclosed multi-line comment at character 13'"),
            ("{\"a\":1/*x*/0}", "nil, 'Expected comma or object end but found T_INTEGER at character 12'"),
            ("/1", "nil, 'Expected value but found invalid token at character 1'"),
        ],
    );
}

#[test]
fn encoding() {
    check_encode(
        "",
        &[
            ("nil", "null"),
            ("cjson.null", "null"),
            ("ngx.null", "null"),
            ("true", "true"),
            ("{}", "{}"),
            ("{dogs = {}}", r#"{"dogs":{}}"#),
            ("{1, 'a', false, {2}}", r#"[1,"a",false,[2]]"#),
            ("{[3] = 'x'}", r#"[null,null,"x"]"#),
            ("{['2'] = 'n'}", r#"{"2":"n"}"#),
            ("{[0] = 'n'}", r#"{"0":"n"}"#),
            ("{[1.5] = 'n'}", r#"{"1.5":"n"}"#),
            ("{[-1] = {a = {}}}", r#"{"-1":{"a":{}}}"#),
            ("'http://a/b'", r#""http:\/\/a\/b""#),
            (
                r#"'\0\1\8\9\10\12\13\27"\\é\127\255'"#,
                "\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001b\\\"\\\\é\\u007f\u{fffd}\"",
            ),
            (
                "{10, -0.5, 1/3, 2^53, 1e15, 1e300, -0.0, 123456789}",
                "[10,-0.5,0.33333333333333,9.007199254741e+15,1e+15,1e+300,-0,123456789]",
            ),
            ("print", "Cannot serialise function: type not supported"),
            ("coroutine.create(print)", "Cannot serialise thread: type not supported"),
            ("{[true] = 1}", "Cannot serialise boolean: table key must be a number or string"),
            ("{[20] = 1}", "Cannot serialise table: excessively sparse array"),
        ],
    );
}

#[test]
fn arrays_and_objects() {
    check_encode(
        "local function mt(t, m) return setmetatable(t, m) end",
        &[
            ("{cjson.empty_array}", "[[]]"),
            ("mt({}, cjson.empty_array_mt)", "[]"),
            ("mt({'a'}, cjson.empty_array_mt)", r#"["a"]"#),
            ("mt({a = 1}, cjson.empty_array_mt)", "[]"),
            ("mt({}, cjson.array_mt)", "[]"),
            ("mt({'a', b = 1}, cjson.array_mt)", r#"["a"]"#),
            ("mt({}, {})", "{}"),
            ("mt({a = 1}, {__index = {b = 2}})", r#"{"a":1}"#),
            ("mt({}, {__len = function() return 3 end, __index = function(_, k) return k * 2 end})", "[2,4,6]"),
            ("mt({}, {__len = function() return -1 end})", "[]"),
            ("mt({[1] = 1, [3] = 3}, {__index = function(_, k) return -k end})", "[1,-2,3]"),
        ],
    );
    check_encode("j.encode_empty_table_as_object(false)", &[("{dogs = {}}", r#"{"dogs":[]}"#)]);
    check_encode(
        "j.encode_sparse_array(true, 2, 3)",
        &[
            ("{[3] = 's'}", r#"[null,null,"s"]"#),
            ("{[1] = 1, [4] = 's'}", r#"[1,null,null,"s"]"#),
            ("{[5] = 's'}", r#"{"5":"s"}"#),
        ],
    );
    check(
        r#"local j = cjson.new() j.decode_array_with_array_mt(true)
           local t = j.decode('{"a":[],"b":["x"]}') t.b[1] = nil
           show(getmetatable(t.a) == cjson.array_mt, j.encode(t.a), j.encode(t.b), getmetatable(t))
           show(getmetatable(cjson.decode("[]")))"#,
        "true, '[]', '[]', nil|nil|",
    );
}

#[test]
fn settings() {
    check_encode("j.encode_escape_forward_slash(false)", &[("'a/b'", r#""a/b""#)]);
    check_encode("j.encode_number_precision(3)", &[("{1/3, 1000, 12.25}", "[0.333,1e+03,12.2]")]);
    check_encode("j.encode_number_precision(16)", &[("2^53", "9007199254740992")]);
    check_encode(
        "j.encode_skip_unsupported_value_types(true) local f = print",
        &[
            ("f", ""),
            ("{f = f, v = 1}", r#"{"v":1}"#),
            ("{'one', f, 'three'}", r#"["one","three"]"#),
            ("{f, f}", "[]"),
            ("{f, {f, 1}, f, 2}", "[[1],2]"),
        ],
    );
    check_encode(
        "j.encode_indent('  ')",
        &[
            ("{}", "{}"),
            ("{a = {b = 1}}", "{\n  \"a\": {\n    \"b\": 1\n  }\n}"),
            ("{{1, 2}, cjson.empty_array}", "[\n  [\n    1,\n    2\n  ],\n  []\n]"),
        ],
    );
    check_encode("j.encode_keep_buffer(false)", &[("{1}", "[1]")]);
    check(
        r#"show(cjson._NAME, cjson._VERSION, cjson.null == ngx.null, type(cjson.empty_array))
           show(cjson.encode_sparse_array(), cjson.encode_max_depth(), cjson.decode_max_depth(7))
           show(cjson.encode_sparse_array(nil, 5), cjson.encode_invalid_numbers("null"), cjson.encode_keep_buffer("off"))
           local other = cjson.new()
           show(other.decode_max_depth(), cjson.decode_max_depth(), other.array_mt == cjson.array_mt, other.encode_indent(" "))
           show(cjson.encode_indent())"#,
        "'cjson', '2.1.0.11', true, 'userdata'|false, 1000, 7|false, 'null', false|1000, 7, true, ' '|''|",
    );
}

#[test]
fn wrong_arguments() {
    for (call, error) in [
        ("cjson.encode()", "bad argument #1 to 'encode' (expected 1 argument)"),
        ("cjson.encode(1, 2)", "bad argument #1 to 'encode' (expected 1 argument)"),
        ("safe.encode(1, 2)", "bad argument #1 to 'encode' (expected 1 argument)"),
        ("cjson.decode({})", "bad argument #1 to 'decode' (string expected, got table)"),
        (
            "cjson.encode_number_precision(0)",
            "bad argument #1 to 'encode_number_precision' (expected integer between 1 and 16)",
        ),
        (
            "cjson.encode_number_precision(17)",
            "bad argument #1 to 'encode_number_precision' (expected integer between 1 and 16)",
        ),
        ("cjson.encode_max_depth('wrong')", "bad argument #1 to 'encode_max_depth' (number expected, got string)"),
        (
            "cjson.decode_max_depth('0')",
            "bad argument #1 to 'decode_max_depth' (expected integer between 1 and 2147483647)",
        ),
        ("cjson.encode_keep_buffer(nil, true)", "bad argument #2 to 'encode_keep_buffer' (found too many arguments)"),
        ("cjson.encode_invalid_numbers(-2)", "bad argument #1 to 'encode_invalid_numbers' (invalid option '-2')"),
        ("cjson.encode_sparse_array('not on')", "bad argument #1 to 'encode_sparse_array' (invalid option 'not on')"),
    ] {
        check(call, &format!("test:1: {error}"));
    }
    check(
        "show(safe.decode('x')) show(safe.new().decode('x')) show(pcall(cjson.decode, 'x'))",
        "nil, 'Expected value but found invalid token at character 1'|nil, 'Expected value but found invalid token at \
           character 1'|false, 'Expected value but found invalid token at character 1'|",
    );
}

#[test]
fn depth() {
    check_decode(
        "j.decode_max_depth(5)",
        &[
            ("[[[[[ \"n\" ]]]]]", "{1={1={1={1={1='n'}}}}}"),
            ("[[[[[[ \"n\" ]]]]]]", "nil, 'Found too many nested data structures (6) at character 6'"),
            (
                r#"{"a":{"b":{"c":{"d":{"e":{"f":"n"}}}}}}"#,
                "nil, 'Found too many nested data structures (6) at character 26'",
            ),
        ],
    );
    check_encode(
        "j.encode_max_depth(5) local cycle = {} cycle[1] = cycle",
        &[
            ("{{{{{'n'}}}}}", "[[[[[\"n\"]]]]]"),
            ("{{{{{{'n'}}}}}}", "Cannot serialise, excessive nesting (6)"),
            ("cycle", "Cannot serialise, excessive nesting (6)"),
        ],
    );
    check(
        r#"show(safe.decode(("["):rep(1100) .. 1100 .. ("]"):rep(1100)))
           cjson.decode_max_depth(2^30) cjson.encode_max_depth(2^30)
           local s = ("["):rep(900) .. ("]"):rep(900)
           cjson.encode_empty_table_as_object(false)
           show(cjson.encode(cjson.decode(s)) == s, (pcall(cjson.decode, ("["):rep(1e6))))
           local t = {} t.t = t
           show((pcall(cjson.encode, t)))"#,
        "nil, 'Found too many nested data structures (1001) at character 1001'|true, false|false|",
    );
}

#[test]
fn calls_within_calls() {
    check(
        r#"local t = setmetatable({}, {__len = function() return 2 end, __index = function(_, k)
             if k == 2 then return cjson.decode(cjson.encode({("x"):rep(5000), "\n"}))[2] end
             return cjson.encode({k})
           end})
           show(cjson.encode({"before", t, "after"}))
           local bad = setmetatable({}, {__len = function() error("no", 0) end})
           show(pcall(cjson.encode, {1, bad}), safe.encode({1, bad})) show(cjson.encode({1, {2}}))"#,
        r#"'["before",["[1]","\n"],"after"]'|false, nil, 'no'|'[1,[2]]'|"#,
    );
}

#[test]
fn large_documents() {
    check(
        r#"local s = '"' .. ("a\\n"):rep(100000) .. '"'
           show(cjson.encode(cjson.decode(s)) == s)
           local t = {} for i = 1, 20000 do t[i] = {k = i, s = ("v"):rep(i % 50)} end
           local again = cjson.decode(cjson.encode(t))
           for i = 1, 20000 do if again[i].k ~= i or again[i].s ~= t[i].s then show("differs", i) end end
           show(#again)"#,
        "true|20000|",
    );
    // A text that doubles with each level ends at the memory limit, and the VM goes on.
    let vm = lua::vm(false);
    let script = r#"local cjson = require "cjson" local t = {"some text"} for i = 1, 40 do t = {t, t} end
                    local ok, err = pcall(cjson.encode, t) ngx.print(tostring(ok), " ", tostring(err), " ", cjson.encode({1}))"#;
    let said = lua::run(&vm, script).unwrap_or_else(|error| error);
    assert!(said == "false not enough memory [1]" || said == "not enough memory", "{said}");
    assert_eq!(lua::run(&vm, r#"ngx.print(require("cjson").encode({1}))"#), Ok("[1]".into()));
}

#[test]
fn a_document_without_end_is_stopped() {
    let limits = lua_vm::Limits {
        memory_bytes: 64 * 1024 * 1024,
        cpu_per_resume: std::time::Duration::from_millis(20),
        cpu_per_request: std::time::Duration::from_secs(1),
        regex_match_limit: 1000,
        regex_cache_entries: 100,
    };
    let vm = lua_vm::Vm::new(lua_vm::VmOptions { limits, ..lua_vm::VmOptions::default() }).expect("a VM");
    // Nothing is written for these, so only time ends it.
    let script = r#"local j = require("cjson.safe").new() j.encode_skip_unsupported_value_types(true)
                    local t = {print} for i = 1, 40 do t = {t, t} end
                    while true do pcall(j.encode, t) end"#;
    let error = lua::run(&vm, script).expect_err("it would run for days");
    assert!(error.contains("CPU") || error.contains("cpu") || error.contains("memory"), "{error}");
}
