//! Durations as Gateway API writes them (GEP-2257): `1h30m`, `500ms`.

use std::time::Duration as Time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// GEP-2257's own pattern: one to four numbers of at most five digits, each with a unit.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Milliseconds in each unit, the longest first: the order in which a duration is written.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// The largest number that the pattern's five digits can say.
const NUMBER_MAX: u64 = 99_999;

/// A duration of whole milliseconds. Text form: GEP-2257, at most 4 x 99999 h, so nothing overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    ms: u64,
}

/// A text that is not a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write numbers with the units h, m, s or ms, such as 60s, 1m30s or 250ms")]
pub struct NotADuration(String);

impl Duration {
    /// From milliseconds; none when no GEP-2257 text says as much.
    pub fn from_ms(ms: u64) -> Option<Self> {
        (ms / UNITS[0].1 <= NUMBER_MAX).then_some(Self { ms })
    }

    /// In milliseconds.
    pub fn as_ms(self) -> u64 {
        self.ms
    }

    /// As the standard library has it.
    pub fn as_time(self) -> Time {
        Time::from_millis(self.ms)
    }
}

impl std::str::FromStr for Duration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let wrong = || NotADuration(text.chars().take(40).collect());
        let (mut rest, mut ms, mut parts) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(letters);
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let number: u64 = number.parse().ok().filter(|_| (1..=5).contains(&digits)).ok_or_else(wrong)?;
            (rest, ms, parts) = (after, ms + number * factor, parts + 1);
            if parts > UNITS.len() {
                return Err(wrong());
            }
        }
        // Four times 99999h is text, and one number of five digits cannot say it again.
        if parts == 0 { Err(wrong()) } else { Self::from_ms(ms).ok_or_else(wrong) }
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.ms;
        for (unit, factor) in UNITS {
            if rest / factor > 0 {
                write!(f, "{}{unit}", rest / factor)?;
            }
            rest %= factor;
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // 4 parts of 5 digits and 2 letters.
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": 28})
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn texts_are_read_and_written_in_one_form() {
        let check = |text: &str, ms: u64, again: &str| {
            let duration: Duration = text.parse().unwrap();
            assert_eq!((duration.as_ms(), duration.to_string().as_str()), (ms, again), "{text}");
            assert_eq!(again.parse(), Ok(duration), "{again}");
        };
        check("0s", 0, "0s");
        check("0h0m", 0, "0s");
        check("60s", 60_000, "1m");
        check("1h30m", 5_400_000, "1h30m");
        check("250ms", 250, "250ms");
        check("1m1ms", 60_001, "1m1ms");
        check("1s1s1s1s", 4_000, "4s");
        check("99999h", 359_996_400_000, "99999h");
        check("99999ms", 99_999, "1m39s999ms");
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in ["", "10", "s", "1.5s", "-1s", "1S", "1 s", "1d", "100000s", "1s1s1s1s1s", "1µs", "99999h99999h"]
        {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong}");
        }
    }
}
