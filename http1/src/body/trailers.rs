//! The trailer section of a chunked body (RFC 9112 section 7.1.2).

use super::BodyError;
use crate::headers::Headers;

/// Size of a trailer section. gRPC sends a status, a message and perhaps details of a few KiB; nginx bounds them so too.
pub(super) const BYTES: usize = 8 * 1024;
/// Fields in a trailer section.
const FIELDS: usize = 64;

/// Reads a whole section, its empty line included. `None`: no field is left.
pub(super) fn parse(section: &[u8]) -> Result<Option<Headers>, BodyError> {
    let mut fields = [const { httparse::EMPTY_HEADER }; FIELDS];
    let parsed = match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((size, parsed))) if size == section.len() => parsed,
        Err(httparse::Error::TooManyHeaders) => return Err(BodyError::TrailersTooLarge),
        _ => return Err(BodyError::Trailers),
    };
    let mut headers = Headers::new();
    headers.take_section(section, parsed).ok_or(BodyError::LineEnd)?;
    headers.retain(|name, _| !is_forbidden(name));
    Ok(if headers.is_empty() { None } else { Some(headers) })
}

/// Fields that act before a body is read, on framing, routing, authentication or the meaning of the content. A
/// recipient that merged them into the header section would believe the sender twice.
const FORBIDDEN: [&[u8]; 30] = [
    // framing and connection
    b"transfer-encoding",
    b"content-length",
    b"connection",
    b"keep-alive",
    b"upgrade",
    b"te",
    b"trailer",
    b"proxy-connection",
    // routing and request modifiers
    b"host",
    b"expect",
    b"max-forwards",
    b"range",
    b"if-match",
    b"if-none-match",
    b"if-range",
    b"cache-control",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    // authentication and state
    b"authorization",
    b"proxy-authorization",
    b"www-authenticate",
    b"proxy-authenticate",
    b"cookie",
    b"set-cookie",
    // the meaning of the content
    b"content-encoding",
    b"content-type",
    b"content-range",
];

fn is_forbidden(name: &[u8]) -> bool {
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}
