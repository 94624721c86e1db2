use std::rc::Rc;
use std::sync::Arc;

use lua_vm::{Arg, Phase};

use crate::exchange::body::Held;
use crate::exchange::{Conn, Exchange};
use crate::lua::vms::tests::spec;
use crate::lua::vms::{Bucket, RequestVm, ScopeVm};
use crate::worker::{Shared, Worker};

/// A namespace's VM with 8 MiB, and a worker.
fn vm() -> (Rc<Worker>, Rc<ScopeVm>) {
    let worker = Worker::new(0, Arc::new(Shared::new(1)));
    let vm = ScopeVm::new(&worker, Arc::new(spec("shop")), Rc::new(Bucket::new(1, 100))).expect("a VM");
    (worker, vm)
}

/// A request whose scripts run in this VM.
fn request(worker: &Rc<Worker>, vm: &Rc<ScopeVm>) -> Box<Exchange> {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let mut ex = Exchange::new(worker.clone(), Rc::new(Conn::new(nowhere, nowhere, None, 1)));
    ex.lua.used = true;
    ex.lua.sessions.push(RequestVm::new(vm.clone(), vm.vm.session()));
    ex
}

/// Runs a script in it.
fn run(ex: &mut Exchange, phase: Phase, source: &str) -> Result<(), String> {
    let session = ex.lua.sessions[0].session.clone();
    let chunk = session.vm().load("=test", source).map_err(|e| e.to_string())?;
    ex.lua.phase = Some(phase);
    session.call(ex, phase, &chunk, &[Arg::Nil, Arg::Nil]).map(drop).map_err(|e| e.message)
}

#[test]
fn what_a_request_holds_is_charged_and_given_back_with_it() {
    let check = |phase: Phase, source: &str, at_least: usize| {
        let (worker, vm) = vm();
        let mut ex = request(&worker, &vm);
        ex.req.body.held = Some(Held::Memory(Vec::new()));
        assert_eq!(run(&mut ex, phase, source), Ok(()), "{source}");
        let charged = vm.vm.charged_bytes();
        assert!(charged >= at_least, "{source}: {charged} of {at_least}");
        drop(ex);
        assert_eq!(vm.vm.charged_bytes(), 0, "{source}");
    };
    check(Phase::Content, "ngx.print(('x'):rep(50000))", 50_000);
    check(Phase::Content, "ngx.header.a = ('x'):rep(50000)", 45_000);
    check(Phase::Rewrite, "for i = 1, 100 do ngx.req.set_header('a' .. i, ('x'):rep(500)) end", 45_000);
    check(Phase::Rewrite, "ngx.var.args = ('x'):rep(50000)", 45_000);
    check(Phase::Rewrite, "ngx.req.set_uri('/' .. ('x'):rep(50000))", 45_000);
    check(Phase::Rewrite, "ngx.req.set_uri_args(('x'):rep(50000))", 45_000);
    check(Phase::Access, "ngx.req.set_body_data(('x'):rep(10000))", 10_000);
    check(Phase::Access, "ngx.req.init_body() for i = 1, 10 do ngx.req.append_body(('x'):rep(1000)) end", 10_000);
    check(Phase::BodyFilter, "ngx.arg[1] = ('x'):rep(50000)", 50_000);
    // A body that went to a file is no memory.
    check(Phase::Access, "ngx.req.set_body_data(('x'):rep(100000))", 0);
}

#[test]
fn a_charge_over_the_limit_fails_its_operation_and_the_vm_goes_on() {
    let check = |phase: Phase, source: &str| {
        let (worker, vm) = vm();
        let mut ex = request(&worker, &vm);
        ex.req.body.held = Some(Held::Memory(Vec::new()));
        let error = run(&mut ex, phase, source).expect_err(source);
        assert!(error.ends_with("not enough memory"), "{source}: {error}");
        assert!(ex.out.queued() < 9 << 20, "{source}");
        drop(ex);
        assert_eq!(vm.vm.charged_bytes(), 0, "{source}");
        let mut next = request(&worker, &vm);
        assert_eq!(run(&mut next, phase, "assert(1 + 1 == 2)"), Ok(()), "{source}");
    };
    let big = "local s = ('x'):rep(2^20) ";
    check(Phase::Content, &format!("{big} ngx.print({{s, s, s, s, s, s, s, s}})"));
    check(Phase::Content, &format!("{big} for i = 1, 8 do ngx.header['a' .. i] = s end"));
    check(Phase::Rewrite, &format!("{big} for i = 1, 8 do ngx.req.set_header('a' .. i, s) end"));
    check(Phase::Rewrite, &format!("{big} for i = 1, 8 do ngx.var.args = s end"));
    check(Phase::Rewrite, &format!("{big} for i = 1, 8 do ngx.req.set_uri(s) end"));
    check(Phase::BodyFilter, &format!("{big} ngx.arg[1] = {{s, s, s, s, s, s, s, s}}"));
    check(Phase::Access, "local s = ('\\255'):rep(2^20) ngx.escape_uri(s .. s)");
    check(Phase::Access, "local s = ('a&'):rep(2^19) ngx.decode_args(s, 0)");
    check(Phase::Access, "local s = (\"'\"):rep(2^20) ngx.quote_sql_str(s .. s .. s)");
    check(
        Phase::Access,
        "ngx.req.init_body() while true do ngx.req.append_body(('x'):rep(1000)) ngx.var.args = ('x'):rep(1000) end",
    );
}

#[test]
fn headers_and_variables_of_ordinary_size_are_free() {
    let (worker, vm) = vm();
    let mut ex = request(&worker, &vm);
    assert_eq!(run(&mut ex, Phase::Content, "for i = 1, 20 do ngx.header['a' .. i] = 'some value' end"), Ok(()));
    assert_eq!(vm.vm.charged_bytes(), 0);
}
