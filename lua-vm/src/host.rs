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
        // Variables.

        /// `ngx.var.NAME`
        fn var_get(name: &[u8]) -> Option<&[u8]>;
        /// `ngx.var.NAME = value`; `None` clears it. Errors are raised, e.g. `variable "x" not changeable`.
        fn var_set(name: &[u8], value: Option<&[u8]>) -> Result<i32, &[u8]>;

        // The request. "Packed" is the layout that `unpack_pairs` of `prelude/ngx.lua` reads.

        /// The first value of a request header, the name in any case.
        fn req_header(name: &[u8]) -> Option<&[u8]> = None;
        /// The packed request headers, at most `max` of them when positive; names in lower case unless `raw`.
        fn req_headers(max: i32, raw: bool) -> Option<&[u8]> = None;
        /// `ngx.req.set_header`; `None` removes; `add` keeps the values that are there.
        fn req_header_set(name: &[u8], value: Option<&[u8]>, add: bool) -> Result<i32, &[u8]> = Ok(0);
        /// The method as it stands on the wire.
        fn req_method() -> Option<&[u8]> = None;
        /// Sets the method by nginx's number; false: unknown.
        fn req_method_set(id: i32) -> bool = false;
        /// `ngx.req.set_uri`
        fn req_uri_set(uri: &[u8], binary: bool) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.req.set_uri` with a jump: the script yields and is never resumed.
        fn req_jump() = ();
        /// The packed arguments of the query string; an error is raised.
        fn req_uri_args(max: i32) -> Result<Option<&[u8]>, &[u8]> = Ok(None);
        /// `ngx.req.set_uri_args`, the arguments as text; an error is raised.
        fn req_args_set(args: &[u8]) -> Result<i32, &[u8]> = Ok(0);
        /// The packed arguments of the body; an error is raised.
        fn req_post_args(max: i32) -> Result<Option<&[u8]>, &[u8]> = Ok(None);
        /// `ngx.req.raw_header`
        fn req_raw_header(no_request_line: bool) -> Result<Option<&[u8]>, &[u8]> = Ok(None);
        /// `ngx.req.start_time`
        fn req_start_time() -> f64 = 0.0;
        /// `ngx.req.http_version`
        fn req_http_version() -> f64 = 1.1;
        /// `ngx.req.is_internal`
        fn req_is_internal() -> bool = false;

        // Its body. Errors are raised.

        /// `ngx.req.read_body`: 0 it is there, 1 the script waits.
        fn body_read() -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.req.discard_body`
        fn body_discard() = ();
        /// `ngx.req.get_body_data`; cut at `max` when positive.
        fn body_data(max: f64) -> Option<&[u8]> = None;
        /// `ngx.req.get_body_file`
        fn body_file() -> Option<&[u8]> = None;
        /// `ngx.req.set_body_data`
        fn body_set(data: &[u8]) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.req.set_body_file`
        fn body_set_file(name: &[u8], remove: bool) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.req.init_body`
        fn body_init(size: f64) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.req.append_body`
        fn body_append(data: &[u8]) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.req.finish_body`
        fn body_finish() -> Result<i32, &[u8]> = Ok(0);

        // The response.

        /// `ngx.header.NAME` when it has exactly one value.
        fn resp_header_get(name: &[u8]) -> Option<&[u8]>;
        /// `ngx.header.NAME` when it has several, packed.
        fn resp_header_all(name: &[u8]) -> Option<&[u8]> = None;
        /// `ngx.header.NAME = value`; `None` removes it; `add` keeps the values that are there.
        fn resp_header_set(name: &[u8], value: Option<&[u8]>, add: bool) -> Result<i32, &[u8]>;
        /// The packed response headers.
        fn resp_headers(max: i32, raw: bool) -> Option<&[u8]> = None;
        /// `ngx.status`
        fn status_get() -> i32;
        /// `ngx.status = code`; an error is raised.
        fn status_set(code: i32) -> Result<i32, &[u8]>;
        /// The reason phrase of the status that was set.
        fn reason_set(reason: &[u8]) = ();
        /// `ngx.headers_sent`
        fn headers_sent() -> bool = false;

        // The body filter's argument.

        /// `ngx.arg[1]`
        fn arg_data() -> Option<&[u8]> = None;
        /// `ngx.arg[2]`
        fn arg_eof() -> bool = false;
        /// `ngx.arg[1] = data`; `None` drops it. An error is raised.
        fn arg_set_data(data: Option<&[u8]>) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.arg[2] = eof`
        fn arg_set_eof(eof: bool) = ();

        // Flow.

        /// `ngx.exit(code)`: 0 the script yields and is never resumed, 1 it goes on (header_filter, balancer).
        fn exit(code: i32) -> Result<i32, &[u8]>;
        /// `ngx.redirect`: the script yields and is never resumed. Errors are raised.
        fn redirect(uri: &[u8], status: i32) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.sleep(seconds)`: 0 it is done, 1 the script waits and is resumed with no values.
        fn sleep(seconds: f64) -> Result<i32, &[u8]>;
        /// `ngx.timer.at`, `ngx.timer.every`: the number under which the prelude keeps the function. `place` is where
        /// it is defined. An error is returned beside nil.
        fn timer_add(delay: f64, every: bool, place: &[u8]) -> Result<i32, &[u8]> = Ok(0);
        /// `ngx.timer.running_count`, `ngx.timer.pending_count`
        fn timer_count(running: bool) -> i32 = 0;

        // Time.

        /// `ngx.now()`: seconds, with milliseconds.
        fn now() -> f64;
        /// `ngx.time()`: whole seconds.
        fn time() -> f64;
        /// `monotonic_time` of `resty.core.time`: seconds that never go back.
        fn monotonic() -> f64 = 0.0;
        /// `ngx.update_time()`
        fn update_time();
        /// `ngx.today` (0), `ngx.localtime` (1), `ngx.utctime` (2)
        fn time_text(kind: i32) -> Option<&[u8]> = None;
        /// `ngx.http_time`
        fn http_time(seconds: f64) -> Option<&[u8]> = None;
        /// `ngx.cookie_time`
        fn cookie_time(seconds: f64) -> Option<&[u8]> = None;
        /// `ngx.parse_http_time`: -1 when it is none.
        fn parse_http_time(text: &[u8]) -> f64 = -1.0;

        // The process.

        /// `ngx.worker.id`
        fn worker_id() -> i32 = 0;
        /// `ngx.worker.count`
        fn worker_count() -> i32 = 1;
        /// `ngx.worker.pid`
        fn worker_pid() -> i32 = 0;
        /// `ngx.worker.exiting`
        fn worker_exiting() -> bool = false;
        /// The highest of nginx's log levels that is logged now.
        fn log_level() -> i32 = 5;

        // Text. No answer where one is always to be had: the VM has no room for it.

        /// `ngx.escape_uri`
        fn escape_uri(text: &[u8], kind: i32) -> Option<&[u8]> = Some(&[]);
        /// `ngx.unescape_uri`
        fn unescape_uri(text: &[u8]) -> Option<&[u8]> = Some(&[]);
        /// `ngx.decode_args`, packed.
        fn decode_args(text: &[u8], max: i32) -> Option<&[u8]> = Some(&[0; 8]);
        /// Base64: the standard alphabet with (0) or without (1) padding, or the URL's without (2).
        fn encode_base64(text: &[u8], kind: i32) -> Option<&[u8]> = Some(&[]);
        /// Base64: the standard alphabet (0), the URL's (1), or MIME's, which skips foreign characters (2).
        fn decode_base64(text: &[u8], kind: i32) -> Option<&[u8]> = None;
        /// `ngx.md5` (`hex`), `ngx.md5_bin`
        fn md5(text: &[u8], hex: bool) -> Option<&[u8]> = Some(&[]);
        /// `ngx.sha1_bin`
        fn sha1(text: &[u8]) -> Option<&[u8]> = Some(&[]);
        /// `ngx.hmac_sha1`
        fn hmac_sha1(key: &[u8], text: &[u8]) -> Option<&[u8]> = Some(&[]);
        /// `ngx.crc32_short`, `ngx.crc32_long`
        fn crc32(text: &[u8]) -> f64 = 0.0;
        /// `ngx.quote_sql_str`
        fn quote_sql(text: &[u8]) -> Option<&[u8]> = Some(&[]);

        // `ngx.shared`. A value that comes back begins with the head that `value_of` of `prelude/ngx_shared.lua`
        // reads; `kind`, `text` and `number` are a value that goes in. Errors are returned beside nil.

        /// The number of a dict of the running script's scope; -1: none.
        fn dict_open(name: &[u8]) -> i32 = -1;
        /// `get`, `get_stale`
        fn dict_get(dict: i32, key: &[u8], stale: bool) -> Result<Option<&[u8]>, &[u8]> = Ok(None);
        /// `set` (0), `safe_set`, `add`, `safe_add`, `replace`: 1 when entries were evicted, plus twice the error's number.
        fn dict_store(dict: i32, how: i32, key: &[u8], kind: i32, text: &[u8], number: f64, ttl: f64, flags: i32) -> i32 = 0;
        /// `delete`
        fn dict_delete(dict: i32, key: &[u8]) = ();
        /// `incr`
        fn dict_incr(dict: i32, key: &[u8], by: f64, has_init: bool, init: f64, ttl: f64) -> Result<Option<&[u8]>, &[u8]> = Ok(None);
        /// `lpush`, `rpush`: the length.
        fn dict_push(dict: i32, left: bool, key: &[u8], kind: i32, text: &[u8], number: f64) -> Result<i32, &[u8]> = Ok(0);
        /// `lpop`, `rpop`
        fn dict_pop(dict: i32, left: bool, key: &[u8]) -> Result<Option<&[u8]>, &[u8]> = Ok(None);
        /// `llen`
        fn dict_llen(dict: i32, key: &[u8]) -> Result<i32, &[u8]> = Ok(0);
        /// `ttl`: not a number when there is no such key.
        fn dict_ttl(dict: i32, key: &[u8]) -> f64 = f64::NAN;
        /// `expire`: whether there is such a key.
        fn dict_expire(dict: i32, key: &[u8], ttl: f64) -> bool = false;
        /// `flush_all`
        fn dict_flush_all(dict: i32) = ();
        /// `flush_expired`: how many.
        fn dict_flush_expired(dict: i32, max: i32) -> i32 = 0;
        /// `get_keys`, packed.
        fn dict_keys(dict: i32, max: i32) -> Option<&[u8]> = None;
        /// `capacity`, or `free_space`
        fn dict_space(dict: i32, free: bool) -> f64 = 0.0;

        // `ngx.balancer`. Errors are returned beside nil.

        /// `set_current_peer`
        fn balancer_peer(address: &[u8], port: i32) -> Result<i32, &[u8]> = Ok(0);
        /// `set_more_tries`: true when fewer are granted.
        fn balancer_more_tries(count: i32) -> bool = false;
        /// `get_last_failure`: 0, or the state (2 `next`, 4 `failed`) plus 256 times the status.
        fn balancer_last_failure() -> i32 = 0;
        /// `set_timeouts`, in seconds; 0 leaves one as it is.
        fn balancer_timeouts(connect: f64, send: f64, read: f64) = ();
    }
    re_enter {
        /// `ngx.log`, and what the VM itself tells. `level` is nginx's (4 is error); `message` begins with `[lua]` and
        /// the place.
        fn log(&mut self, level: i32, message: &[u8]);

        /// `ngx.print` and `ngx.say` (whose newline is in `data`). May run filters through sessions, also of this VM.
        fn output(&mut self, session: &Session<Self>, data: &[u8]) -> Outcome;

        /// `ngx.send_headers`. May run filters.
        fn send_headers(&mut self, session: &Session<Self>) -> Outcome = Outcome::Ok;

        /// `ngx.flush`; `wait`: until what is queued is written. May run filters.
        fn flush(&mut self, session: &Session<Self>, wait: bool) -> Outcome = Outcome::Ok;

        /// `ngx.eof`. May run filters.
        fn eof(&mut self, session: &Session<Self>) -> Outcome = Outcome::Ok;
    }
}
