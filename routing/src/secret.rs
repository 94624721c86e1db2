//! Bytes that no printer shows.

use serde::{Deserialize, Serialize};

/// Bytes that are secret: a private key, a password. `Debug` prints their length only.
///
/// Serialization does carry them, since the push stream and the table on disk need them; what prints tables to
/// people (debug dumps, logs) uses `Debug` or drops the field.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateBytes(#[serde(with = "as_text")] Vec<u8>);

impl PrivateBytes {
    /// Wraps bytes that must not be printed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves; the caller must not print them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for PrivateBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

/// Bytes as a JSON string in which each char is one byte (Latin-1): short for text such as PEM, and total.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&bytes.iter().map(|b| char::from(*b)).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(d)?
            .chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| D::Error::custom("a char above U+00FF in private bytes")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::PrivateBytes;

    #[test]
    fn debug_shows_no_byte_of_the_secret() {
        let text = format!("{:?}", PrivateBytes::new("hunter2"));
        assert_eq!(text, "[redacted, 7 bytes]");
    }

    #[test]
    fn any_bytes_survive_json() {
        let all = PrivateBytes::new((0..=255).collect::<Vec<u8>>());
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<PrivateBytes>(&json).unwrap(), all);
    }
}
