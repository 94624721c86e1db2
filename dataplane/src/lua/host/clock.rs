//! Time functions.

use crate::lua::encoding;
use crate::lua::vars::time;

/// `ngx.now`: seconds with milliseconds.
pub(super) fn now() -> f64 {
    time::now().as_millis() as f64 / 1000.0
}

/// `ngx.time`: whole seconds.
pub(super) fn whole() -> f64 {
    time::now().as_secs() as f64
}

/// Seconds since this was first asked for, by a clock that never goes back.
pub(super) fn monotonic() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed().as_secs_f64()
}

/// `ngx.today` (0), `ngx.localtime` (1), `ngx.utctime` (2).
pub(super) fn text(kind: i32, out: &mut Vec<u8>) {
    let utc = time::now().as_secs().cast_signed();
    match kind {
        0 => encoding::date(utc + time::offset(utc), out),
        1 => encoding::date_time(utc + time::offset(utc), out),
        _ => encoding::date_time(utc, out),
    }
}

/// Seconds since the epoch whose year has four digits.
pub(super) fn bounded(seconds: f64) -> i64 {
    (seconds as i64).clamp(-62_135_596_800, 253_402_300_799)
}
