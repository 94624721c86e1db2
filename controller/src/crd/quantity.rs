//! Sizes as Kubernetes writes quantities: `10Mi`, `500k`, `1048576`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

/// Whole numbers with an optional suffix; fractions and exponents say nothing useful about bytes.
pub const PATTERN: &str = "^[0-9]{1,15}(k|Ki|M|Mi|G|Gi|T|Ti)?$";

/// The suffixes, those of powers of 1024 first: the order in which a size is written.
const SUFFIXES: [(&str, u64); 9] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    bytes: u64,
}

/// A text that is not a size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write a whole number of bytes with an optional suffix, such as 64Ki, 10Mi or 1Gi")]
pub struct NotAQuantity(String);

impl Quantity {
    /// From bytes.
    pub fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// In bytes.
    pub fn as_bytes(self) -> u64 {
        self.bytes
    }
}

impl std::str::FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let wrong = || NotAQuantity(text.chars().take(40).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let (_, factor) = SUFFIXES.iter().find(|(name, _)| *name == suffix).ok_or_else(wrong)?;
        let number: u64 = number.parse().ok().filter(|_| (1..=15).contains(&digits)).ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Self::from_bytes).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The last suffix is the empty one, which divides everything.
        let fits = |&&(_, factor): &&(&str, u64)| self.bytes >= factor && self.bytes.is_multiple_of(factor);
        match SUFFIXES.iter().find(fits) {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.bytes / factor),
            None => f.write_str("0"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: de::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        /// Takes `1048576` as well as `"1Mi"`: YAML makes numbers of what people write without quotes.
        struct TextOrNumber;
        impl de::Visitor<'_> for TextOrNumber {
            type Value = Quantity;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a size such as 10Mi")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Quantity, E> {
                Ok(Quantity::from_bytes(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Quantity, E> {
                u64::try_from(bytes).map(Quantity::from_bytes).map_err(|_| E::custom("a size is not negative"))
            }
        }
        d.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // 15 digits and 2 letters. The pattern holds for strings only.
        json_schema!({"x-kubernetes-int-or-string": true, "pattern": PATTERN, "maxLength": 17, "minimum": 0})
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn texts_are_read_and_written_in_one_form() {
        let check = |text: &str, bytes: u64, again: &str| {
            let size: Quantity = text.parse().unwrap();
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, again), "{text}");
            assert_eq!(again.parse(), Ok(size), "{again}");
        };
        check("0", 0, "0");
        check("0Mi", 0, "0");
        check("1", 1, "1");
        check("10Mi", 10 << 20, "10Mi");
        check("1024Ki", 1 << 20, "1Mi");
        check("1500k", 1_500_000, "1500k");
        check("1M", 1_000_000, "1M");
        check("900Ki", 921_600, "900Ki");
    }

    #[test]
    fn numbers_and_strings_are_decoded() {
        let decode = |json: &str| serde_json::from_str::<Quantity>(json).map(Quantity::as_bytes).ok();
        assert_eq!(decode("1048576"), Some(1 << 20));
        assert_eq!(decode("\"1Mi\""), Some(1 << 20));
        assert_eq!(decode("-1"), None);
        assert_eq!(decode("1.5"), None);
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in
            ["", "Mi", "1.5Mi", "-1", "1m", "1K", "1Pi", "1 Mi", "1e3", "1000000000000000", "999999999999999Ti"]
        {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong}");
        }
    }
}
