//! HTTP/1.1 as a sans-I/O codec for both sides of a proxy: bytes in, messages out, and back.
//! No sockets, no clocks, no buffers of its own.
//!
//! In the order in which a request travels:
//! - [`request`]: the head that a client sent
//! - [`body`]: where its body, or the response's, ends
//! - [`encode`]: heads and chunks on their way out
//! - [`response`]: the head that an upstream sent
//!
//! and what these share:
//! - [`method`], [`headers`], [`status`]: the parts of a head; [`Limits`] and [`Fault`]: what bounds it, what is wrong
//! - [`chars`]: the byte classes of RFC 9110 and RFC 9112
//! - `fields`: the header fields that decide about framing and connection
//!
//! Framing follows RFC 9112. Where the RFC lets a recipient choose between refusing and repairing, this crate refuses:
//! two parties that repair in different ways are what request smuggling is made of. A proxy that forwards only what
//! this crate accepted, encoded again by this crate, never forwards a message whose end is a matter of opinion.
//! `tests/corpus` lists every such choice with its reason.
#![forbid(unsafe_code)]

pub mod body;
pub mod chars;
pub mod encode;
mod fields;
mod head;
pub mod headers;
pub mod method;
pub mod request;
pub mod response;
pub mod status;

pub use body::{BodyDecoder, BodyError, Decoded, Event};
pub use chars::{is_field_value, is_host, is_target, is_token};
pub use encode::{encode_chunk, encode_chunk_head, encode_last_chunk, encode_request, encode_response};
pub use head::{Fault, Framing, Limits, MAX_HEADERS, Version, worth_parsing};
pub use headers::Headers;
pub use method::Method;
pub use request::{RequestError, RequestHead, parse_request};
pub use response::{ResponseError, ResponseHead, parse_response};
pub use status::reason_phrase;
