//! Scripts that want too much: endless loops and memory bombs end, the VM goes on and computes correctly.
use crate::fake::{Ended, Fake, limits, options, run, run_chunk, vm};
use lua_vm::{ErrorKind, Phase, Step, Vm};
use std::time::Duration;

/// Loops that never end by themselves.
pub(crate) const LOOPS: &[(&str, &str)] = &[
    ("while", "while true do end"),
    ("numeric for", "local x = 0 for i = 1, 1e18 do x = x + i end"),
    ("repeat", "repeat until false"),
    ("goto", "::a:: goto a"),
    ("calls", "local function f(x) return x + 1 end local x = 0 while true do x = f(x) end"),
    ("tail recursion", "local function f(x) return f(x + 1) end f(0)"),
    ("pcall around a loop", "while true do pcall(function() while true do end end) end"),
    ("pcall tower", "while true do pcall(pcall, pcall, function() while true do end end) end"),
    (
        "xpcall whose handler loops",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    ),
    ("xpcall whose handler errs", "while true do xpcall(error, function() error('x') end) end"),
    ("nested coroutine", "while true do coroutine.wrap(function() while true do end end)() end"),
    ("nested coroutine, protected", "while true do pcall(coroutine.wrap(function() while true do end end)) end"),
    (
        "coroutine ping-pong",
        "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
    ),
    ("coroutines without end", "while true do coroutine.wrap(function() end)() end"),
    ("strings", "local t = {} while true do t[(#t % 100) + 1] = tostring(#t) end"),
    (
        "sort comparator",
        "local t = {} for i = 1, 100 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
    ),
    ("loop in a sort comparator", "table.sort({3, 2, 1}, function() while true do end end)"),
    ("gsub callback that loops", "('a'):gsub('a', function() while true do end end)"),
    (
        "__index",
        "local t = setmetatable({}, {__index = function(t, k) return 1 end}) local x = 0 while true do x = x + t[x] end",
    ),
    ("pairs", "local t = {a=1,b=2,c=3} local n = 0 while true do for k, v in pairs(t) do n = n + v end end"),
    (
        "garbage",
        "local t = {} while true do local x = {1, 2, 3, function() return t end} t[1] = x for i = 1, 100 do t[i] = {i} end end",
    ),
    ("host calls", "while true do local x = ngx.var.a ngx.var.b = 'x' end"),
    ("time", "while ngx.now() > 0 do end"),
    ("errors", "while true do pcall(error, {}) end"),
    ("loading code", "while true do local f = load('return 1') f() end"),
    ("require", "while true do pcall(require, 'nope') end"),
    (
        "native coroutines below a C function",
        "local t = {1, 2, 3} table.sort(t, function() coroutine.wrap(function() while true do end end)() end)",
    ),
    ("formats", "while true do string.format('%s %d', 'x', 1) end"),
];

/// Must hold in a VM after whatever went wrong in it.
pub(crate) const SOUND: &str = "local n = 0 for i = 1, 20000 do n = n + (i % 7) end
    local t = {} for i = 1, 100 do t[i] = tostring(i) end assert(#table.concat(t) == 192) assert(n == 59998, n)
    ngx.ctx.x = {1} assert(ngx.ctx.x[1] == 1) ngx.var.v = 'v' assert(ngx.var.v == 'v')
    local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) assert(co(1) == 2 and co(21) == 42)
    assert(not pcall(error, 'x'))";

#[track_caller]
fn sound(vm: &Vm<Fake>) {
    assert_eq!(run(vm, &mut Fake::default(), SOUND).0, Ended::Done);
}

#[test]
fn endless_loops_end_in_coroutines_and_on_the_main_state() {
    for trusted in [true, false] {
        let t = vm(trusted);
        for (name, source) in LOOPS {
            let chunk = t.load("=content", source).unwrap();
            let mut host = Fake::default();
            let session = t.session();
            let mut thread = session.thread(&chunk, &[]).unwrap();
            match session.resume(&mut thread, &mut host, Phase::Content, &[]) {
                Step::Error(error) => assert_eq!(error.kind, ErrorKind::Cpu, "{name}: {error}"),
                other => panic!("{name}: {other:?}"),
            }
            drop(thread);
            sound(&t);
            let error = t.session().call(&mut host, Phase::Log, &chunk, &[]).expect_err(name);
            assert_eq!(error.kind, ErrorKind::Cpu, "{name} on the main state: {error}");
            sound(&t);
        }
    }
}

#[test]
fn a_request_has_a_budget_beyond_its_resumes() {
    let mut o = options(false);
    o.limits.cpu_per_resume = Duration::from_secs(60);
    o.limits.cpu_per_request = Duration::from_millis(50);
    let t = Vm::new(o).unwrap();
    let mut host = Fake::default();
    // Each resume is short; their sum is not.
    let source = "while true do for i = 1, 1e5 do math.sin(i) end ngx.sleep(0) end";
    let session = t.session();
    let (end, waits) = run_chunk(&session, &mut host, &t.load("=content", source).unwrap());
    assert!(matches!(&end, Ended::Error(e) if e.starts_with("CPU time limit exceeded")), "{end:?}");
    assert!(waits > 3, "{waits}");
    let log = t.load("=log", "return 1").unwrap();
    assert_eq!(session.call(&mut host, Phase::Log, &log, &[]).map_err(|e| e.kind), Err(ErrorKind::Cpu));
    assert_eq!(t.session().call(&mut host, Phase::Log, &log, &[]), Ok(Some(1)), "another request has its own");
}

#[test]
fn a_run_that_nests_others_is_stopped_too() {
    let t = vm(false);
    let filter = t.load("=body_filter", "for i = 1, 100 do ngx.ctx.n = i end").unwrap();
    let mut host = Fake { body_filter: Some(filter), ..Fake::default() };
    let (end, _) = run(&t, &mut host, "while true do ngx.print('x') end");
    assert!(matches!(&end, Ended::Error(e) if e.starts_with("CPU time limit exceeded")), "{end:?}");
    // And one whose filter never ends: the filter is stopped, say tells, the request ends at the next budget.
    host.body_filter = Some(t.load("=body_filter", "while true do end").unwrap());
    let (end, _) = run(&t, &mut host, "local ok, err = ngx.print('x') assert(not ok) ngx.var.err = err");
    assert_eq!(end, Ended::Done);
    assert_eq!(host.vars[&b"err"[..]], b"CPU time limit exceeded");
    sound(&t);
}

/// Programs that need more memory than there is.
pub(crate) const BOMBS: &[(&str, &str)] = &[
    ("table", "local t = {} for i = 1, 1e9 do t[i] = i end"),
    ("string doubles", "local s = 'x' while true do s = s .. s end"),
    ("rep", "local s = ('x'):rep(1e9)"),
    ("rep with separator", "local s = ('x'):rep(1e8, ('y'):rep(100))"),
    ("strings", "local t = {} for i = 1, 1e9 do t[i] = 'k' .. i end"),
    ("closures", "local t = {} for i = 1, 1e9 do t[i] = function() return i end end"),
    ("coroutines", "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end"),
    ("buffer", "local b = require 'string.buffer'.new() while true do b:put('xxxxxxxxxxxxxxxx') end"),
    ("concat", "local t = {} for i = 1, 1e5 do t[i] = ('x'):rep(1000) end return #table.concat(t)"),
    ("concat of one", "local s = ('x'):rep(1e6) local t = {} for i = 1, 1e4 do t[i] = s end return #table.concat(t)"),
    ("new table", "local t = require 'table.new'(1e9, 0)"),
    (
        "output of one string many times",
        "local s = ('x'):rep(1e6) local t = {} for i = 1, 1e5 do t[i] = s end ngx.say(t)",
    ),
    ("format", "local s = ('x'):rep(4e6) string.format(('%s'):rep(100), s, s, s, s, s, s, s, s, s, s)"),
    ("load", "assert(load(function() return ('x = 1 '):rep(1e5) end))"),
    ("gsub", "(('x'):rep(1e6)):gsub('x', ('y'):rep(1e3))"),
];

#[test]
fn memory_bombs_end() {
    for trusted in [true, false] {
        let mut o = options(trusted);
        o.limits.cpu_per_resume = Duration::from_secs(60);
        o.limits.cpu_per_request = Duration::from_secs(60);
        let t = Vm::new(o).unwrap();
        for (name, source) in BOMBS {
            let mut host = Fake::default();
            let (end, _) = run(&t, &mut host, source);
            assert!(
                matches!(&end, Ended::Error(e) if e.contains("not enough memory") || e.contains("table overflow")),
                "{name}: {end:?}"
            );
            // Caught, the script goes on.
            let caught = format!("local ok = pcall(function() {source} end) ngx.print(ok)");
            assert_eq!(run(&t, &mut host, &caught).0, Ended::Done, "{name}");
            assert_eq!(host.output, b"false", "{name}");
            sound(&t);
        }
        // LuaJIT halves its string buffer and string table once per cycle.
        (0..10).for_each(|_| t.collect());
        assert!(t.memory_bytes() < 1 << 20, "{}", t.memory_bytes());
    }
}

#[test]
fn garbage_alone_does_not_meet_the_limit() {
    let mut o = options(false);
    o.limits.cpu_per_resume = Duration::from_secs(60);
    o.limits.cpu_per_request = Duration::from_secs(60);
    for source in [
        "local live = {} for i = 1, 10 do live[i] = ('x'):rep(2^20) .. i end local n = 0 for i = 1, 3e5 do local t = {i, i} n = n + #t end",
        "local n = 0 for i = 1, 200 do local s = ('x'):rep(2^20) .. i n = n + #s end",
        "local live = {} for i = 1, 11 do live[i] = ('x'):rep(2^20) .. i end for i = 1, 3e5 do local s = 'k' .. i end",
        "for i = 1, 1e5 do coroutine.wrap(function() local t = {} coroutine.yield() end)() end",
    ] {
        let t = Vm::new(o.clone()).unwrap();
        assert_eq!(run(&t, &mut Fake::default(), source).0, Ended::Done, "{source}");
    }
}

#[test]
fn host_memory_counts() {
    let t = vm(false);
    assert!(!t.charge(limits().memory_bytes), "beyond the limit");
    assert!(t.charge(14 << 20));
    let source = "local s = ('x'):rep(4e6) return #s";
    let (end, _) = run(&t, &mut Fake::default(), source);
    assert!(matches!(&end, Ended::Error(e) if e.contains("not enough memory")), "{end:?}");
    t.discharge(14 << 20);
    assert_eq!(run(&t, &mut Fake::default(), source).0, Ended::Done);
}

#[test]
fn values_that_do_not_fit_end_the_request_and_nothing_else() {
    let mut o = options(false);
    o.limits.cpu_per_resume = Duration::from_secs(60);
    let t = Vm::new(o).unwrap();
    let mut host = Fake { answer: Some(lua_vm::Outcome::Wait), ..Fake::default() };
    let session = t.session();
    let chunk = t.load("=content", "ngx.say('x')").unwrap();
    let mut thread = session.thread(&chunk, &[]).unwrap();
    assert!(matches!(session.resume(&mut thread, &mut host, Phase::Content, &[]), Step::Yield));
    let big = [lua_vm::Value::Str(vec![b'x'; 17 << 20])];
    assert!(
        matches!(session.resume(&mut thread, &mut host, Phase::Content, &big), Step::Error(e) if e.kind == ErrorKind::Memory)
    );
    drop(thread);
    let big = serde_json::Value::from("x".repeat(17 << 20));
    assert_eq!(t.table(&big).err().map(|e| e.kind), Some(ErrorKind::Memory));
    assert_eq!(
        t.load("=x", &format!("return '{}'", "x".repeat(17 << 20))).err().map(|e| e.kind),
        Some(ErrorKind::Memory)
    );
    sound(&t);
}
