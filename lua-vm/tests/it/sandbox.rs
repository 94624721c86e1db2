//! What a namespace's script must not get at.
use crate::fake::{Ended, Fake, run, says};
use lua_vm::Phase;

/// Prints what it returns in a hardened VM.
#[track_caller]
fn probe(source: &str, expected: &str) {
    let source = format!(
        "local function show(ok, ...) local t = {{...}} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end
         ngx.print(ok and '' or 'error: ', table.concat(t, ' ')) end show(pcall(function() {source} end))"
    );
    assert_eq!(says(false, &source), expected, "{source}");
}

#[test]
fn nothing_dangerous_is_there() {
    probe(
        "return debug.getregistry, io, jit, ffi, newproxy, dofile, loadfile, module, gcinfo",
        "nil nil nil nil nil nil nil nil nil",
    );
    probe(
        "return os.execute, os.exit, os.remove, os.rename, os.getenv, os.tmpname, os.setlocale",
        "nil nil nil nil nil nil nil",
    );
    probe(
        "return ('x').dump, string.dump, package.loadlib, package.loaders, package.searchpath",
        "nil nil nil nil nil",
    );
    probe(
        "return debug.getupvalue, debug.setupvalue, debug.getmetatable, debug.setmetatable, debug.sethook, debug.getlocal",
        "nil nil nil nil nil nil",
    );
    probe(
        "return (pcall(require, 'jit')), (pcall(require, 'io')), (pcall(require, 'jit.util')), (pcall(require, 'jit.opt'))",
        "false false false false",
    );
    probe(
        "return require 'ffi'",
        "error: module 'ffi' not found: ffi is not available to the Lua of a namespace: it reads and writes any memory of the process",
    );
    probe(
        "local t = {} for k in pairs(_G) do t[#t + 1] = k end table.sort(t) return table.concat(t, ' ')",
        "_G _VERSION assert bit collectgarbage coroutine debug error getfenv getmetatable ipairs load loadstring math next ngx os package pairs pcall print rawequal rawget rawlen rawset require select setfenv setmetatable string table tonumber tostring type unpack xpcall",
    );
    probe(
        "return collectgarbage('collect'), collectgarbage('stop'), collectgarbage('setpause', 1000), collectgarbage('count') > 0",
        "0 0 0 true",
    );
}

#[test]
fn strings_metatable_is_out_of_reach() {
    probe("return getmetatable('')", "false");
    probe("return (pcall(function() getmetatable('').__index = nil end))", "false");
    probe("return (pcall(setmetatable, '', {}))", "false");
    // Methods are the script's own copy: changing it changes nothing of ours.
    probe("string.trim = function(s) return s .. '!' end return ('x'):trim()", "x!");
    let wreck = "local say, concat = ngx.say, table.concat for _, t in pairs {string, table, math, bit, coroutine} do for k in pairs(t) do t[k] = nil end end
        local ok, why = pcall(require, 'nope') say(ok, ngx.get_phase(), ngx.var.x, why)";
    assert!(says(false, wreck).starts_with("falsecontentnilmodule 'nope' not found:"), "{}", says(false, wreck));
}

#[test]
fn bytecode_is_refused() {
    probe("return load('\\27LJ\\2\\n')", "nil attempt to load chunk with wrong mode");
    probe("return load('\\27LJ\\2\\n', 'x', 'b')", "nil attempt to load chunk with wrong mode");
    probe("return loadstring('\\27LJ\\2\\n')", "nil attempt to load chunk with wrong mode");
    probe(
        "local parts = {'\\27', 'LJ'} local i = 0 return load(function() i = i + 1 return parts[i] end)",
        "nil attempt to load chunk with wrong mode",
    );
    probe(
        "return load('return 1', 'x', 't')(), load('return a', 'x', 't', {a = 2})(), loadstring('return 3')()",
        "1 2 3",
    );
    probe("return load('x =')", "nil [string \"x =\"]:1: unexpected symbol near '<eof>'");
    probe("return (pcall(load)), (pcall(load, {})), (pcall(loadstring, string.rep('(', 1e6)))", "false false true");
}

#[test]
fn environments_of_the_prelude_are_out_of_reach() {
    probe(
        "return getfenv(ngx.say) == _G, getfenv(ngx.exit) == _G, getfenv(print) == _G, getfenv(0) == _G, getfenv(1) == _G",
        "true true true true true",
    );
    probe("return getfenv(ngx.get_phase).require == require, getfenv(require) == _G", "true true");
    probe(
        "return (pcall(setfenv, ngx.exit, {})), (pcall(setfenv, 0, {})), (pcall(setfenv, print, {})), (pcall(setfenv, 99, {}))",
        "false false false false",
    );
    probe("local function f() return x end setfenv(f, {x = 7}) return f(), getfenv(f).x", "7 7");
    probe("local function f() setfenv(1, {y = 8}) return y end return f()", "8");
    probe("local mt = getmetatable(ngx.var) return mt and getfenv(mt.__index) == _G", "true");
    probe("return coroutine.wrap(function() return getfenv(0) == _G end)()", "true");
    probe("local i = debug.getinfo(ngx.exit) return i.func, i.activelines, type(i.short_src)", "nil nil string");
    probe(
        "local function f() return debug.getinfo(1, 'n').name, debug.getinfo(2).currentline end local a, b = f() return a, b",
        "f 2",
    );
    probe("return (pcall(debug.getinfo, coroutine.running(), 1)), (pcall(debug.getinfo, 'x'))", "false false");
    probe("return type(debug.traceback('x'))", "string");
}

#[test]
fn buffers_have_no_pointers() {
    probe(
        "local b = require 'string.buffer'.new() b:put('abc') return b.ref, b.reserve, b.commit, b.putcdata, b.set, tostring(b:get()), #b",
        "nil nil nil nil nil abc 0",
    );
    probe(
        "return (pcall(require('string.buffer').new().ref)), getmetatable(require 'string.buffer'.new())",
        "false buffer",
    );
    probe("local e = require 'string.buffer' return e.decode(e.encode({a = 1})).a", "1");
}

#[test]
fn accessors_take_what_they_say() {
    probe("return type(1LL), (pcall(function() return (1LL)[0] end))", "cdata false");
    for bad in [
        "1LL",
        "{}",
        "setmetatable({}, {__len = function() return 1e9 end})",
        "print",
        "true",
        "coroutine.create(print)",
    ] {
        probe(&format!("return (pcall(function() return ngx.var[{bad}] end))"), "false");
        probe(&format!("return (pcall(function() ngx.var[{bad}] = 'x' end))"), "false");
    }
    // A value whose __tostring is no string.
    for bad in ["1LL", "require 'string.buffer'.new()", "{}"] {
        probe(
            &format!(
                "return (pcall(function() ngx.var.x = setmetatable({{}}, {{__tostring = function() return {bad} end}}) end))"
            ),
            "false",
        );
    }
    probe(
        "return (pcall(ngx.say, 1LL)), (pcall(ngx.exit, 1LL)), (pcall(ngx.exit, 'x')), (pcall(ngx.sleep, {}))",
        "false false false false",
    );
}

#[test]
fn coroutines_of_the_host_are_not_resumable() {
    probe(
        "local co = coroutine.running() return coroutine.status(co), coroutine.resume(co)",
        "running false cannot resume running coroutine",
    );
}

#[test]
fn metamethods_cannot_reach_into_a_match() {
    // A metamethod of `res` or `ctx` that matches something else must not change what is read of this match.
    let other = "ngx.re.match('y', '(y)')";
    probe(
        &format!(
            "local res = setmetatable({{}}, {{__newindex = function() {other} end, __index = function() {other} end}})
             local m = ngx.re.match('abc', '(?<n>a)(b)(c)(d)?', 'jo', nil, res) return m[0], m[1], m[2], m[3], m[4], m.n"
        ),
        "abc a b c false a",
    );
    probe(
        &format!(
            "local ctx = setmetatable({{}}, {{__newindex = function() {other} end}})
             local m = ngx.re.match('abc', '(a)(b)(c)', 'jo', ctx) return m[0], m[1], m[2], m[3]"
        ),
        "abc a b c",
    );
    probe(
        &format!(
            "local ctx = setmetatable({{}}, {{__newindex = function() {other} end}})
             return ngx.re.find('xabc', '(a)(b)(c)', 'jo', ctx, 3)"
        ),
        "4 4",
    );
}

#[test]
fn lua_52_metamethods_stay_in_the_script() {
    probe(
        "local t = setmetatable({}, {__pairs = function() return next, {a = 1}, nil end}) for k in pairs(t) do return k end",
        "a",
    );
    probe("return #setmetatable({}, {__len = function() return 7 end}), rawlen({1, 2})", "7 2");
    // The native sort works on the table itself: a small `__len` must not get it a large one.
    probe(
        "local t = setmetatable({}, {__len = function() return 2 end}) for i = 1, 2000 do t[i] = -i end table.sort(t) return t[1], t[2000]",
        "-2000 -1",
    );
    probe("return (pcall(table.sort, setmetatable({3, 2, 1}, {__len = function() return 1e9 end})))", "true");
    probe("return (pcall(setmetatable, {}, {__gc = function() while true do end end}))", "true");
    probe(
        "local n = 0 do local t = setmetatable({}, {__gc = function() n = 1 end}) end for i = 1, 1e5 do local x = {i} end return n",
        "0",
    );
    // Functions of ours that take tables see the table, or an error.
    for bad in ["1e9", "'x'", "-1", "{}", "0/0"] {
        probe(
            &format!(
                "local t = setmetatable({{'a'}}, {{__len = function() return {bad} end}}) local ok = pcall(ngx.say, t)
                 return ok, (pcall(table.concat, t)), (pcall(unpack, t))"
            ),
            "a\ntrue true true",
        );
    }
}

#[test]
fn the_main_state_is_no_coroutine_to_resume() {
    let t = crate::fake::vm(false);
    let mut host = Fake::default();
    let filter = t.load("=header_filter", "main = coroutine.running() ngx.print(coroutine.status(main))").unwrap();
    t.session().call(&mut host, Phase::HeaderFilter, &filter, &[]).unwrap();
    let source = "ngx.print(' ', coroutine.status(main), ' ', select(2, coroutine.resume(main, 1)))";
    assert_eq!(run(&t, &mut host, source).0, Ended::Done);
    assert_eq!(String::from_utf8_lossy(&host.output), "running dead cannot resume dead coroutine");
}

#[test]
fn errors_with_metatables_are_only_values() {
    probe(
        "local e = setmetatable({}, {__tostring = function() error('x') end, __concat = function() error('y') end})
         local ok, got = pcall(error, e) return ok, got == e",
        "false true",
    );
    let t = crate::fake::vm(false);
    for source in [
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "coroutine.wrap(function() error(setmetatable({}, {__tostring = function() error('x') end})) end)()",
        "local function again(e) error(e) end xpcall(error, again, setmetatable({}, {__tostring = again})) error({})",
    ] {
        let (end, _) = run(&t, &mut Fake::default(), source);
        assert!(matches!(&end, Ended::Error(e) if e.starts_with("unknown reason")), "{source}: {end:?}");
    }
}
