//! Times as HTTP and scripts write them, in UTC.

use std::io::Write;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_A_DAY: i64 = 86_400;

/// A moment, taken apart.
struct Parts {
    year: i64,
    /// From 0.
    month: usize,
    day: i64,
    /// From Sunday, which is 0.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Parts {
    /// Times before the epoch are the epoch, as nginx has it; years end where nginx's buffers would.
    fn new(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, 253_402_300_799);
        let days = seconds / SECONDS_A_DAY;
        let rest = seconds % SECONDS_A_DAY;
        let (year, month, day) = civil(days);
        let weekday = ((days + 4) % 7) as usize;
        Self { year, month, day, weekday, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }
}

/// Year, month (from 0) and day of a day counted from the epoch. Years begin in March here, so that the leap day is
/// their last, and 400 of them have 146,097 days.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    (era * 400 + year_of_era + i64::from(month < 2), month as usize, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: usize, day: i64) -> i64 {
    let year = year - i64::from(month < 2);
    let march_month = (month as i64 + 10) % 12;
    let of_era = year.rem_euclid(400);
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `ngx.http_time`: `Thu, 18 Nov 2010 11:27:35 GMT`
pub fn http_time(seconds: i64, out: &mut Vec<u8>) {
    let t = Parts::new(seconds);
    let (weekday, month) = (DAYS[t.weekday], MONTHS[t.month]);
    let clock = (t.hour, t.minute, t.second);
    put(out, format_args!("{weekday}, {:02} {month} {:04} {}", t.day, t.year, Clock(clock)));
    out.extend_from_slice(b" GMT");
}

/// `ngx.cookie_time`: `Thu, 18-Nov-10 11:27:35 GMT`, with all four digits of years after 2037.
pub fn cookie_time(seconds: i64, out: &mut Vec<u8>) {
    let t = Parts::new(seconds);
    let year = if t.year > 2037 { t.year } else { t.year % 100 };
    let (weekday, month) = (DAYS[t.weekday], MONTHS[t.month]);
    let clock = (t.hour, t.minute, t.second);
    put(out, format_args!("{weekday}, {:02}-{month}-{year:02} {}", t.day, Clock(clock)));
    out.extend_from_slice(b" GMT");
}

/// `ngx.today`: `2010-11-18`. The caller adds the offset of its time zone to the seconds.
pub fn date(seconds: i64, out: &mut Vec<u8>) {
    let t = Parts::new(seconds);
    put(out, format_args!("{:04}-{:02}-{:02}", t.year, t.month + 1, t.day));
}

/// `ngx.utctime`, `ngx.localtime`: `2010-11-18 11:27:35`. As for [`date`].
pub fn date_time(seconds: i64, out: &mut Vec<u8>) {
    let t = Parts::new(seconds);
    date(seconds, out);
    put(out, format_args!(" {}", Clock((t.hour, t.minute, t.second))));
}

/// `11:27:35`
struct Clock((i64, i64, i64));

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hour, minute, second) = self.0;
        write!(f, "{hour:02}:{minute:02}:{second:02}")
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec cannot fail");
}

/// `ngx.parse_http_time`: seconds since the epoch of a time in one of the three forms of RFC 9110, section 5.6.7. As
/// lenient as nginx: the weekday and what follows the seconds are not read, months are told apart by what differs.
pub fn parse_http_time(text: &[u8]) -> Option<i64> {
    let mut at = Cursor(text);
    let asctime = at.skip_weekday()?;
    let (year, month, day, [hour, minute, second]);
    if asctime {
        month = at.month()?;
        at.expect_any()?;
        if at.0.first() == Some(&b' ') {
            at.expect(b' ')?;
            day = at.digits(1)?;
        } else {
            day = at.one_or_two_digits()?;
        }
        at.expect(b' ')?;
        [hour, minute, second] = at.clock()?;
        at.expect(b' ')?;
        year = at.digits(4)?;
    } else {
        day = at.digits(2)?;
        let separator = at.expect_any()?;
        month = at.month()?;
        at.expect(separator)?;
        year = match separator {
            b' ' => at.digits(4)?,
            b'-' => at.digits(2).map(|year| year + if year < 70 { 2000 } else { 1900 })?,
            _ => return None,
        };
        at.expect(b' ')?;
        [hour, minute, second] = at.clock()?;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
    let valid = hour < 24 && minute < 60 && second < 60 && day <= month_days;
    valid.then(|| days(year, month, day) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Whether a space ended it, as in asctime's form, rather than a comma. `None`: too little follows.
    fn skip_weekday(&mut self) -> Option<bool> {
        let end = memchr::memchr2(b',', b' ', self.0)?;
        let asctime = self.0[end] == b' ';
        let rest = &self.0[end + 1..];
        self.0 = &rest[rest.iter().position(|byte| *byte != b' ')?..];
        Some(asctime)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.expect_any()? == byte).then_some(())
    }

    fn expect_any(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |number, _| {
            let digit = self.expect_any()?;
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    }

    fn one_or_two_digits(&mut self) -> Option<i64> {
        let first = self.digits(1)?;
        if self.0.first() == Some(&b' ') { Some(first) } else { Some(first * 10 + self.digits(1)?) }
    }

    fn clock(&mut self) -> Option<[i64; 3]> {
        let hour = self.digits(2)?;
        self.expect(b':')?;
        let minute = self.digits(2)?;
        self.expect(b':')?;
        Some([hour, minute, self.digits(2)?])
    }

    fn month(&mut self) -> Option<usize> {
        let (name, rest) = self.0.split_first_chunk::<3>()?;
        self.0 = rest;
        Some(match name {
            [b'J', b'a', _] => 0,
            [b'J', _, b'n'] => 5,
            [b'J', ..] => 6,
            [b'F', ..] => 1,
            [b'M', _, b'r'] => 2,
            [b'M', ..] => 4,
            [b'A', b'p', _] => 3,
            [b'A', ..] => 7,
            [b'S', ..] => 8,
            [b'O', ..] => 9,
            [b'N', ..] => 10,
            [b'D', ..] => 11,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing() {
        let check = |seconds: i64, http: &str, cookie: &str, plain: &str| {
            let mut out = [const { Vec::new() }; 4];
            http_time(seconds, &mut out[0]);
            cookie_time(seconds, &mut out[1]);
            date_time(seconds, &mut out[2]);
            date(seconds, &mut out[3]);
            let out = out.map(|out| String::from_utf8(out).unwrap());
            assert_eq!(out, [http, cookie, plain, &plain[..10]], "{seconds}");
        };
        let (http, cookie) = ("Thu, 18 Nov 2010 11:27:35 GMT", "Thu, 18-Nov-10 11:27:35 GMT");
        check(1_290_079_655, http, cookie, "2010-11-18 11:27:35");
        let (http, cookie) = ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01-Jan-70 00:00:00 GMT");
        check(0, http, cookie, "1970-01-01 00:00:00");
        check(-5, http, cookie, "1970-01-01 00:00:00");
        let (http, cookie) = ("Tue, 29 Feb 2000 23:59:59 GMT", "Tue, 29-Feb-00 23:59:59 GMT");
        check(951_868_799, http, cookie, "2000-02-29 23:59:59");
        let (http, cookie) = ("Thu, 31 Dec 2037 23:59:59 GMT", "Thu, 31-Dec-37 23:59:59 GMT");
        check(2_145_916_799, http, cookie, "2037-12-31 23:59:59");
        let (http, cookie) = ("Fri, 01 Jan 2038 00:00:00 GMT", "Fri, 01-Jan-2038 00:00:00 GMT");
        check(2_145_916_800, http, cookie, "2038-01-01 00:00:00");
    }

    #[test]
    fn reading() {
        let check = |text: &str, seconds: Option<i64>| assert_eq!(parse_http_time(text.as_bytes()), seconds, "{text}");
        for text in [
            "Thu, 18 Nov 2010 11:27:35 GMT",
            "Thu, 18 Nov 2010 11:27:35",
            "?,18 Nov 2010 11:27:35 anything",
            "Thursday, 18-Nov-10 11:27:35 GMT",
            "Thu Nov 18 11:27:35 2010",
        ] {
            check(text, Some(1_290_079_655));
        }
        check("Sun Nov  6 08:49:37 1994", Some(784_111_777));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
        check("Thu, 01-Jan-70 00:00:00 GMT", Some(0));
        check("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799));
        for text in [
            "",
            "abc",
            "Thu, 18 Nov 2010 11:27:3",
            "Thu, 18 Nov 2010 24:00:00",
            "Thu, 18 Nov 2010 11:60:00",
            "Thu, 31 Nov 2010 11:27:35",
            "Thu, 29 Feb 2001 11:27:35",
            "Thu, 29 Feb 1900 11:27:35",
            "Thu, 18 Xov 2010 11:27:35",
            "Thu, 18-Nov 10 11:27:35",
            "Thu, 18/Nov/10 11:27:35",
            "Thu, 1 Nov 2010 11:27:35",
            "Thu Nov 18 11:27:35 201x",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn every_day_comes_back() {
        for day in (0..100_000).chain([2_932_896]) {
            let seconds = day * SECONDS_A_DAY + 86_399;
            let mut out = Vec::new();
            http_time(seconds, &mut out);
            assert_eq!(parse_http_time(&out), Some(seconds));
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }
}
