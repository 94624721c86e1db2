//! The host's side of the Lua API: what scripts can ask of a request.
//!
//! **To add a method**: add its signature to `host_api!` below, with a default (`= expression`) where a host may do
//! without it. The macro makes the trampoline and hands it to the prelude as `F.name`; call it there as
//! `F.name(ctx, args...)`, each `&[u8]` being two arguments (`s, #s`), each `Option<&[u8]>` two as well (`nil, 0` for
//! none). Check types first: a cdata in place of a string must not get that far. See `prelude/ngx.lua` for the forms.
//!
//! Arguments: `i32 u32 i64 f64 bool &[u8] Option<&[u8]>`.
//! Results, and what Lua gets:
//!
//! | Rust | Lua |
//! | --- | --- |
//! | nothing | 0 |
//! | `i32`, `f64`, `bool` | itself |
//! | `Option<&[u8]>` | 1 and the bytes in `ctx.out`, or 0 |
//! | `Result<i32, &[u8]>` | the number (not negative), or -1 and the text in `ctx.err` |
//! | `Result<Option<&[u8]>, &[u8]>` | 1 and `ctx.out`, 0, or -1 and `ctx.err` |
//!
//! Results that borrow are copied by Lua before it calls anything else. These methods must not run Lua: what may
//! re-enter a VM or must take a `Session` stands under `re_enter` and gets its C function in `cfun.rs`.
#[macro_use]
pub(crate) mod api;

use crate::Session;
use std::borrow::Cow;

/// What an operation that may re-enter Lua or wait says to the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The script gets 1.
    Ok,
    /// The script gets `nil` and the text.
    Fail(Cow<'static, str>),
    /// The script gets an error.
    Raise(Cow<'static, str>),
    /// The script is suspended: `resume` returns `Step::Yield`, and the values of the next resume are what it gets.
    /// Never in a phase that may not wait.
    Wait,
}

host_api! {
    /// What a request (or a timer) is to its scripts; the dataplane implements it. No method may keep a borrow of its
    /// arguments.
    trait Host {
        /// `ngx.var.NAME`
        fn var_get(name: &[u8]) -> Option<&[u8]>;
        /// `ngx.var.NAME = value`; `None` clears it. Errors are raised, e.g. `variable "x" not changeable`.
        fn var_set(name: &[u8], value: Option<&[u8]>) -> Result<i32, &[u8]>;
        /// The first value of a request header, the name in any case.
        fn req_header(name: &[u8]) -> Option<&[u8]>;
        /// `ngx.header.NAME`, its first value.
        fn resp_header_get(name: &[u8]) -> Option<&[u8]>;
        /// `ngx.header.NAME = value`; `None` removes it; `add` keeps the values that are there.
        fn resp_header_set(name: &[u8], value: Option<&[u8]>, add: bool) -> Result<i32, &[u8]>;
        /// `ngx.status`
        fn status_get() -> i32;
        /// `ngx.status = code`
        fn status_set(code: i32) -> Result<i32, &[u8]>;
        /// `ngx.exit(code)`: 0 the script yields and is never resumed, 1 it goes on (header_filter, balancer).
        fn exit(code: i32) -> Result<i32, &[u8]>;
        /// `ngx.sleep(seconds)`: 0 it is done, 1 the script waits and is resumed with no values.
        fn sleep(seconds: f64) -> Result<i32, &[u8]>;
        /// `ngx.now()`: the worker's cached time in seconds, with milliseconds.
        fn now() -> f64;
        /// `ngx.time()`: the cached time in whole seconds.
        fn time() -> f64;
        /// `ngx.update_time()`
        fn update_time();
    }
    re_enter {
        /// `ngx.log`, and what the VM itself tells. `level` is nginx's (4 is error); `message` begins with `[lua]` and
        /// the place.
        fn log(&mut self, level: i32, message: &[u8]);

        /// `ngx.print` and `ngx.say` (whose newline is in `data`). May run filters through sessions, also of this VM.
        fn output(&mut self, session: &Session<Self>, data: &[u8]) -> Outcome;
    }
}
