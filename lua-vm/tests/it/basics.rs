//! The way of a request through a VM when nothing goes wrong, and errors of scripts.
use crate::fake::{Ended, Fake, message, options, run, says, vm};
use lua_vm::{Arg, ErrorKind, Outcome, Phase, Step, Value, Vm};
use std::time::Duration;

fn check(source: &str, said: &str) {
    for trusted in [true, false] {
        assert_eq!(says(trusted, source), said, "trusted {trusted}: {source}");
    }
}

#[test]
fn accessors() {
    check("ngx.var.a = 'x' ngx.var.b = 12 ngx.say(ngx.var.a, ngx.var.b, ngx.var.c)", "x12nil\n");
    check("ngx.var.a = 'x' ngx.var.a = nil ngx.print(ngx.var.a)", "nil");
    check("ngx.print(pcall(function() ngx.var.fixed = 1 end))", "falsecontent:1: variable \"fixed\" not changeable");
    check("ngx.header.h = 'v' ngx.print(ngx.header.h) ngx.header.h = nil ngx.print(ngx.header.h)", "vnil");
    check("ngx.header.h = {'a', 'b'} ngx.print(ngx.header.h)", "ab");
    check("ngx.status = 404 ngx.print(ngx.status)", "404");
    check("ngx.print(ngx.get_phase(), ngx.time(), ' ', ngx.now())", "content1700000000 1700000000.125");
    check("ngx.print(pcall(ngx.sleep, -1))", "falseinvalid sleep duration \"-1000\"");
    check("ngx.sleep(0.1) ngx.print('x') ngx.sleep(1000) ngx.print('y')", "xy");
    check("ngx.print(pcall(ngx.sleep, 7))", "falseno timers left");
}

#[test]
fn output_and_its_errors() {
    check("ngx.say('a', 1, 1.5, true, nil, ngx.null, {'x', {1, 2}, false})", "a11.5truenilnullx12false\n");
    check(
        "ngx.print(select(2, pcall(ngx.say, print)))",
        "bad argument #1 to '?' (string, number, boolean, nil, ngx.null, or array table expected, but got function)",
    );
    check("ngx.print(select(2, pcall(ngx.say, {a = 1})))", "bad argument #1 to '?' (non-array table found)");
    check("ngx.print(select(2, pcall(ngx.say, {[1e9] = 1})))", "bad argument #1 to '?' (sparse table found)");
    let t = vm(true);
    let mut host = Fake { answer: Some(Outcome::Fail("closed".into())), ..Fake::default() };
    run(&t, &mut host, "local ok, err = ngx.say('x') ngx.say(ok, err)");
    assert_eq!(host.output, b"x\nnilclosed\n");
    host.answer = Some(Outcome::Wait);
    host.output.clear();
    assert_eq!(run(&t, &mut host, "local ok = ngx.say('x') ngx.say(ok)"), (Ended::Done, 1));
    assert_eq!(host.output, b"x\n1\n");
}

#[test]
fn exit_ends_the_request_even_inside_coroutines_and_pcall() {
    for source in [
        "ngx.exit(403) ngx.say('no')",
        "pcall(function() ngx.exit(403) end) ngx.say('no')",
        "coroutine.wrap(function() ngx.exit(403) end)() ngx.say('no')",
        "local function f() return ngx.exit(403) end f() ngx.say('no')",
    ] {
        let mut host = Fake::default();
        assert_eq!(run(&vm(false), &mut host, source).0, Ended::Exit(403), "{source}");
        assert_eq!(host.output, b"", "{source}");
    }
}

#[test]
fn phases_on_the_main_state_return_and_share_the_context() {
    let t = vm(false);
    let session = t.session();
    let mut host = Fake { phase: Some(Phase::HeaderFilter), ..Fake::default() };
    let content = t.load("=content", "ngx.ctx.n = 41 ngx.ctx.list = {1}").unwrap();
    let mut thread = session.thread(&content, &[]).unwrap();
    assert!(matches!(session.resume(&mut thread, &mut host, Phase::Content, &[]), Step::Done));
    let filter =
        t.load("=header_filter", "local config, s, b = ... ngx.exit(0) return ngx.ctx.n + config.one").unwrap();
    let config = t.table(&serde_json::json!({"one": 1, "deep": [{"x": null}]})).unwrap();
    let args = [Arg::Handle(&config), Arg::Str(b"s"), Arg::Bool(true)];
    assert_eq!(session.clone().call(&mut host, Phase::HeaderFilter, &filter, &args), Ok(Some(42)));
    let other = t.session();
    let read = t.load("=log", "return ngx.ctx.n").unwrap();
    assert_eq!(other.call(&mut host, Phase::Log, &read, &[]), Ok(None), "contexts are per session");
    drop(session);
    let fresh = t.session();
    assert_eq!(fresh.call(&mut host, Phase::Log, &read, &[]), Ok(None), "a context goes with its session");
    let sleeps = t.load("=log", "ngx.sleep(1)").unwrap();
    let error = fresh.call(&mut host, Phase::Log, &sleeps, &[]);
    assert_eq!(message(error), "log:1: API disabled in the context of log_by_lua*");
}

#[test]
fn output_runs_filters_of_the_same_vm_and_of_another() {
    let t = vm(false);
    let filter = t.load("=body_filter", "ngx.ctx.bytes = (ngx.ctx.bytes or 0) + #(...)").unwrap();
    let mut host = Fake { body_filter: Some(filter), ..Fake::default() };
    let source = "ngx.say('abc') ngx.print({'d', 'e'}) ngx.print(ngx.ctx.bytes, ngx.get_phase())";
    assert_eq!(run(&t, &mut host, source).0, Ended::Done);
    assert_eq!(host.output, b"abc\nde6content");
    host.body_filter = Some(t.load("=body_filter", "error('bad')").unwrap());
    host.output.clear();
    assert_eq!(
        run(&t, &mut host, "local ok, err = ngx.say('x') assert(not ok and err == 'body_filter:1: bad')").0,
        Ended::Done
    );
}

#[test]
fn values_of_a_resume_are_what_the_operation_returns() {
    let t = vm(true);
    let session = t.session();
    let chunk = t
        .load("=content", "local a, b, c, d = ngx.say('x') assert(a == nil and b == 'err' and c == 3 and d == true)")
        .unwrap();
    let mut host = Fake { answer: Some(Outcome::Wait), ..Fake::default() };
    let mut thread = session.thread(&chunk, &[Arg::Int(1), Arg::Num(1.5), Arg::Nil]).unwrap();
    assert!(matches!(session.resume(&mut thread, &mut host, Phase::Content, &[Value::Int(9)]), Step::Yield));
    let values = [Value::Nil, Value::Str(b"err".to_vec()), Value::Int(3), Value::Bool(true)];
    let step = session.resume(&mut thread, &mut host, Phase::Content, &values);
    assert!(matches!(step, Step::Done), "{step:?}");
    let step = session.resume(&mut thread, &mut host, Phase::Content, &[]);
    assert!(matches!(step, Step::Error(_)), "a finished thread cannot go on");
}

#[test]
fn errors_have_openrestys_texts() {
    let t = vm(false);
    let error = t.load("=access", "x = = 1").err().expect("does not parse");
    assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Syntax, "access:1: unexpected symbol near '='"));
    let error = t.load("=access", "\u{1b}LJ\u{2}").err().expect("bytecode");
    assert_eq!(error.kind, ErrorKind::Syntax);
    let mut host = Fake::default();
    let (end, _) = run(&t, &mut host, "local function f() error('bad') end\nf() return 1");
    let text = "content:1: bad\nstack traceback:\ncoroutine 0:\n\t[C]: in function 'error'\n\tcontent:1: in function 'f'\n\tcontent:2: in main chunk";
    assert_eq!(end, Ended::Error(text.into()));
    assert!(matches!(run(&t, &mut host, "error({})").0, Ended::Error(e) if e.starts_with("unknown reason\n")));
    let chunk = t.load("=log", "local function f() error('bad') end\nf() return 1").unwrap();
    let error = t.session().call(&mut host, Phase::Log, &chunk, &[]).expect_err("raises");
    assert_eq!(error.message, "log:1: bad");
    assert!(error.traceback.starts_with("\t[C]: in function 'error'\n\tlog:1: in function 'f'"), "{error}");
}

#[test]
fn log_names_its_place() {
    let t = vm(false);
    let mut host = Fake::default();
    let source = "ngx.log(ngx.ERR, 'a', 1, nil, true, ngx.null)\nlocal function f() ngx.log(ngx.WARN, 'x') end f() print('p', 2)";
    assert_eq!(run(&t, &mut host, source).0, Ended::Done);
    let lines = ["4 [lua] content:1: a1niltruenull", "5 [lua] content:2: f(): x", "6 [lua] content:2: p2"];
    assert_eq!(host.logged, lines);
    check("ngx.print(pcall(ngx.log, 99, 'x'))", "falsebad argument #1 to '?' (bad log level: 99)");
}

#[test]
fn panics_of_the_host_become_errors_of_the_script() {
    let mut o = options(false);
    // Printing a panic's backtrace takes longer than a script may.
    o.limits.cpu_per_resume = Duration::from_secs(30);
    o.limits.cpu_per_request = Duration::from_secs(30);
    let t = Vm::new(o).unwrap();
    let mut host = Fake { panics: true, ..Fake::default() };
    let (end, _) = run(&t, &mut host, "assert(ngx.var.panic == nil) ngx.say(pcall(ngx.print, 'panic'))");
    assert_eq!(end, Ended::Done);
    assert_eq!(host.output, b"falseinternal error\n");
}

#[test]
fn modules_and_globals() {
    let mut o = options(false);
    o.modules.insert("shop.util".into(), "local name = ... ngx.sleep(1) return {name = name, n = (N or 0) + 1}".into());
    o.modules.insert("bad".into(), "return +".into());
    let t = Vm::new(o).unwrap();
    let mut host = Fake::default();
    let source = "local u = require 'shop.util' assert(u == require 'shop.util' and package.loaded['shop.util'] == u) ngx.say(u.name, u.n)
        ngx.say(select(2, pcall(require, 'bad'))) ngx.say(select(2, pcall(require, 'nope'))) counter = 1 counter = 2";
    assert_eq!(run(&t, &mut host, source), (Ended::Done, 1));
    let said = String::from_utf8_lossy(&host.output).into_owned();
    assert!(said.starts_with("shop.util1\nerror loading module 'bad':\n\tbad:1: unexpected symbol"), "{said}");
    assert!(said.contains("module 'nope' not found:"), "{said}");
    assert_eq!(host.logged.len(), 1, "{:?}", host.logged);
    assert!(host.logged[0].contains("writing a global Lua variable ('counter')"), "{:?}", host.logged);
}

#[test]
fn openrestys_table_functions() {
    check(
        "ngx.print(table.isempty{}, table.isempty{1}, table.isarray{1, 2}, table.isarray{a = 1})",
        "truefalsetruefalse",
    );
    check("ngx.print(table.nkeys{1, a = 2}, require('table.clone'){7}[1], require 'table.new'(4, 4))", "27");
    check(
        "local t = {1} table.clear(t) ngx.print(#t, pcall(table.nkeys, 1))",
        "0falsebad argument #1 to 'nkeys' (table expected, got number)",
    );
}

#[test]
fn chunks_with_two_arguments_show_no_frame_of_ours() {
    let t = vm(false);
    let mut host = Fake::default();
    let source = "local config, meta = ... local function f() error(config) end f() return meta";
    let chunk = t.load("=access", source).unwrap();
    let session = t.session();
    let args = || [Arg::Str(b"bad"), Arg::Int(7)];
    for _ in 0..300 {
        let mut thread = session.thread(&chunk, &args()).unwrap();
        let Step::Error(error) = session.resume(&mut thread, &mut host, Phase::Access, &[]) else { panic!("raises") };
        let text = "access:1: bad\nstack traceback:\ncoroutine 0:\n\t[C]: in function 'error'\n\taccess:1: in function 'f'\n\taccess:1: in main chunk";
        assert_eq!(error.to_string().replace("access: in", "access:1: in"), text);
        let error = session.call(&mut host, Phase::Log, &chunk, &args()).expect_err("raises");
        assert!(!error.to_string().contains("entry"), "{error}");
    }
    let logs = t.load("=access", "ngx.log(ngx.ERR, 'x')").unwrap();
    assert_eq!(session.call(&mut host, Phase::Log, &logs, &args()), Ok(None));
    assert_eq!(host.logged, ["4 [lua] access:1: x"]);
    let adds = t.load("=access", "local a, b = ... return a + b + select('#', ...)").unwrap();
    assert_eq!(session.call(&mut host, Phase::Log, &adds, &[Arg::Int(1), Arg::Int(2)]), Ok(Some(5)));
    assert_eq!(session.call(&mut host, Phase::Log, &adds, &[Arg::Int(1), Arg::Int(2), Arg::Nil]), Ok(Some(6)));
}
