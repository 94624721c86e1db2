//! Every allocation of a request fails once: the request may fail, the process and the VM may not.
use crate::fake::{Ended, Fake, run, run_chunk, vm};
use crate::limits::SOUND;
use lua_vm::{Arg, Phase};

/// Uses what the host offers, errors included.
const REQUEST: &str = r#"
local function try(f, ...) return pcall(f, ...) end
ngx.ctx.user = {name = 'x' .. tostring({})}
ngx.var.a = 'v' .. ngx.ctx.user.name
assert(ngx.var.a == 'v' .. ngx.ctx.user.name)
try(function() ngx.var.fixed = 1 end)
ngx.header.h = {'a', 'b'} ngx.header.k = 1 ngx.header.k = nil
local _ = ngx.header.h, ngx.status, ngx.get_phase(), ngx.now(), ngx.time()
ngx.status = 201
ngx.log(ngx.ERR, 'text ', 1.5, nil, true, setmetatable({}, {__tostring = function() return 'object' end}))
print('to the log', {})
ngx.say('a', {1, {true, 'x'}}, ngx.null) ngx.print('b')
try(ngx.say, print)
try(ngx.sleep, 7)
ngx.sleep(1)
coroutine.wrap(function() ngx.sleep(1) coroutine.yield() end)()
local co = coroutine.create(function(...) ngx.ctx.co = {...} local n = coroutine.yield(...) error({n}) end)
coroutine.resume(co, 1, 2, 3) coroutine.resume(co, 4)
try(string.gsub, 'abc', '.', function(c) return coroutine.wrap(function() return c .. c end)() end)
new_global = {} new_global = nil
local m = require 'shop' assert(m.n == 1)
try(require, 'bad') try(require, 'nope')
local f = load('local x = ... return {x}') f(1)
try(load, 'syntax error here')
table.sort({3, 1, 2}, function(a, b) return a < b end)
local parts = {} for i = 1, 30 do parts[i] = ('k%d'):format(i) end
local _ = table.concat(parts, ','), table.clone(parts), table.isarray(parts)
local _ = ngx.req.get_headers(), ngx.req.get_uri_args(), ngx.encode_args{a = 1, b = {'x', true}}
local _ = ('key=value; k2=v2'):match('(%w+)=(%w+)'), ('a-b-c'):gsub('%-', '+'), ('x'):find('y'), ('aXb'):gsub('%u', function(c) return c .. c end)
for k, v in ('a=1,b=2'):gmatch('(%w)=(%w)') do parts[k] = v end
local cjson = require 'cjson'
local _ = cjson.encode {a = {1, 2, {b = 'text' .. tostring({})}}, c = true}, cjson.decode '{"a": [1, 2, {"b": "c\\u00e9"}], "d": null}'
try(cjson.decode, '{"a": ') try(cjson.encode, {print})
local m = ngx.re.match('hello 1234', '([a-z]+) ([0-9]+)', 'jo') local _ = ngx.re.gsub('a,b', ',', ';', 'jo'), ngx.re.find('x', 'y')
try(ngx.re.match, 'x', '(')
try(error, 'plain')
local r = xpcall(function() error('handled') end, function(e) return debug.traceback(e) end)
error('the end')
"#;

fn sweep(trusted: bool, after: impl Fn(u64)) {
    let mut options = crate::fake::options(trusted);
    options.modules.insert("shop".into(), "return {n = 1}".into());
    options.modules.insert("bad".into(), "return +".into());
    let t = lua_vm::Vm::new(options).unwrap();
    let chunk = t.load("=content", REQUEST).unwrap();
    let log = t
        .load("=log", "local s = ... ngx.ctx.logged = {s .. 'x'} ngx.log(ngx.INFO, s, ngx.ctx.logged[1]) return #s")
        .unwrap();
    let filter = t.load("=body_filter", "ngx.ctx.n = (ngx.ctx.n or 0) + #(...) local t = {...} error(t[1])").unwrap();
    let mut completed = 0;
    for n in 1.. {
        let mut host = Fake { body_filter: Some(filter.clone()), ..Fake::default() };
        let session = t.session();
        t.fail_allocation(n);
        let (end, _) = run_chunk(&session, &mut host, &chunk);
        _ = session.call(&mut host, Phase::Log, &log, &[Arg::Str(b"text")]);
        let met = !t.fail_allocation(0);
        assert!(matches!(end, Ended::Error(_)), "{n}: {end:?}");
        drop(session);
        assert_eq!(run(&t, &mut Fake::default(), SOUND).0, Ended::Done, "after the failure of allocation {n}");
        after(n);
        if !met {
            completed += 1;
            assert!(matches!(&end, Ended::Error(e) if e.contains("the end")), "{end:?}");
            // Traces are compiled meanwhile, which changes what is allocated: several in a row met no failure.
            if completed > 3 {
                assert!(n > 100, "only {n} allocations");
                return;
            }
        }
    }
}

#[test]
fn any_allocation_may_fail_in_a_trusted_vm() {
    sweep(true, |_| {});
}

#[test]
fn any_allocation_may_fail_in_a_namespace() {
    sweep(false, |_| {});
}

#[test]
fn any_allocation_may_fail_while_coroutines_wait() {
    let t = vm(false);
    let chunk = t.load("=content", "local a = coroutine.wrap(function() ngx.sleep(1) return ('x'):rep(100) .. tostring({}) end)() ngx.sleep(1)").unwrap();
    for n in 1..200 {
        t.fail_allocation(n);
        _ = run_chunk(&t.session(), &mut Fake::default(), &chunk);
        t.fail_allocation(0);
        assert_eq!(run(&t, &mut Fake::default(), SOUND).0, Ended::Done, "{n}");
    }
}
