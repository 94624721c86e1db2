//! What scripts can ask of us: [`lua_vm::Host`] for [`Exchange`], one file per area of the API. The prelude
//! (`lua-vm/src/prelude/ngx*.lua`) checks phases and types; what comes here has the type that the signature says.

use std::rc::Rc;

use lua_vm::{Host, Outcome, Phase, Session};
use routing::key::PluginKey;

use crate::exchange::Exchange;
use crate::lua::vms::ScopeVm;
use crate::lua::{Exit, FilterArg, charge, encoding, timers, vars};
use crate::table::Scope;

mod balancer;
mod body;
mod clock;
mod control;
mod dicts;
mod escape;
mod log;
mod output;
mod pack;
mod request;
mod response;

pub use dicts::Slots;

/// A phase as OpenResty's texts name it.
pub(super) fn context(phase: Phase) -> &'static str {
    match phase {
        Phase::Init => "init_by_lua*",
        Phase::InitWorker => "init_worker_by_lua*",
        Phase::ServerRewrite => "server_rewrite_by_lua*",
        Phase::Rewrite => "rewrite_by_lua*",
        Phase::Access => "access_by_lua*",
        Phase::Content => "content_by_lua*",
        Phase::Balancer => "balancer_by_lua*",
        Phase::HeaderFilter => "header_filter_by_lua*",
        Phase::BodyFilter => "body_filter_by_lua*",
        Phase::Log => "log_by_lua*",
        Phase::Timer => "ngx.timer",
    }
}

/// Whose script runs.
pub(super) fn scope(ex: &Exchange) -> Option<&Scope> {
    Some(&ex.lua.running.as_ref()?.scope)
}

/// The script that runs is the platform's.
fn is_operator(ex: &Exchange) -> bool {
    scope(ex) == Some(&Scope::Operator)
}

/// The VM in which a script of this exchange runs.
pub(super) fn running_vm(ex: &Exchange) -> Option<Rc<ScopeVm>> {
    ex.lua.running.as_ref()?;
    ex.lua.sessions.get(ex.lua.at).map(|s| s.vm.clone())
}

/// Logs an error of the host's own about what a script did.
pub(crate) fn error(ex: &Exchange, message: &str) {
    log::host_error(ex, message);
}

/// Logs how a plugin's script failed.
pub(super) fn failure(ex: &Exchange, plugin: &PluginKey, message: &str) {
    log::write_of(ex, Some(plugin), log::ERROR, message.as_bytes());
}

/// Logs at nginx's level alert.
pub(super) fn alert(ex: &Exchange, message: &str) {
    log::write(ex, 2, message.as_bytes());
}

/// Lends made bytes from the scratch buffer.
fn lend(ex: &mut Exchange, bytes: impl Into<Vec<u8>>) -> &[u8] {
    ex.lua.scratch = bytes.into();
    &ex.lua.scratch
}

/// Lends what `fill` puts into the scratch buffer.
fn filled(ex: &mut Exchange, fill: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
    ex.lua.scratch.clear();
    fill(&mut ex.lua.scratch);
    &ex.lua.scratch
}

/// As `filled`, for what may take so many bytes; none when the script's VM has no room for them.
fn roomy(ex: &mut Exchange, bytes: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Option<&[u8]> {
    charge::has_room(ex, bytes).then(|| filled(ex, fill))
}

/// What a method that only fails with a text answers.
fn answer<T: Into<Vec<u8>>>(ex: &mut Exchange, result: Result<(), T>) -> Result<i32, &[u8]> {
    match result {
        Ok(()) => Ok(0),
        Err(text) => Err(lend(ex, text)),
    }
}

impl Host for Exchange {
    fn var_get(&mut self, name: &[u8]) -> Option<&[u8]> {
        vars::get(self, name)
    }
    fn var_set(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<i32, &[u8]> {
        let result = match charge::keep(self, value.map_or(0, <[u8]>::len)) {
            Ok(()) => vars::set(self, name, value),
            Err(text) => Err(text.into()),
        };
        answer(self, result)
    }

    fn req_header(&mut self, name: &[u8]) -> Option<&[u8]> {
        self.req.head.headers.get(name)
    }
    fn req_headers(&mut self, max: i32, raw: bool) -> Option<&[u8]> {
        Some(request::headers(self, max, raw))
    }
    fn req_header_set(&mut self, name: &[u8], value: Option<&[u8]>, add: bool) -> Result<i32, &[u8]> {
        let result = request::set_header(self, name, value, add);
        answer(self, result)
    }
    fn req_method(&mut self) -> Option<&[u8]> {
        Some(self.req.head.method.as_str().as_bytes())
    }
    fn req_method_set(&mut self, id: i32) -> bool {
        request::set_method(self, id)
    }
    fn req_uri_set(&mut self, uri: &[u8], binary: bool) -> Result<i32, &[u8]> {
        let result = request::set_uri(self, uri, binary);
        answer(self, result)
    }
    fn req_jump(&mut self) {
        self.lua.exit = Some(Exit::Jump);
    }
    fn req_uri_args(&mut self, max: i32) -> Result<Option<&[u8]>, &[u8]> {
        request::uri_args(self, max).map_err(str::as_bytes)
    }
    fn req_args_set(&mut self, args: &[u8]) -> Result<i32, &[u8]> {
        let result = request::set_args(self, args);
        answer(self, result)
    }
    fn req_post_args(&mut self, max: i32) -> Result<Option<&[u8]>, &[u8]> {
        body::post_args(self, max).map_err(str::as_bytes)
    }
    fn req_raw_header(&mut self, no_request_line: bool) -> Result<Option<&[u8]>, &[u8]> {
        request::raw_header(self, no_request_line).map(Some).map_err(str::as_bytes)
    }
    fn req_start_time(&mut self) -> f64 {
        request::start_time(self)
    }
    fn req_http_version(&mut self) -> f64 {
        request::http_version(self)
    }
    fn req_is_internal(&mut self) -> bool {
        self.req.path_changed
    }

    fn body_read(&mut self) -> Result<i32, &[u8]> {
        body::read(self).map(i32::from).map_err(str::as_bytes)
    }
    fn body_discard(&mut self) {
        body::discard(self);
    }
    fn body_data(&mut self, max: f64) -> Option<&[u8]> {
        body::data(self, max)
    }
    fn body_file(&mut self) -> Option<&[u8]> {
        body::file(self)
    }
    fn body_set(&mut self, data: &[u8]) -> Result<i32, &[u8]> {
        let result = body::set(self, data);
        answer(self, result)
    }
    fn body_set_file(&mut self, name: &[u8], remove: bool) -> Result<i32, &[u8]> {
        let result = body::set_file(self, name, remove);
        answer(self, result)
    }
    fn body_init(&mut self, size: f64) -> Result<i32, &[u8]> {
        let result = body::init(self, size);
        answer(self, result)
    }
    fn body_append(&mut self, data: &[u8]) -> Result<i32, &[u8]> {
        let result = body::append(self, data);
        answer(self, result)
    }
    fn body_finish(&mut self) -> Result<i32, &[u8]> {
        let result = body::finish(self);
        answer(self, result)
    }

    fn resp_header_get(&mut self, name: &[u8]) -> Option<&[u8]> {
        response::get(self, name)
    }
    fn resp_header_all(&mut self, name: &[u8]) -> Option<&[u8]> {
        response::get_all(self, name)
    }
    fn resp_header_set(&mut self, name: &[u8], value: Option<&[u8]>, add: bool) -> Result<i32, &[u8]> {
        let result = response::set(self, name, value, add);
        answer(self, result)
    }
    fn resp_headers(&mut self, max: i32, raw: bool) -> Option<&[u8]> {
        Some(response::headers(self, max, raw))
    }
    fn status_get(&mut self) -> i32 {
        self.resp.status.into()
    }
    fn status_set(&mut self, code: i32) -> Result<i32, &[u8]> {
        response::set_status(self, code);
        Ok(0)
    }
    fn reason_set(&mut self, reason: &[u8]) {
        response::set_reason(self, reason);
    }
    fn headers_sent(&mut self) -> bool {
        self.resp.head_sent
    }

    fn arg_data(&mut self) -> Option<&[u8]> {
        Some(&self.lua.arg.data)
    }
    fn arg_eof(&mut self) -> bool {
        self.lua.arg.eof
    }
    fn arg_set_data(&mut self, data: Option<&[u8]>) -> Result<i32, &[u8]> {
        let data = data.unwrap_or_default();
        charge::arg(self, data.len()).map_err(str::as_bytes)?;
        self.lua.arg = FilterArg { data: data.to_vec(), changed: true, eof: self.lua.arg.eof };
        Ok(0)
    }
    fn arg_set_eof(&mut self, eof: bool) {
        self.lua.arg.eof = eof;
    }

    fn exit(&mut self, code: i32) -> Result<i32, &[u8]> {
        Ok(control::exit(self, code))
    }
    fn redirect(&mut self, uri: &[u8], status: i32) -> Result<i32, &[u8]> {
        let result = control::redirect(self, uri, status);
        answer(self, result)
    }
    fn sleep(&mut self, seconds: f64) -> Result<i32, &[u8]> {
        control::sleep(self, seconds);
        Ok(1)
    }
    fn timer_add(&mut self, delay: f64, every: bool, place: &[u8]) -> Result<i32, &[u8]> {
        timers::add(self, delay, every, place).map_err(str::as_bytes)
    }
    fn timer_count(&mut self, running: bool) -> i32 {
        let Some(vm) = running_vm(self) else { return 0 };
        let count = if running { vm.timers.running() } else { vm.timers.pending() };
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    fn now(&mut self) -> f64 {
        clock::now()
    }
    fn time(&mut self) -> f64 {
        clock::whole()
    }
    fn monotonic(&mut self) -> f64 {
        clock::monotonic()
    }
    /// Time is never cached here: a clock read costs less than what is gained by it.
    fn update_time(&mut self) {}
    fn time_text(&mut self, kind: i32) -> Option<&[u8]> {
        Some(filled(self, |out| clock::text(kind, out)))
    }
    fn http_time(&mut self, seconds: f64) -> Option<&[u8]> {
        Some(filled(self, |out| encoding::http_time(clock::bounded(seconds), out)))
    }
    fn cookie_time(&mut self, seconds: f64) -> Option<&[u8]> {
        Some(filled(self, |out| encoding::cookie_time(clock::bounded(seconds), out)))
    }
    fn parse_http_time(&mut self, text: &[u8]) -> f64 {
        // Times before 1970 are none, as for nginx.
        encoding::parse_http_time(text).map_or(-1.0, |seconds| seconds as f64)
    }

    fn worker_id(&mut self) -> i32 {
        i32::try_from(self.worker.id).unwrap_or(-1)
    }
    fn worker_count(&mut self) -> i32 {
        i32::try_from(self.worker.shared.workers).unwrap_or(i32::MAX)
    }
    fn worker_pid(&mut self) -> i32 {
        std::process::id().cast_signed()
    }
    /// To the scripts of a replaced VM, its end is what the end of an nginx worker is.
    fn worker_exiting(&mut self) -> bool {
        self.worker.is_draining() || running_vm(self).is_some_and(|vm| vm.is_retired())
    }
    fn log_level(&mut self) -> i32 {
        log::enabled_level()
    }

    fn escape_uri(&mut self, text: &[u8], kind: i32) -> Option<&[u8]> {
        roomy(self, 3 * text.len(), |out| encoding::escape_uri(text, kind, out))
    }
    fn unescape_uri(&mut self, text: &[u8]) -> Option<&[u8]> {
        roomy(self, 2 * text.len(), |out| out.extend_from_slice(&encoding::unescape_uri(text)))
    }
    fn decode_args(&mut self, text: &[u8], max: i32) -> Option<&[u8]> {
        if !charge::has_room(self, request::packed_size(text)) {
            return None;
        }
        request::pack_args(&mut self.lua.scratch, text, max);
        Some(&self.lua.scratch)
    }
    fn encode_base64(&mut self, text: &[u8], kind: i32) -> Option<&[u8]> {
        roomy(self, text.len() / 3 * 4 + 4, |out| match kind {
            0 => encoding::encode_base64(text, true, out),
            1 => encoding::encode_base64(text, false, out),
            _ => encoding::encode_base64url(text, out),
        })
    }
    fn decode_base64(&mut self, text: &[u8], kind: i32) -> Option<&[u8]> {
        let out = &mut self.lua.scratch;
        out.clear();
        let decoded = match kind {
            0 => encoding::decode_base64(text, out),
            1 => encoding::decode_base64url(text, out),
            _ => encoding::decode_base64mime(text, out),
        };
        decoded.then_some(out)
    }
    fn md5(&mut self, text: &[u8], hex: bool) -> Option<&[u8]> {
        Some(filled(self, |out| if hex { encoding::md5(text, out) } else { encoding::md5_bin(text, out) }))
    }
    fn sha1(&mut self, text: &[u8]) -> Option<&[u8]> {
        Some(filled(self, |out| encoding::sha1_bin(text, out)))
    }
    fn hmac_sha1(&mut self, key: &[u8], text: &[u8]) -> Option<&[u8]> {
        Some(filled(self, |out| encoding::hmac_sha1(key, text, out)))
    }
    fn crc32(&mut self, text: &[u8]) -> f64 {
        encoding::crc32(text).into()
    }
    fn quote_sql(&mut self, text: &[u8]) -> Option<&[u8]> {
        roomy(self, 2 * text.len() + 2, |out| encoding::quote_sql_str(text, out))
    }

    fn dict_open(&mut self, name: &[u8]) -> i32 {
        dicts::open(self, name)
    }
    fn dict_get(&mut self, dict: i32, key: &[u8], stale: bool) -> Result<Option<&[u8]>, &[u8]> {
        dicts::get(self, dict, key, stale)
    }
    fn dict_store(
        &mut self,
        dict: i32,
        how: i32,
        key: &[u8],
        kind: i32,
        text: &[u8],
        number: f64,
        ttl: f64,
        flags: i32,
    ) -> i32 {
        dicts::store(self, dict, how, key, dicts::put(kind, text, number), ttl, flags)
    }
    fn dict_delete(&mut self, dict: i32, key: &[u8]) {
        dicts::delete(self, dict, key);
    }
    fn dict_incr(
        &mut self,
        dict: i32,
        key: &[u8],
        by: f64,
        has_init: bool,
        init: f64,
        ttl: f64,
    ) -> Result<Option<&[u8]>, &[u8]> {
        dicts::incr(self, dict, key, by, has_init.then_some(init), ttl)
    }
    fn dict_push(
        &mut self,
        dict: i32,
        left: bool,
        key: &[u8],
        kind: i32,
        text: &[u8],
        number: f64,
    ) -> Result<i32, &[u8]> {
        dicts::push(self, dict, left, key, dicts::put(kind, text, number))
    }
    fn dict_pop(&mut self, dict: i32, left: bool, key: &[u8]) -> Result<Option<&[u8]>, &[u8]> {
        dicts::pop(self, dict, left, key)
    }
    fn dict_llen(&mut self, dict: i32, key: &[u8]) -> Result<i32, &[u8]> {
        dicts::llen(self, dict, key)
    }
    fn dict_ttl(&mut self, dict: i32, key: &[u8]) -> f64 {
        dicts::ttl(self, dict, key)
    }
    fn dict_expire(&mut self, dict: i32, key: &[u8], ttl: f64) -> bool {
        dicts::expire(self, dict, key, ttl)
    }
    fn dict_flush_all(&mut self, dict: i32) {
        dicts::flush_all(self, dict);
    }
    fn dict_flush_expired(&mut self, dict: i32, max: i32) -> i32 {
        dicts::flush_expired(self, dict, max)
    }
    fn dict_keys(&mut self, dict: i32, max: i32) -> Option<&[u8]> {
        dicts::keys(self, dict, max)
    }
    fn dict_space(&mut self, dict: i32, free: bool) -> f64 {
        dicts::space(self, dict, free)
    }

    fn balancer_peer(&mut self, address: &[u8], port: i32) -> Result<i32, &[u8]> {
        let result = balancer::set_peer(self, address, port);
        answer(self, result)
    }
    fn balancer_more_tries(&mut self, count: i32) -> bool {
        balancer::more_tries(self, count)
    }
    fn balancer_last_failure(&mut self) -> i32 {
        balancer::last_failure(self)
    }
    fn balancer_timeouts(&mut self, connect: f64, send: f64, read: f64) {
        balancer::set_timeouts(self, [connect, send, read]);
    }

    fn log(&mut self, level: i32, message: &[u8]) {
        log::write(self, level, message);
    }
    fn output(&mut self, _: &Session<Self>, data: &[u8]) -> Outcome {
        output::write(self, data)
    }
    fn send_headers(&mut self, _: &Session<Self>) -> Outcome {
        output::send_headers(self)
    }
    fn flush(&mut self, _: &Session<Self>, wait: bool) -> Outcome {
        output::flush(self, wait)
    }
    fn eof(&mut self, _: &Session<Self>) -> Outcome {
        output::eof(self)
    }
}
