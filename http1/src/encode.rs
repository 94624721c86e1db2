//! Messages on their way out.
//!
//! Heads are written as they are given: framing and connection fields are the caller's. But nothing that would break
//! the framing can be written, whatever the caller was handed by a script: field names and values were checked when they
//! entered [`Headers`], and a start line is checked here. In debug builds an unsafe start line is a panic, since the
//! caller should have checked; in release builds its bad bytes are escaped or left out.

use crate::chars::{is_field_value, is_target, is_target_byte, is_token, is_token_byte};
use crate::head::Version;
use crate::headers::Headers;
use crate::method::Method;
use crate::status::reason_phrase;

/// Writes a request head. Bytes that may not stand in a target are percent-encoded.
pub fn encode_request(out: &mut Vec<u8>, method: &Method, target: &[u8], version: Version, headers: &Headers) {
    let method = method.as_str().as_bytes();
    out.reserve(method.len() + target.len() + headers.bytes() + "  HTTP/1.1\r\n\r\n".len());
    write_method(out, method);
    out.push(b' ');
    write_target(out, target);
    out.extend_from_slice(match version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
    headers.write_to(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes a response head. `reason` `None` is the standard phrase; a reason with CR, LF or NUL is left out.
pub fn encode_response(out: &mut Vec<u8>, version: Version, status: u16, reason: Option<&[u8]>, headers: &Headers) {
    debug_assert!((100..1000).contains(&status), "a status of three digits: {status}");
    let reason = reason.unwrap_or_else(|| reason_phrase(status));
    debug_assert!(is_field_value(reason), "a reason phrase that may not be written");
    let reason = if is_field_value(reason) { reason } else { b"" };
    out.reserve(reason.len() + headers.bytes() + "HTTP/1.1 200 \r\n\r\n".len());
    let digit = |value: u16| b'0' + (value % 10) as u8;
    let minor = if version == Version::Http10 { b'0' } else { b'1' };
    let (hundreds, tens, ones) = (digit(status / 100), digit(status / 10), digit(status));
    out.extend_from_slice(&[b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', hundreds, tens, ones, b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    headers.write_to(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes `data` as one chunk. Nothing for empty data, since an empty chunk ends the body.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + 20);
    encode_chunk_head(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk of `len` bytes, for vectored writes: the data and CRLF follow. Nothing for 0, and then
/// nothing may follow either.
pub fn encode_chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk would end the body");
    if len == 0 {
        return;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for shift in (0..digits).rev() {
        out.push(b"0123456789abcdef"[len >> (4 * shift) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the empty chunk, the trailer fields and the empty line that end a chunked body.
pub fn encode_last_chunk(out: &mut Vec<u8>, trailers: Option<&Headers>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_to(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_method(out: &mut Vec<u8>, method: &[u8]) {
    debug_assert!(is_token(method), "a method that may not be written");
    if is_token(method) {
        out.extend_from_slice(method);
    } else {
        out.extend(method.iter().filter(|byte| is_token_byte(**byte)));
    }
}

fn write_target(out: &mut Vec<u8>, target: &[u8]) {
    let safe = is_target(target);
    debug_assert!(safe, "a target that may not be written");
    if safe {
        out.extend_from_slice(target);
        return;
    }
    if target.is_empty() {
        out.push(b'/');
    }
    for &byte in target {
        if is_target_byte(byte) {
            out.push(byte);
        } else {
            let hex = |nibble: u8| b"0123456789ABCDEF"[nibble as usize];
            out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 0xf)]);
        }
    }
}
