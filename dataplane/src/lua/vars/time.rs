//! Time as nginx writes it: variables, and the texts behind `ngx.localtime` and the like.

use std::fmt::Write;
use std::time::Duration;

use super::made;
use crate::exchange::Exchange;

pub(super) const NAMES: &[&str] = &["msec", "request_time", "time_iso8601", "time_local"];

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Proleptic Gregorian.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59: there are no leap seconds in Unix time.
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
}

impl Civil {
    /// Seconds since the epoch, in UTC (add a zone's offset first for local time).
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let time = seconds.rem_euclid(86_400) as u32;
        // Days to a date by eras of 400 years that start on 1 March, so that leap days come last.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u32,
            day: (of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
        }
    }

    fn weekday_name(&self) -> &'static str {
        DAYS[self.weekday as usize % 7]
    }

    fn month_name(&self) -> &'static str {
        MONTHS[(self.month as usize).saturating_sub(1) % 12]
    }
}

/// Seconds since the epoch now.
pub fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// The zone's offset from UTC at that moment, in seconds.
pub fn offset(seconds: i64) -> i64 {
    let Ok(at) = jiff::Timestamp::from_second(seconds) else { return 0 };
    i64::from(jiff::tz::TimeZone::system().to_offset(at).seconds())
}

/// `2026-11-24`
pub fn date(out: &mut String, t: Civil) {
    let _ = write!(out, "{:04}-{:02}-{:02}", t.year, t.month, t.day);
}

/// `2026-11-24 15:00:00`
pub fn date_time(out: &mut String, t: Civil) {
    date(out, t);
    let _ = write!(out, " {:02}:{:02}:{:02}", t.hour, t.minute, t.second);
}

/// `Tue, 24 Nov 2026 15:00:00 GMT`
pub fn http(out: &mut String, t: Civil) {
    let _ = write!(
        out,
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        t.weekday_name(),
        t.day,
        t.month_name(),
        t.year,
        t.hour,
        t.minute,
        t.second
    );
}

/// `Tue, 24-Nov-26 15:00:00 GMT`: two digits of the year up to 2037, as Netscape's cookies have it, then four.
pub fn cookie(out: &mut String, t: Civil) {
    let _ = write!(out, "{}, {:02}-{}-", t.weekday_name(), t.day, t.month_name());
    let _ = if t.year > 2037 { write!(out, "{:04}", t.year) } else { write!(out, "{:02}", t.year.rem_euclid(100)) };
    let _ = write!(out, " {:02}:{:02}:{:02} GMT", t.hour, t.minute, t.second);
}

/// `+0200`, or `+02:00` with a colon.
fn zone(out: &mut String, offset: i64, colon: &str) {
    let minutes = offset.abs() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    let _ = write!(out, "{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
}

pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    match name {
        b"msec" => made(ex, format_args!("{:.3}", Millis(now().as_millis()))),
        b"request_time" => {
            let elapsed = ex.worker.now().saturating_duration_since(ex.started);
            made(ex, format_args!("{:.3}", Millis(elapsed.as_millis())))
        }
        b"time_local" | b"time_iso8601" => {
            let seconds = now().as_secs() as i64;
            let offset = offset(seconds);
            let t = Civil::from_unix(seconds + offset);
            let mut text = String::new();
            if name == b"time_iso8601" {
                date_time(&mut text, t);
                text.replace_range(10..11, "T");
                zone(&mut text, offset, ":");
            } else {
                let (h, m, s) = (t.hour, t.minute, t.second);
                let _ = write!(text, "{:02}/{}/{:04}:{h:02}:{m:02}:{s:02} ", t.day, t.month_name(), t.year);
                zone(&mut text, offset, "");
            }
            made(ex, text)
        }
        _ => None,
    }
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
    use super::{Civil, cookie, date_time, http, zone};

    fn text(write: fn(&mut String, Civil), seconds: i64) -> String {
        let mut out = String::new();
        write(&mut out, Civil::from_unix(seconds));
        out
    }

    #[test]
    fn moments_as_nginx_writes_them() {
        assert_eq!(text(http, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(http, 1_290_079_655), "Thu, 18 Nov 2010 11:27:35 GMT");
        assert_eq!(text(cookie, 1_290_079_655), "Thu, 18-Nov-10 11:27:35 GMT");
        assert_eq!(text(cookie, 2_169_266_400), "Mon, 28-Sep-2038 06:00:00 GMT");
        assert_eq!(text(date_time, 951_782_400), "2000-02-29 00:00:00");
        assert_eq!(text(date_time, -1), "1969-12-31 23:59:59");
        assert_eq!(text(date_time, 4_107_542_400), "2100-03-01 00:00:00");
    }

    #[test]
    fn agrees_with_httpdate_over_a_century() {
        for day in 0..36_500u64 {
            let seconds = day * 86_400 + 86_399;
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            assert_eq!(text(http, seconds as i64), httpdate::fmt_http_date(at));
        }
    }

    #[test]
    fn zones() {
        let check = |offset, colon, is: &str| {
            let mut out = String::new();
            zone(&mut out, offset, colon);
            assert_eq!(out, is);
        };
        check(0, "", "+0000");
        check(7200, ":", "+02:00");
        check(-12_600, "", "-0330");
    }
}
