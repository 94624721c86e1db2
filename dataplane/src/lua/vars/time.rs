//! Variables of time, and what the time functions share with them.

use std::time::Duration;

use super::made;
use crate::exchange::Exchange;
use crate::lua::encoding;

pub(super) const NAMES: &[&str] = &["msec", "request_time", "time_iso8601", "time_local"];

/// Since the epoch, now.
pub fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// The local zone's offset from UTC at that moment, in seconds.
pub fn offset(seconds: i64) -> i64 {
    let Ok(at) = jiff::Timestamp::from_second(seconds) else { return 0 };
    i64::from(jiff::tz::TimeZone::system().to_offset(at).seconds())
}

pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    let seconds = now().as_secs().cast_signed();
    match name {
        b"msec" => made(ex, Millis(now().as_millis())),
        b"request_time" => {
            let elapsed = ex.worker.now().saturating_duration_since(ex.started);
            made(ex, Millis(elapsed.as_millis()))
        }
        b"time_local" => made(ex, local(seconds, offset(seconds))),
        b"time_iso8601" => made(ex, iso8601(seconds, offset(seconds))),
        _ => None,
    }
}

/// `24/Nov/2026:15:00:00 +0000`
fn local(seconds: i64, offset: i64) -> String {
    let mut text = Vec::new();
    // `Tue, 24 Nov 2026 15:00:00 GMT`
    encoding::http_time(seconds + offset, &mut text);
    let text = String::from_utf8_lossy(&text);
    let mut parts = text.split(' ').skip(1);
    let mut next = || parts.next().unwrap_or_default();
    let (day, month, year, clock) = (next(), next(), next(), next());
    format!("{day}/{month}/{year}:{clock} {}", zone(offset, ""))
}

/// `2026-11-24T15:00:00+00:00`
fn iso8601(seconds: i64, offset: i64) -> String {
    let mut text = Vec::new();
    encoding::date_time(seconds + offset, &mut text);
    String::from_utf8_lossy(&text).replace(' ', "T") + &zone(offset, ":")
}

/// `+0200`, or `+02:00` with a colon.
fn zone(offset: i64, colon: &str) -> String {
    let minutes = offset.abs() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

/// Milliseconds written as seconds, cut and not rounded, as nginx does.
struct Millis(u128);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::{Millis, iso8601, local};

    #[test]
    fn moments_as_nginx_writes_them() {
        assert_eq!(local(1_290_079_655, 0), "18/Nov/2010:11:27:35 +0000");
        assert_eq!(local(1_290_079_655, 7200), "18/Nov/2010:13:27:35 +0200");
        assert_eq!(iso8601(1_290_079_655, 0), "2010-11-18T11:27:35+00:00");
        assert_eq!(iso8601(1_290_079_655, -12_600), "2010-11-18T07:57:35-03:30");
        assert_eq!(Millis(1999).to_string(), "1.999");
        assert_eq!(Millis(7).to_string(), "0.007");
    }
}
