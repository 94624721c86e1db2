//! Each hot accessor is a trace of its own, also when its caller cannot be compiled: the reason why none may end in a
//! tail call to a builtin or cdata function.
use crate::fake::{Ended, Fake, run, vm};

/// Calls `f` from a function that the compiler must not touch, and tells what the compiler made of `f`.
const HARNESS: &str = "
local f, args = ...
local util = require 'jit.util'
local starts, stops, aborts, last = 0, 0, {}, nil
local function on_trace(what, tr, func, pc, otr)
  if what == 'start' then last = (func == f and not otr) and tr or nil if last then starts = starts + 1 end
  elseif what == 'stop' and tr == last then stops = stops + 1
  elseif what == 'abort' and tr == last then aborts[#aborts + 1] = tostring(pc) end
end
local function call() for i = 1, 400 do f(unpack(args)) end end
jit.off(call)
jit.attach(on_trace, 'trace')
call()
jit.attach(on_trace)
return starts, stops, #aborts
";

#[test]
fn hot_accessors_compile_alone() {
    for (name, accessor) in [
        ("ngx.var.x", "getmetatable(ngx.var).__index, {ngx.var, 'v'}"),
        ("ngx.var.x, absent", "getmetatable(ngx.var).__index, {ngx.var, 'absent'}"),
        ("ngx.var.x = v", "getmetatable(ngx.var).__newindex, {ngx.var, 'w', 'v'}"),
        ("ngx.header.x", "getmetatable(ngx.header).__index, {ngx.header, 'v'}"),
        ("ngx.header.x = v", "getmetatable(ngx.header).__newindex, {ngx.header, 'w', 'v'}"),
        ("ngx.ctx", "getmetatable(ngx).__index, {ngx, 'ctx'}"),
        ("ngx.status", "getmetatable(ngx).__index, {ngx, 'status'}"),
        ("ngx.now", "ngx.now, {}"),
        ("ngx.time", "ngx.time, {}"),
        ("ngx.get_phase", "ngx.get_phase, {}"),
        ("ngx.req.get_method", "ngx.req.get_method, {}"),
    ] {
        let t = vm(true);
        let mut host = Fake::default();
        host.vars.insert(b"v".to_vec(), b"value".to_vec());
        host.response.insert(b"v".to_vec(), b"value".to_vec());
        let source = format!("local harness = load([==[{HARNESS}]==]) ngx.print({{harness({accessor})}})");
        assert_eq!(run(&t, &mut host, &source).0, Ended::Done, "{name}");
        assert_eq!(String::from_utf8_lossy(&host.output), "110", "{name}: traces begun, made, given up");
    }
}
