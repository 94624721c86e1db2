//! The frames between a controller and a data plane. One JSON object a line, with one member: the frame's name and its
//! content, as in `{"delete":{"key":{"Host":"a.example.com"}}}`.
//!
//! Of one stream, in the order in which frames travel:
//!
//! ```text
//! data plane                                controller
//!   Hello{protocols, version, features}  ->
//!                                        <-  Welcome{protocol, version}       then silence, unless it leads
//!                                        <-  Lead{term}
//!   Held{pairs, last}, ...               ->                                   once the term is accepted
//!                                        <-  Set, Keep, Delete, ..., Commit{term, counter, versions}
//!   Applied{term, counter, failed, lua}  ->                                   before it, nothing more is sent
//!                                        <-  StandBy                          what is not committed is void
//!   Token{token}                         ->                                   before the earlier one expires
//!   KeepAlive                           <->   KeepAlive
//! ```
//!
//! Versions N-1 and N+1 talk: fields that a side does not know are ignored, and fields that the other does not send have
//! defaults; a frame or a key that a data plane does not know is skipped, and a value that it cannot read is that key's
//! problem. What must not be ignored is a feature ([`needs()`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Hash, Key, KeyProblem, Value, key::PluginKey};

mod codec;
mod needs;

pub use codec::{Broken, Decoder, Received, TooLarge, decode_from_plane, decode_to_plane, encode, encode_set};
pub use needs::{FEATURES, KEEP, closed, needs};

/// Longest frame, its newline included. An object has at most 1.5 MiB in etcd; only what many objects make together,
/// as the endpoints of a Service, comes near it.
pub const FRAME_MAX: usize = 16 * 1024 * 1024;

/// Longest frame that a data plane sends: what it lists comes in parts.
pub const PLANE_FRAME_MAX: usize = 1024 * 1024;

/// Longest frame that a data plane sends before it is known well: its `Hello`.
pub const HELLO_MAX: usize = 64 * 1024;

/// Pairs of one `Held`: with keys of 500 bytes they are half of [`PLANE_FRAME_MAX`].
pub const HELD_MAX: usize = 1000;

/// Problems that one `Applied` names; a status shows fewer.
pub const PROBLEMS_MAX: usize = 256;

/// Bytes of a message in an `Applied`.
pub const MESSAGE_MAX: usize = 512;

/// A message as far as [`MESSAGE_MAX`] goes.
pub fn shorten(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_MAX));
    message
}

/// Path of the one request that a stream is.
pub const PATH: &str = "/push";

/// Name in the controller's certificate that a data plane verifies, whatever address it connects to.
pub const SERVER_NAME: &str = "moongate-controller.push.moongate.dev";

/// The protocol versions that this build speaks.
pub const PROTOCOLS: Protocols = Protocols { min: 1, max: 1 };

/// A range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocols {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl Protocols {
    /// The newest version that both sides speak.
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// What a data plane sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromPlane {
    /// The first frame.
    Hello(Hello),
    /// Answers `Lead`: what it holds, in parts.
    Held(Held),
    /// Answers `Commit`; again when a script failed since.
    Applied(Applied),
    /// A newer token than the one that the stream began with.
    Token {
        /// As read from its file.
        token: String,
    },
    /// Sent when nothing else was for a while.
    KeepAlive {},
}

/// What a controller sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToPlane {
    /// Answers `Hello`.
    Welcome(Welcome),
    /// It leads, and asks what the data plane holds.
    Lead(Lead),
    /// It does not lead any more.
    StandBy {},
    /// A key's value, in effect with the next `Commit`.
    Set(Set),
    /// A key's value cannot be told now, and nothing stands in for it: what is there stays, if it is not a stand-in.
    Keep(Keep),
    /// A key is gone, with the next `Commit`.
    Delete {
        /// It.
        key: Key,
    },
    /// Everything since the last one takes effect.
    Commit(CommitFrame),
    /// Sent when nothing else was for a while.
    KeepAlive {},
    /// The stream ends.
    Bye {
        /// Why, for the data plane's log.
        reason: String,
    },
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// What it speaks.
    pub protocols: Protocols,
    /// Moongate's version, for people.
    #[serde(default)]
    pub version: String,
    /// What it can do beyond the protocol's first version; see [`needs()`].
    #[serde(default)]
    pub features: Vec<String>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// What is spoken from here on.
    pub protocol: u32,
    /// Moongate's version, for people.
    #[serde(default)]
    pub version: String,
}

/// A claim to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// The Lease's `leaseTransitions`.
    pub term: u64,
    /// It has lost the Lease, and offers the table that it last led with: better than none, or than an older one.
    #[serde(default)]
    pub stale: bool,
}

/// A part of what a data plane holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// The term of the last commit that it applied, and its counter.
    pub applied: Option<(u64, u64)>,
    /// The resource versions of that commit, by kind.
    pub versions: BTreeMap<String, String>,
    /// Keys and the hashes of their values, as they were sent with them.
    pub pairs: Vec<(Known<Key>, Hash)>,
    /// There is no further part.
    pub last: bool,
}

/// Something of a peer that may be newer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Known<T> {
    /// It is known here.
    Yes(T),
    /// It is not.
    No(serde_json::Value),
}

/// A key's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Set {
    /// It.
    pub key: Key,
    /// Of the value, by the controller: what a data plane reports. A stand-in has another one than the same value has.
    pub hash: Hash,
    /// Features that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The value cannot be told now, and the controller has no earlier one. This is for who has none either; what else is
    /// there stays, with everything that it names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stand_in: bool,
    /// What it says now.
    pub value: Arc<Value>,
}

impl Set {
    /// The first feature that it needs and this build's data plane does not have.
    pub fn missing(&self) -> Option<&String> {
        self.needs.iter().find(|need| !FEATURES.contains(&need.as_str()))
    }
}

/// A key of which neither a value nor a stand-in can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// It.
    pub key: Key,
    /// What a data plane reports from here on, whatever it has.
    pub hash: Hash,
}

/// A step's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitFrame {
    /// The leader's.
    pub term: u64,
    /// Counts the leader's changes.
    pub counter: u64,
    /// The resource versions that the table is of, by kind.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// What was not set since the last commit, or since `Lead`, is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// What a data plane is at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// The commit's.
    pub term: u64,
    /// The commit's.
    pub counter: u64,
    /// Keys that keep an earlier value or have none, of all commits so far; at most [`PROBLEMS_MAX`].
    pub failed: Vec<Known<KeyProblem>>,
    /// How many there are.
    pub failed_total: u64,
    /// The last failure of each plugin's scripts; at most [`PROBLEMS_MAX`].
    pub lua: Vec<Known<LuaFailure>>,
}

/// The last failure of a plugin's scripts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LuaFailure {
    /// The plugin.
    pub plugin: PluginKey,
    /// The phase and Lua's message, with chunk and line.
    pub message: String,
    /// When it failed first with this message: milliseconds since the epoch.
    #[serde(default)]
    pub at_ms: u64,
}

#[cfg(test)]
mod tests;
