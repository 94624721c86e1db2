//! Variables of the response.

use super::{joined, made, parse};
use crate::exchange::Exchange;

pub(super) const NAMES: &[&str] = &["body_bytes_sent", "bytes_sent", "request_completion", "status"];

pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    match name {
        b"status" => made(ex, format!("{:03}", ex.resp.status)),
        b"body_bytes_sent" => made(ex, ex.resp.body_bytes),
        b"bytes_sent" => made(ex, ex.resp.head_bytes + ex.resp.body_bytes),
        b"request_completion" => Some(if ex.resp.ended { b"OK" } else { b"" }),
        _ => None,
    }
}

/// `$sent_http_NAME`: a response header, some of which exist before they are written.
pub(super) fn header<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    let listed = ex.resp.headers.iter().any(|(n, _)| parse::is_variable_of(n, name));
    if !listed && name == b"content_length" {
        let length = ex.resp.content_length?;
        return made(ex, length);
    }
    joined(&ex.resp.headers, &mut ex.lua.scratch, name, b", ")
}
