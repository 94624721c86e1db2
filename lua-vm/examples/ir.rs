//! Instructions of the VM's hot paths, by callgrind: the work of the second half of the rounds less that of the first.
//!
//!     lua-vm/ir.sh            # every path
//!     lua-vm/ir.sh enter      # one
#![expect(clippy::panic, reason = "a measurement of a script that fails is none")]
use lua_vm::{Arg, Chunk, Host, Limits, Outcome, Phase, Session, Step, Vm, VmOptions};
use std::time::Duration;

/// A request with a few variables and headers, as cheap as a host can be.
struct Fixed {
    status: i32,
    header: Vec<u8>,
}

impl Host for Fixed {
    fn var_get(&mut self, name: &[u8]) -> Option<&[u8]> {
        match name {
            b"uri" => Some(b"/v1/users/1234567/orders"),
            b"remote_addr" => Some(b"192.0.2.17"),
            b"request_method" => Some(b"GET"),
            b"host" => Some(b"api.example.com"),
            b"http_authorization" => Some(b"Bearer eyJhbGciOiJIUzI1NiJ9"),
            _ => None,
        }
    }
    fn var_set(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn resp_header_get(&mut self, _: &[u8]) -> Option<&[u8]> {
        Some(&self.header)
    }
    fn resp_header_set(&mut self, _: &[u8], value: Option<&[u8]>, _: bool) -> Result<i32, &[u8]> {
        self.header.clear();
        self.header.extend_from_slice(value.unwrap_or_default());
        Ok(0)
    }
    fn req_method(&mut self) -> Option<&[u8]> {
        Some(b"GET")
    }
    fn status_get(&mut self) -> i32 {
        self.status
    }
    fn status_set(&mut self, code: i32) -> Result<i32, &[u8]> {
        self.status = code;
        Ok(0)
    }
    fn exit(&mut self, _: i32) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn sleep(&mut self, _: f64) -> Result<i32, &[u8]> {
        Ok(1)
    }
    fn now(&mut self) -> f64 {
        1.7e9
    }
    fn time(&mut self) -> f64 {
        1.7e9
    }
    fn update_time(&mut self) {}
    fn log(&mut self, _: i32, message: &[u8]) {
        eprintln!("{}", String::from_utf8_lossy(message));
    }
    fn output(&mut self, _: &Session<Self>, _: &[u8]) -> Outcome {
        Outcome::Ok
    }
}

/// A path's name and its script; the loops do 100 operations.
const PATHS: &[(&str, &str)] = &[
    ("enter", ""),
    ("call", ""),
    ("suspend", "ngx.sleep(0)"),
    ("ctx-once", "ngx.ctx.x = 1"),
    ("var-compiled-x100", "local v = ngx.var for i = 1, 100 do local a = v.uri end"),
    // The closure keeps the caller from being compiled; the next path is what it costs itself.
    ("var-mixed-x100", "local v = ngx.var for i = 1, 100 do local g = function() end local a = v.uri end"),
    ("base-of-mixed-x100", "local v = ngx.var for i = 1, 100 do local g = function() end end"),
    ("header-compiled-x100", "local h = ngx.header for i = 1, 100 do h.x = 'v' end"),
    ("ctx-compiled-x100", "local n for i = 1, 100 do n = ngx.ctx end"),
    ("phase-compiled-x100", "local n for i = 1, 100 do n = ngx.get_phase() end"),
    (
        "handler",
        "local var, header = ngx.var, ngx.header
         local ctx = ngx.ctx
         ctx.method = ngx.req.get_method() ctx.uri = var.uri ctx.addr = var.remote_addr ctx.host = var.host
         local auth = var.http_authorization
         if auth and auth:sub(1, 7) == 'Bearer ' then ctx.token = auth:sub(8) end
         if var.arg_debug then ctx.debug = true end
         header['X-Request'] = ctx.host .. ctx.uri ctx.start = ngx.now() ctx.phase = ngx.get_phase()
         if ngx.status == 404 then ctx.missing = true end",
    ),
];

fn vm() -> Vm<Fixed> {
    let mut options = VmOptions::default();
    // Under callgrind everything takes fifty times as long.
    let long = Duration::from_secs(1000);
    options.limits = Limits { cpu_per_resume: long, cpu_per_request: long, ..options.limits };
    Vm::new(options).expect("a VM")
}

fn round(name: &str, vm: &Vm<Fixed>, host: &mut Fixed, chunk: &Chunk<Fixed>) {
    let session = vm.session();
    if name == "call" {
        session.call(host, Phase::Log, chunk, &[Arg::Nil, Arg::Nil]).expect("runs");
        return;
    }
    let mut thread = session.thread(chunk, &[Arg::Nil, Arg::Nil]).expect("a thread");
    loop {
        match session.resume(&mut thread, host, Phase::Access, &[]) {
            Step::Done => return,
            Step::Yield => {}
            Step::Error(error) => {
                eprintln!("{name}: {error}");
                panic!("{name} failed");
            }
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (name, rounds) = (args.next().unwrap_or_default(), args.next().and_then(|n| n.parse().ok()).unwrap_or(10_000));
    let Some((name, source)) = PATHS.iter().find(|(path, _)| *path == name) else {
        PATHS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let vm = vm();
    let chunk = vm.load("=access", source).expect("compiles");
    let mut host = Fixed { status: 200, header: Vec::with_capacity(64) };
    for _ in 0..rounds {
        round(name, &vm, &mut host, &chunk);
    }
}
