//! Functions of the libraries that a namespace can reach do not run long without a chance to be stopped. Each of these
//! would take seconds to ages in LuaJIT's own; that they come back at all is what is asserted.
use crate::fake::{Ended, Fake, options, run, says, vm};
use lua_vm::{ErrorKind, Vm};
use std::time::Duration;

#[test]
fn sort_is_sort() {
    for source in [
        "local t = {} for i = 1, 5000 do t[i] = (i * 7919) % 5003 end table.sort(t) for i = 2, #t do assert(t[i - 1] <= t[i]) end",
        "local t = {} for i = 1, 1001 do t[i] = (i * 7919) % 10 end table.sort(t, function(a, b) return a > b end) for i = 2, #t do assert(t[i - 1] >= t[i]) end",
        "for n = 0, 70 do local t = {} for i = 1, n do t[i] = (i * 31) % 17 end table.sort(t, function(a, b) return a < b end) for i = 2, n do assert(t[i - 1] <= t[i]) end end",
        "local t = {'b', 'a', 'c'} table.sort(t) assert(table.concat(t) == 'abc')",
        "assert(not pcall(table.sort, {1, 'x'})) assert(not pcall(table.sort, 1)) assert(not pcall(table.sort, {}, 1))",
        "local t = {3, 2, 1} table.sort(t, function(a, b) ngx.sleep(0) return a < b end) assert(t[1] == 1 and t[3] == 3)",
        "table.sort({3, 2, 1}, function() return true end)",
    ] {
        assert_eq!(run(&vm(false), &mut Fake::default(), source).0, Ended::Done, "{source}");
    }
}

#[test]
fn what_is_not_linear_can_be_stopped() {
    let t = vm(false);
    for source in [
        // A quicksort killer would be quadratic; this many comparisons are too many anyway.
        "local t = {} for i = 1, 3e5 do t[i] = i % 1000 end while true do table.sort(t) end",
        "local t = {} for i = 1, 48 do t = {t, t} end ngx.say(t)",
        "while true do load(('goto a '):rep(1e4) .. '::a::') end",
        "local n = 3e4 local t = {} for i = 1, n do t[#t + 1] = 'goto a' .. i end for i = 1, n do t[#t + 1] = '::a' .. i .. '::' end while true do load(table.concat(t, ' ')) end",
        "local t = {} for i = 1, 190 do t[#t + 1] = 'return function() local ' .. ('a,'):rep(180) .. 'a' end t[#t + 1] = ('b = b '):rep(5e4) .. ('end '):rep(190) while true do load(table.concat(t, ' ')) end",
    ] {
        let mut host = Fake::default();
        let (end, _) = run(&t, &mut host, source);
        assert!(matches!(&end, Ended::Error(e) if e.starts_with("CPU time limit exceeded")), "{source}: {end:?}");
    }
}

#[test]
fn encode_visits_nothing_that_a_hook_has_not_seen() {
    let t = vm(false);
    for encode in ["encode", "new():encode"] {
        let source = format!("local t = {{}} for i = 1, 60 do t = {{t, t}} end require 'string.buffer'.{encode}(t)");
        let (end, _) = run(&t, &mut Fake::default(), &source);
        // Not in the C function, which a kill only ends after it has filled the memory.
        let is_killed = |e: &str| e.starts_with("CPU time limit exceeded") && !e.contains("[C]: in function 'encode'");
        assert!(matches!(&end, Ended::Error(e) if is_killed(e)), "{source}: {end:?}");
    }
    let source = "local buffer = require 'string.buffer' local v = {1, {a = {true}}, [{2}] = 3} local b = buffer.new()
        local a, c = buffer.decode(buffer.encode(v)), b:encode(v):encode('x'):decode()
        assert(a[2].a[1] and c[2].a[1] and b:decode() == 'x' and buffer.decode(buffer.encode(5)) == 5)
        local loop = {} loop[1] = loop assert(not pcall(buffer.encode, loop) and not pcall(buffer.encode, print))";
    assert_eq!(run(&t, &mut Fake::default(), source).0, Ended::Done);
}

#[test]
fn dates_have_formats_of_a_length() {
    let source = "assert(os.date('%Y', 0) == '1970' and os.date('!*t', 0).year == 1970 and #os.date() > 10)
        local ok, why = pcall(os.date, ('%c'):rep(1000)) ngx.print(why)";
    assert_eq!(says(false, source), "bad argument #1 to 'date' (format longer than 1000 bytes)");
}

#[test]
fn the_hosts_own_compiling_can_be_stopped() {
    let mut o = options(false);
    o.limits.cpu_per_resume = Duration::from_millis(1);
    o.limits.memory_bytes = 256 << 20;
    let t: Vm<Fake> = Vm::new(o).unwrap();
    let names: String =
        (0..30_000).map(|i| format!("goto a{i} ")).chain((0..30_000).map(|i| format!("::a{i}:: "))).collect();
    assert_eq!(t.load("=x", &names).err().map(|e| e.kind), Some(ErrorKind::Cpu));
    assert!(t.load("=x", "return 1").is_ok());
}

#[test]
fn load_keeps_its_rules() {
    for (source, said) in [
        ("local f, err = load('x = = 1', '=chunk') ngx.print(f, err)", "nilchunk:1: unexpected symbol near '='"),
        ("local n = 0 local f = load(function() n = n + 1 return ({'return ', '4', '2'})[n] end) ngx.print(f())", "42"),
        ("ngx.print(load('return x', 'n', 't', {x = 5})())", "5"),
        ("local long = 'return ' .. ('1 + '):rep(1000) .. '1' ngx.print(load(long)())", "1001"),
    ] {
        for trusted in [true, false] {
            assert_eq!(says(trusted, source), said, "trusted {trusted}: {source}");
        }
    }
}

#[test]
fn nesting_that_the_parser_does_not_count_is_refused_before_it() {
    for trusted in [true, false] {
        for source in [
            "local f, e = loadstring('return ' .. ('a?b:'):rep(220000) .. 'c') assert(not f and e:find('conditional expressions', 1, true), e)",
            "local f, e = load(('x = a ? b : c '):rep(201)) assert(not f, 'not refused')",
            "assert(loadstring('return true ? 1 : 2')() == 1)",
            "local n = 0 local f, e = load(function() n = n + 1 if n == 1 then return 'return ' end if n < 1000 then return 'a?b:' end if n == 1000 then return 'c' end end) assert(not f, 'not refused')",
        ] {
            assert_eq!(run(&vm(trusted), &mut Fake::default(), source).0, Ended::Done, "trusted {trusted}: {source}");
        }
    }
}

#[test]
fn the_operators_files_are_checked_as_its_texts() {
    for source in [
        "local path = os.tmpname() local function write(text) local f = assert(io.open(path, 'w')) f:write(text) f:close() end
         write('#!/usr/bin/lua\\nlocal a = ...\\nreturn a, debug.getinfo(1).source, debug.getinfo(1).currentline')
         local a, source, line = loadfile(path)(5) assert(a == 5 and source == '@' .. path and line == 3, line)
         assert(select(2, dofile(path)) == '@' .. path)
         package.path = path .. '?;' .. package.path:gsub('%.lua', '.none')
         write('return ' .. ('a?b:'):rep(220000) .. 'c') local f, e = loadfile(path)
         assert(not f and e:find('conditional expressions', 1, true), e) assert(not pcall(dofile, path))
         write(string.dump(function() end)) f, e = loadfile(path) assert(not f and e:find('wrong mode'), e)
         write('return x') assert(loadfile(path, 't', {x = 7})() == 7) assert(loadfile(path, 'b') == nil)
         os.remove(path) f, e = loadfile(path) assert(not f and e:find('cannot open') and e:find(path, 1, true), e)",
        "local path = os.tmpname() local dir, name = path:match('^(.*)/([^/]*)$') local f = io.open(path, 'w') f:write('return {name = ...}') f:close()
         package.path = dir .. '/?' assert(require(name).name == name)
         f = io.open(path, 'w') f:write('x = = 1') f:close() package.loaded[name] = nil
         local ok, e = pcall(require, name) os.remove(path)
         assert(not ok and e:find('error loading module', 1, true) and e:find(path, 1, true), e)",
    ] {
        assert_eq!(run(&crate::memory::vm(true), &mut Fake::default(), source).0, Ended::Done, "{source}");
    }
}
