//! `ngx.log`, and what the host itself tells of a script: OpenResty's text on `tracing`'s target `lua`.
//!
//! The text of a line is what nginx would write after the time, so that people's greps go on working:
//! `[error] 7#2: *34 [lua] access:3: message, client: 192.0.2.1, server: shop.example.com, request: "GET / HTTP/1.1",
//! host: "shop.example.com"`. `7` is the process, `2` the worker, `34` the connection.

use std::fmt::Write;

use lua_vm::Phase;
use routing::key::PluginKey;
use tracing::Level;

use crate::exchange::Exchange;

/// nginx's levels by number.
const NAMES: [&str; 9] = ["stderr", "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

pub(super) const ERROR: i32 = 4;

/// A line is cut here, as nginx cuts its own (`NGX_MAX_ERROR_STR`).
const MAX_LINE: usize = 2048;

/// Where a level of nginx goes.
fn level_of(level: i32) -> Level {
    match level {
        ..=4 => Level::ERROR,
        5 => Level::WARN,
        6 | 7 => Level::INFO,
        _ => Level::DEBUG,
    }
}

/// The highest of nginx's levels that is logged now.
pub(super) fn enabled_level() -> i32 {
    if tracing::enabled!(target: "lua", Level::DEBUG) {
        8
    } else if tracing::enabled!(target: "lua", Level::INFO) {
        7
    } else if tracing::enabled!(target: "lua", Level::WARN) {
        5
    } else {
        ERROR
    }
}

/// Writes a line; `message` begins with `[lua]` and the place.
pub(super) fn write(ex: &Exchange, level: i32, message: &[u8]) {
    let running = ex.lua.running.as_ref().map(|used| &used.plugin);
    write_of(ex, running, level, message);
}

/// Writes a line about a plugin's script.
pub(super) fn write_of(ex: &Exchange, plugin: Option<&PluginKey>, level: i32, message: &[u8]) {
    if level > enabled_level() {
        return;
    }
    let text = line(ex, level, message);
    let plugin = plugin.map(ToString::to_string).unwrap_or_default();
    match level_of(level) {
        Level::ERROR => tracing::error!(target: "lua", plugin, "{text}"),
        Level::WARN => tracing::warn!(target: "lua", plugin, "{text}"),
        Level::INFO => tracing::info!(target: "lua", plugin, "{text}"),
        _ => tracing::debug!(target: "lua", plugin, "{text}"),
    }
}

/// Tells an error of the host's own about what a script did, as nginx does: without a place in the script.
pub(super) fn host_error(ex: &Exchange, message: &str) {
    write(ex, ERROR, message.as_bytes());
}

fn line(ex: &Exchange, level: i32, message: &[u8]) -> String {
    let name = usize::try_from(level).ok().and_then(|i| NAMES.get(i)).unwrap_or(&"error");
    let mut text = format!("[{name}] {}#{}: ", std::process::id(), ex.worker.id);
    if ex.conn.serial > 0 {
        let _ = write!(text, "*{} ", ex.conn.serial);
    }
    let cut = &message[..message.len().min(MAX_LINE)];
    text.push_str(&String::from_utf8_lossy(cut));
    // A log line is a line: what a client sends must not look like another one.
    if text.contains(['\r', '\0']) {
        text = text.replace('\r', "\\r").replace('\0', "\\0");
    }
    suffix(ex, &mut text);
    text
}

/// What nginx says of the request at the end of a line.
pub(super) fn suffix(ex: &Exchange, text: &mut String) {
    if !ex.real {
        match ex.lua.phase {
            Some(Phase::Timer) => text.push_str(", context: ngx.timer"),
            Some(Phase::InitWorker) => text.push_str(", context: init_worker_by_lua*"),
            _ => {}
        }
        let client = ex.req.client.ip();
        if !client.is_unspecified() {
            let _ = write!(text, ", client: {}", client.to_canonical());
        }
        return;
    }
    let head = &ex.req.head;
    let server = ex.route.as_ref().map_or("", |route| &route.key.host);
    let _ = write!(
        text,
        ", client: {}, server: {server}, request: \"{} {} {}\"",
        ex.req.client.ip().to_canonical(),
        head.method.as_str(),
        super::escape::log(&head.target),
        ex.req.protocol()
    );
    if let Some(host) = head.headers.get(b"host") {
        let _ = write!(text, ", host: \"{}\"", super::escape::log(host));
    }
}
