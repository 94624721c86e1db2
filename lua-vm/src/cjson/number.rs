//! Numbers as text, without the C library, whose results depend on the locale.

use std::fmt::Write;

/// Longest text of a number, with a precision of 16.
pub(super) const MAX_TEXT: usize = 32;

/// Text without a heap.
pub(super) struct Text {
    bytes: [u8; MAX_TEXT],
    len: usize,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { bytes: [0; MAX_TEXT], len: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// As C's `%.{precision}g` for a finite number.
pub(super) fn format(number: f64, precision: usize, out: &mut Text) {
    // Integers that have fewer digits than that are written as they are; the bound is one that `u64` has at hand.
    if number.fract() == 0.0 && number.abs() < 1e15 && (number.abs() < 1e14 || precision >= 15) && precision >= 14 {
        integer(number, out);
        return;
    }
    let mut scientific = Text::new();
    let _ = write!(scientific, "{:.*e}", precision - 1, number);
    lay_out(scientific.bytes(), precision as i32, out);
}

fn integer(number: f64, out: &mut Text) {
    if number.is_sign_negative() {
        out.push(b"-");
    }
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.abs() as u64;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(&digits[at..]);
}

/// From `-d.ddde-5` to what `%g` writes: zeros at the end dropped, an exponent only where it is shorter.
fn lay_out(scientific: &[u8], precision: i32, out: &mut Text) {
    let mut digits = Text::new();
    let mut at = 0;
    if scientific.first() == Some(&b'-') {
        out.push(b"-");
        at = 1;
    }
    while let Some(&byte) = scientific.get(at).filter(|byte| **byte != b'e') {
        if byte != b'.' {
            digits.push(&[byte]);
        }
        at += 1;
    }
    let exponent: i32 = std::str::from_utf8(&scientific[(at + 1).min(scientific.len())..])
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let all = digits.bytes();
    let kept = all.len() - all.iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = &all[..kept.max(1)];
    if exponent < -4 || exponent >= precision {
        out.push(&digits[..1]);
        if digits.len() > 1 {
            out.push(b".");
            out.push(&digits[1..]);
        }
        let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    } else if exponent < 0 {
        out.push(b"0.");
        out.push(&b"000"[..(-exponent - 1) as usize]);
        out.push(digits);
    } else {
        let whole = exponent as usize + 1;
        let split = whole.min(digits.len());
        out.push(&digits[..split]);
        for _ in split..whole {
            out.push(b"0");
        }
        if digits.len() > split {
            out.push(b".");
            out.push(&digits[split..]);
        }
    }
}

/// The number at the begin of a text, its length, and whether it is written as an integer; what C's `strtod` would take,
/// but not `nan(...)`. `None` if there is none.
pub(super) fn parse(text: &[u8]) -> Option<(f64, usize, bool)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let rest = text.get(sign..)?;
    let signed = |number: f64| if negative { -number } else { number };
    if rest.first().is_some_and(u8::is_ascii_alphabetic) {
        let starts = |word: &[u8]| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        let (number, len) = match () {
            () if starts(b"infinity") => (f64::INFINITY, 8),
            () if starts(b"inf") => (f64::INFINITY, 3),
            () if starts(b"nan") => (f64::NAN, 3),
            () => return None,
        };
        return Some((signed(number), sign + len, false));
    }
    if let [b'0', b'x' | b'X', hex @ ..] = rest
        && rest.get(1) == Some(&b'x')
        && let Some((number, len)) = parse_hex(hex)
    {
        return Some((signed(number), sign + 2 + len, false));
    }
    parse_decimal(rest).map(|(number, len, integer)| {
        // `-0` is read as an integer, which has no sign of its own.
        (if integer && number == 0.0 { 0.0 } else { signed(number) }, sign + len, integer)
    })
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Length of an exponent: `e`, a sign, digits; 0 if it is none.
fn exponent(text: &[u8], letter: u8) -> usize {
    if text.first().map(u8::to_ascii_lowercase) != Some(letter) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    match count_digits(text.get(1 + sign..).unwrap_or_default()) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

fn parse_decimal(text: &[u8]) -> Option<(f64, usize, bool)> {
    let whole = count_digits(text);
    let mut len = whole;
    if text.get(len) == Some(&b'.') {
        let fraction = count_digits(&text[len + 1..]);
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
    }
    if len == 0 {
        return None;
    }
    // Written as an integer, for the fork, when nothing follows that could make it another number.
    let integer = len == whole && !matches!(text.get(len), Some(b'e' | b'E' | b'x'));
    if integer && whole <= 15 {
        let number = text[..len].iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        return Some((number as f64, len, true));
    }
    len += exponent(&text[len..], b'e');
    let number = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((number, len, integer))
}

fn parse_hex(text: &[u8]) -> Option<(f64, usize)> {
    let (mut number, mut scale, mut len, mut digits, mut dot) = (0.0_f64, 0_i32, 0, 0, false);
    for &byte in text {
        match (byte as char).to_digit(16) {
            Some(digit) => {
                digits += 1;
                // More digits than a number holds change its scale only.
                if number < 1e30 {
                    number = number * 16.0 + f64::from(digit);
                    scale -= if dot { 4 } else { 0 };
                } else {
                    scale += if dot { 0 } else { 4 };
                }
            }
            None if byte == b'.' && !dot => dot = true,
            None => break,
        }
        len += 1;
    }
    if digits == 0 {
        return None;
    }
    let tail = exponent(&text[len..], b'p');
    if tail > 0 {
        let power = std::str::from_utf8(&text[len + 1..len + tail]).ok().and_then(|text| text.parse::<i32>().ok());
        // More than an i32 holds is out of every range.
        let negative = text.get(len + 1) == Some(&b'-');
        scale = scale.saturating_add(power.unwrap_or(if negative { -100_000 } else { 100_000 }));
        len += tail;
    }
    Some((number * 2.0_f64.powi(scale / 2) * 2.0_f64.powi(scale - scale / 2), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the C library writes it, in the C locale that tests run in.
    fn c_format(number: f64, precision: usize) -> String {
        let mut buffer = [0_u8; 64];
        // SAFETY: the buffer is as long as we say; the format takes an int and a double.
        let n = unsafe {
            let precision = i32::try_from(precision).unwrap();
            libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), c"%.*g".as_ptr(), precision, number)
        };
        String::from_utf8(buffer[..n as usize].to_vec()).unwrap()
    }

    fn numbers() -> impl Iterator<Item = f64> {
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            0.1,
            1.0 / 3.0,
            1e14,
            1e15,
            1e16,
            99_999_999_999_999.0,
            999_999_999_999_999.0,
            123_456_789_012_345.6,
            1e-4,
            1e-5,
            0.000_123_45,
            1e100,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            9.5,
            99.99999,
            9_007_199_254_740_992.0,
            2.5,
            3.5,
            0.999_999_999_999_999_9,
        ];
        let mut seed = 1_u64;
        let random = std::iter::from_fn(move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some(f64::from_bits(seed)).map(|number| if number.is_finite() { number } else { 0.25 })
        });
        let small = (-2000..2000).map(|at| f64::from(at) / 8.0);
        special.into_iter().chain(small).chain(random.take(20_000))
    }

    #[test]
    fn writes_what_c_writes() {
        for number in numbers() {
            for precision in [1, 2, 3, 13, 14, 15, 16] {
                let mut text = Text::new();
                format(number, precision, &mut text);
                assert_eq!(
                    String::from_utf8_lossy(text.bytes()),
                    c_format(number, precision),
                    "{number:e} {precision}"
                );
            }
        }
    }

    #[test]
    fn reads_what_c_reads() {
        let check = |text: &str| {
            let c = std::ffi::CString::new(text).unwrap();
            let mut end = std::ptr::null_mut();
            // SAFETY: a string with its end.
            let number = unsafe { libc::strtod(c.as_ptr(), &mut end) };
            let len = end as usize - c.as_ptr() as usize;
            let ours = parse(text.as_bytes());
            let same = |ours: f64| ours == number || ours.is_nan() && number.is_nan();
            assert!(
                ours.map_or(len == 0, |(ours, n, _)| same(ours) && n == len),
                "{text}: {ours:?}, not {number} {len}"
            );
        };
        for text in [
            "0",
            "-0.0",
            "+5",
            "12",
            "123456789012345",
            "12345678901234567890",
            "1.5",
            "5.",
            "5.e3",
            "1e5",
            "1E-5",
            "1e",
            "1e+",
            "0x1f",
            "0x6.ffp1",
            "0x",
            "0xg",
            "0x.8",
            "0x1p-3",
            "0x1p",
            "0x1.8p+4z",
            "inf",
            "-Infinity",
            "INFx",
            "nan",
            "-NaN",
            "",
            "-",
            "+",
            "x",
            "1.7976931348623157e308",
            "1e999",
            "5e-324",
            "1e-999",
            "0.1e1x",
            "00.33",
            "0x1p9999999999",
            "0x1p-9999999999",
            "0xffffffffffffffffffffffffffffffffffp0",
            ".5",
            ".",
            "1..2",
        ] {
            check(text);
        }
        for number in numbers() {
            check(&format!("{number:e}"));
            check(&c_format(number, 17));
        }
        assert_eq!(parse(b"-0").map(|(number, ..)| number.is_sign_negative()), Some(false));
        assert_eq!(
            ["1", "-1", "1.0", "1e0", "0x1", "1x", "inf"].map(|text| parse(text.as_bytes()).unwrap().2),
            [true, true, false, false, false, false, false]
        );
    }
}
