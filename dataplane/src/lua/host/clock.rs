//! Time functions.

use crate::exchange::Exchange;
use crate::lua::vars::time::{self, Civil};

/// `ngx.now`: seconds with milliseconds.
pub(super) fn now() -> f64 {
    time::now().as_millis() as f64 / 1000.0
}

/// `ngx.time`: whole seconds.
pub(super) fn whole() -> f64 {
    time::now().as_secs() as f64
}

/// `ngx.today` (0), `ngx.localtime` (1), `ngx.utctime` (2).
pub(super) fn text(ex: &mut Exchange, kind: i32) -> &[u8] {
    let seconds = time::now().as_secs() as i64;
    let local = if kind == 2 { seconds } else { seconds + time::offset(seconds) };
    let moment = Civil::from_unix(local);
    let write = if kind == 0 { time::date } else { time::date_time };
    lend(ex, moment, write)
}

/// `ngx.http_time`
pub(super) fn http(ex: &mut Exchange, seconds: f64) -> &[u8] {
    lend(ex, Civil::from_unix(bounded(seconds)), time::http)
}

/// `ngx.cookie_time`
pub(super) fn cookie(ex: &mut Exchange, seconds: f64) -> &[u8] {
    lend(ex, Civil::from_unix(bounded(seconds)), time::cookie)
}

/// `ngx.parse_http_time`: seconds since the epoch, or -1.
pub(super) fn parse_http(text: &[u8]) -> f64 {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| httpdate::parse_http_date(text.trim()).ok());
    let since = parsed.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(-1.0, |d| d.as_secs() as f64)
}

/// Years of four digits.
fn bounded(seconds: f64) -> i64 {
    (seconds as i64).clamp(-62_135_596_800, 253_402_300_799)
}

fn lend(ex: &mut Exchange, moment: Civil, write: fn(&mut String, Civil)) -> &[u8] {
    let mut text = String::with_capacity(32);
    write(&mut text, moment);
    ex.lua.scratch.clear();
    ex.lua.scratch.extend_from_slice(text.as_bytes());
    &ex.lua.scratch
}
