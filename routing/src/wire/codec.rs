//! Frames as lines.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FRAME_MAX, FromPlane, ToPlane};
use crate::{Hash, Key, Value};

/// A frame as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Received<T> {
    /// It is understood.
    Frame(T),
    /// The frame, or the key that it is about, is of a newer version: to be skipped, and counted.
    Unknown(String),
    /// The key is known, its value cannot be read.
    Unreadable {
        /// The key.
        key: Key,
        /// Of the value.
        hash: Hash,
        /// Why.
        message: String,
    },
}

/// Bytes that are no frames. The stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A line is longer than the bound.
    #[error("a frame of more than {0} bytes")]
    TooLong(usize),
    /// A line is no frame.
    #[error("a line that is no frame: {0}")]
    NoFrame(String),
}

/// A value whose frame would be longer than [`FRAME_MAX`]: no data plane can have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its value has {size} bytes, a data plane takes {max}: make it smaller or divide it")]
pub struct TooLarge {
    /// The frame's bytes.
    pub size: usize,
    /// The bound.
    pub max: usize,
}

/// Cuts bytes into lines, and holds at most one that is not whole.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first line that was not given out starts.
    start: usize,
    /// Up to where no newline was found.
    searched: usize,
    max: usize,
}

impl Decoder {
    /// Lines may have so many bytes, their newline included.
    pub fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, max }
    }

    /// From now on lines may have so many bytes.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Takes bytes over; between two calls [`Self::line`] is called until it has none.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        // What a large frame took is given back.
        if self.buffer.is_empty() && self.buffer.capacity() > 64 * 1024 {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its newline.
    ///
    /// # Errors
    /// A line is longer than the bound, whole or not.
    pub fn line(&mut self) -> Result<Option<&[u8]>, Broken> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n').map(|at| at + self.searched);
        let end = found.unwrap_or(self.buffer.len());
        // A line that is not whole has its newline still to come.
        if end + 1 - self.start > self.max {
            return Err(Broken::TooLong(self.max));
        }
        match found {
            None => {
                self.searched = end;
                Ok(None)
            }
            Some(end) => {
                let line = &self.buffer[self.start..end];
                self.start = end + 1;
                self.searched = end + 1;
                Ok(Some(line))
            }
        }
    }
}

/// A frame as a line.
///
/// # Errors
/// It is longer than [`FRAME_MAX`].
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, TooLarge> {
    // Frames have string keys and no serializer that fails.
    let mut line = serde_json::to_vec(frame).expect("a frame is serializable");
    line.push(b'\n');
    bounded(line)
}

/// A key's value as the line of its [`ToPlane::Set`], and the hash of that. The value is serialized once.
///
/// # Errors
/// It is longer than [`FRAME_MAX`].
pub fn encode_set(key: &Key, value: &Value, needs: &[String], stand_in: bool) -> Result<(Hash, Vec<u8>), TooLarge> {
    #[derive(Serialize)]
    struct Head<'a> {
        key: &'a Key,
        hash: Hash,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        needs: &'a [String],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        stand_in: bool,
    }
    let json = serde_json::to_vec(value).expect("a table value is serializable");
    let hash = match stand_in {
        true => Hash::of(&("stand-in", Hash::of_bytes(&json))),
        false => Hash::of_bytes(&json),
    };
    let mut line = b"{\"set\":".to_vec();
    serde_json::to_writer(&mut line, &Head { key, hash, needs, stand_in }).expect("a key is serializable");
    line.pop();
    line.extend_from_slice(b",\"value\":");
    line.extend_from_slice(&json);
    line.extend_from_slice(b"}}\n");
    bounded(line).map(|line| (hash, line))
}

fn bounded(mut line: Vec<u8>) -> Result<Vec<u8>, TooLarge> {
    if line.len() > FRAME_MAX {
        return Err(TooLarge { size: line.len(), max: FRAME_MAX });
    }
    line.shrink_to_fit();
    Ok(line)
}

/// Reads a controller's frame.
///
/// # Errors
/// The line is no frame of any version.
pub fn decode_to_plane(line: &[u8]) -> Result<Received<ToPlane>, Broken> {
    decode(line, |name, content| match name {
        "set" => unreadable(content),
        "delete" | "keep" if content.get("key").is_some_and(|key| Key::deserialize(key).is_err()) => {
            Some(Received::Unknown(format!("{name} of an unknown key")))
        }
        "welcome" | "lead" | "stand_by" | "commit" | "keep_alive" | "bye" | "delete" | "keep" => None,
        _ => Some(Received::Unknown(format!("frame {name:?}"))),
    })
}

/// Reads a data plane's frame.
///
/// # Errors
/// The line is no frame of any version.
pub fn decode_from_plane(line: &[u8]) -> Result<Received<FromPlane>, Broken> {
    decode(line, |name, _| match name {
        "hello" | "held" | "applied" | "token" | "keep_alive" => None,
        _ => Some(Received::Unknown(format!("frame {name:?}"))),
    })
}

/// What does not parse may be of a newer version: `explain` says so, by the frame's name and content.
fn decode<T: DeserializeOwned>(
    line: &[u8],
    explain: impl FnOnce(&str, &serde_json::Value) -> Option<Received<T>>,
) -> Result<Received<T>, Broken> {
    let error = match serde_json::from_slice(line) {
        Ok(frame) => return Ok(Received::Frame(frame)),
        Err(error) => error,
    };
    let broken = |error: serde_json::Error| Broken::NoFrame(error.to_string());
    let any: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).map_err(broken)?;
    let mut members = any.iter();
    match (members.next(), members.next()) {
        (Some((name, content)), None) => explain(&shown(name), content).ok_or_else(|| broken(error)),
        _ => Err(Broken::NoFrame("not an object with one member".into())),
    }
}

/// A set whose value, or whose key, is of a newer version. None: it is broken.
fn unreadable(content: &serde_json::Value) -> Option<Received<ToPlane>> {
    let (key, value) = (content.get("key")?, content.get("value")?);
    let hash = Hash::deserialize(content.get("hash")?).ok()?;
    let Ok(key) = Key::deserialize(key) else { return Some(Received::Unknown("set of an unknown key".into())) };
    // Without an error both are as they should be, so it is something else of the frame.
    let error = Value::deserialize(value).err()?;
    // The error of a value that holds a secret might show it; its kind and place are enough.
    let why = reason(&error);
    let message = format!("this data plane does not understand the value ({why}); it may be older than the controller");
    Some(Received::Unreadable { key, hash, message })
}

/// serde's messages name fields, variants and types, and quote at most a variant or a wrong scalar; that is cut.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let shown: String = text.chars().take(200).collect();
    if shown.contains("invalid ") { "a field has another type or form".into() } else { shown }
}

/// A name of a peer, for a log line.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}
