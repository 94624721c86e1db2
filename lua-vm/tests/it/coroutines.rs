//! Coroutines of scripts, flat and native, and the host's threads.
use crate::fake::{Ended, Fake, options, run, says, vm};
use lua_vm::{Arg, Phase, Session, Step, Thread, Vm};

fn check(source: &str, said: &str) {
    for trusted in [true, false] {
        assert_eq!(says(trusted, source), said, "trusted {trusted}: {source}");
    }
}

#[test]
fn behave_as_luas() {
    check("local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) return c, 'end' end)
        ngx.print(coroutine.status(co), {coroutine.resume(co, 1, 2)}, coroutine.status(co), {coroutine.resume(co, 9)}, coroutine.status(co), {coroutine.resume(co)})",
        "suspendedtrue3suspendedtrue9enddeadfalsecannot resume dead coroutine");
    check("local f = coroutine.wrap(function() error('bad') end) ngx.print(pcall(f))", "falsecontent:1: bad");
    check(
        "local t = {} local f = coroutine.wrap(function() error(t) end) local ok, e = pcall(f) ngx.print(e == t)",
        "true",
    );
    check(
        "local g = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) for i in g do ngx.print(i) end",
        "123",
    );
    check("local outer outer = coroutine.create(function() local inner = coroutine.create(function() ngx.print(coroutine.status(outer), coroutine.resume(outer)) end)
        coroutine.resume(inner) end) coroutine.resume(outer)", "normalfalsecannot resume normal coroutine");
    check("local co = coroutine.create(function() local ok, e = pcall(function() coroutine.yield(1) error('after') end) return e end)
        coroutine.resume(co) ngx.print(select(2, coroutine.resume(co)))", "content:1: after");
    check("ngx.print((coroutine.resume(coroutine.create(ngx.get_phase))))", "true");
    check("ngx.print(pcall(coroutine.resume, 1))", "falsebad argument #1 to '?' (thread expected, got number)");
    check("coroutine.yield() ngx.print('x', coroutine.isyieldable(), coroutine.running() ~= nil)", "xtruetrue");
    // Wide hand-overs.
    check("local co = coroutine.create(function(...) return select('#', ...), ... end) local t = {} for i = 1, 5000 do t[i] = i end
        ngx.print(select(2, coroutine.resume(co, unpack(t))))", &format!("5000{}", (1..=5000).map(|i| i.to_string()).collect::<String>()));
}

#[test]
fn operations_inside_suspend_the_request_and_stay_invisible() {
    let source = "local co = coroutine.wrap(function() ngx.sleep(1) coroutine.yield('a') ngx.sleep(1) return 'b' end)
        ngx.print(co()) ngx.print(co())
        local deep = coroutine.wrap(function() return coroutine.wrap(function() ngx.sleep(1) return ngx.var.v end)() end)
        ngx.print(deep())
        local gen = coroutine.wrap(function() for i = 1, 3 do ngx.sleep(0) coroutine.yield(i) end end)
        for i in gen do ngx.print(i) end";
    for trusted in [true, false] {
        let mut host = Fake::default();
        host.vars.insert(b"v".to_vec(), b"c".to_vec());
        assert_eq!(run(&vm(trusted), &mut host, source), (Ended::Done, 6));
        assert_eq!(host.output, b"abc123");
    }
}

#[test]
fn native_below_c_functions_where_an_operation_is_refused() {
    check(
        "local t = {} string.gsub('ab', '.', function(c) t[#t + 1] = coroutine.wrap(function() coroutine.yield(c .. 1) end)() end) ngx.print(t)",
        "a1b1",
    );
    check(
        "ngx.print(select(2, pcall(string.gsub, 'a', 'a', function() ngx.sleep(1) end)))",
        "attempt to yield across C-call boundary",
    );
    check(
        "local ok, err = pcall(string.gsub, 'a', 'a', function() coroutine.wrap(function() ngx.sleep(1) end)() end) ngx.print(ok, err)",
        "falseattempt to yield across C-call boundary",
    );
}

#[test]
fn nesting_is_bounded() {
    let source = "local function f(n) local ok, e = coroutine.resume(coroutine.create(f), n + 1) if not ok then error(e, 0) end return e end
        ngx.print(select(2, pcall(f, 1)))";
    check(source, "too many nested coroutines");
    let t = vm(false);
    let chunk = t.load("=log", &source.replace("ngx.print(", "return #(")).unwrap();
    let result = t.session().call(&mut Fake::default(), Phase::Log, &chunk, &[]);
    assert_eq!(result, Ok(Some("C stack overflow".len() as i64)));
}

#[test]
fn main_state_coroutines_are_plain_lua() {
    let t = vm(false);
    let chunk = t
        .load(
            "=log",
            "local g = coroutine.wrap(function(n) while true do n = n + coroutine.yield(n) end end) g(1) return g(2)",
        )
        .unwrap();
    assert_eq!(t.session().call(&mut Fake::default(), Phase::Log, &chunk, &[]), Ok(Some(3)));
}

fn start(session: &Session<Fake>, vm: &Vm<Fake>, host: &mut Fake, source: &str) -> Thread<Fake> {
    let chunk = vm.load("=content", source).unwrap();
    let mut thread = session.thread(&chunk, &[]).unwrap();
    assert!(matches!(session.resume(&mut thread, host, Phase::Content, &[]), Step::Yield));
    thread
}

#[test]
fn no_script_resumes_what_waits_for_the_host() {
    for trusted in [true, false] {
        let t = vm(trusted);
        let (mut a, mut b) = (Fake::default(), Fake::default());
        let session = t.session();
        let mut waiting = start(
            &session,
            &t,
            &mut a,
            "S = {coroutine.running()} coroutine.wrap(function() S[2] = coroutine.running() ngx.sleep(1) ngx.print('woke') end)() ngx.print('!')",
        );
        let tries = "for i = 1, 2 do ngx.print(coroutine.status(S[i]), ' ', {coroutine.resume(S[i], 'x')}, ' ') end";
        run(&t, &mut b, tries);
        let refused = "normalfalsecannot resume normal coroutine";
        assert_eq!(String::from_utf8_lossy(&b.output).replace(' ', ""), format!("{0}{0}", refused.replace(' ', "")));
        assert!(matches!(session.resume(&mut waiting, &mut a, Phase::Content, &[]), Step::Done));
        assert_eq!(a.output, b"woke!");
        // One that its request left: nobody may go on with it.
        let left = start(
            &session,
            &t,
            &mut a,
            "S = {coroutine.running()} coroutine.wrap(function() S[2] = coroutine.running() ngx.sleep(1) ngx.print('woke') end)() ngx.print('!')",
        );
        drop(left);
        b.output.clear();
        run(&t, &mut b, tries);
        let refused = "deadfalsecannot resume dead coroutine".replace(' ', "");
        assert_eq!(String::from_utf8_lossy(&b.output).replace(' ', ""), format!("{refused}{refused}"));
    }
}

#[test]
fn two_thousand_suspended_sessions_keep_their_own_state() {
    let t = Vm::new(options(false)).unwrap();
    let source = "local id = ... ngx.ctx.id = id
        local function wait() ngx.sleep(0) assert(ngx.ctx.id == id and ngx.var.id == tostring(id)) end
        wait() pcall(wait) coroutine.wrap(function() wait() pcall(wait) coroutine.yield() end)() wait() ngx.print(id)";
    let chunk = t.load("=content", source).unwrap();
    let mut all: Vec<_> = (0..2000i64)
        .map(|id| {
            let session = t.session();
            let thread = session.thread(&chunk, &[Arg::Int(id)]).unwrap();
            let mut host = Fake::default();
            host.vars.insert(b"id".to_vec(), id.to_string().into_bytes());
            (id, session, thread, host)
        })
        .collect();
    for round in 0..6 {
        // Another order each time.
        all.sort_by_key(|(id, ..)| (id * 7919 + round) % 2003);
        for (id, session, thread, host) in &mut all {
            match session.resume(thread, host, Phase::Content, &[]) {
                Step::Yield if round < 5 => {}
                Step::Done if round == 5 => assert_eq!(host.output, id.to_string().as_bytes()),
                other => panic!("{id} in round {round}: {other:?}"),
            }
        }
    }
}

#[test]
fn dropped_threads_and_sessions_leave_nothing() {
    let t = vm(false);
    let mut host = Fake::default();
    let source = "ngx.ctx.big = ('x'):rep(100) .. tostring({}) coroutine.wrap(function() ngx.sleep(1) end)()";
    let chunk = t.load("=content", source).unwrap();
    let never = t.load("=content", "return").unwrap();
    let round = |host: &mut Fake| {
        let session = t.session();
        let mut thread = session.thread(&chunk, &[]).unwrap();
        drop(session.thread(&never, &[Arg::Str(b"not started")]).unwrap());
        let step = session.resume(&mut thread, host, Phase::Content, &[]);
        assert!(matches!(step, Step::Yield), "{step:?}");
    };
    (0..1000).for_each(|_| round(&mut host));
    (0..3).for_each(|_| t.collect());
    let before = t.memory_bytes();
    (0..10_000).for_each(|_| round(&mut host));
    (0..3).for_each(|_| t.collect());
    // A table may have grown between two collections; 10,000 of anything left would be megabytes.
    assert!(t.memory_bytes() < before + (64 << 10), "{before} -> {}", t.memory_bytes());
}

#[test]
fn dropping_everything_inside_a_run_is_put_off() {
    let t = vm(false);
    let filter = t.load("=body_filter", "return 1").unwrap();
    let mut host = Fake { body_filter: Some(filter), ..Fake::default() };
    host.drops = Some({
        let session = t.session();
        let thread =
            start(&session, &t, &mut Fake::default(), "ngx.ctx.x = 1 coroutine.wrap(function() ngx.sleep(1) end)()");
        (session, thread)
    });
    assert_eq!(run(&t, &mut host, "ngx.print('x') ngx.print(ngx.var.a)").0, Ended::Done);
    assert!(host.drops.is_none());
    (0..3).for_each(|_| t.collect());
    assert_eq!(run(&t, &mut host, "ngx.print('y')").0, Ended::Done);
}
