//! The byte classes of RFC 9110 and RFC 9112, for what is parsed here and for what scripts and HTTP/2 hand in.

/// `tchar` of RFC 9110 section 5.6.2.
const TOKEN: [bool; 256] = class(b"!#$%&'*+-.^_`|~");
/// What a registered name may hold as single bytes: `unreserved` and `sub-delims` of RFC 3986, without the comma.
/// A comma is how intermediaries join two Host fields into one, so a host that has one is two hosts.
const HOST: [bool; 256] = class(b"-._~!$&'()*+;=");

const fn class(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
}

/// Whether `bytes` is a token (RFC 9110 section 5.6.2): a method, or a field name. The empty string is none.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[byte as usize])
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `bytes` may be written as a field value: no CR, LF or NUL (RFC 9110 section 5.5).
///
/// Other control characters are dangerous to nobody's framing and some applications send them, so they pass here;
/// a head that arrives over HTTP/1.1 with one is refused all the same.
pub fn is_field_value(bytes: &[u8]) -> bool {
    !any(bytes, |byte| (byte == b'\r') | (byte == b'\n') | (byte == 0))
}

/// Whether `bytes` may stand in a request target on the wire: no space, no control character, no `#` (a fragment is
/// never sent; RFC 9112 section 3.2). Bytes above 0x7f pass: browsers of old and scripts send raw UTF-8.
pub fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !any(bytes, |byte| !is_target_byte(byte))
}

pub(crate) fn is_target_byte(byte: u8) -> bool {
    (byte > b' ') & (byte != 0x7f) & (byte != b'#')
}

/// Whether `test` holds for any byte. Most values are shorter than what a search needs to get going; a block without an
/// early exit becomes a few vector instructions.
#[inline(always)]
fn any(bytes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    let (blocks, rest) = bytes.as_chunks::<16>();
    blocks.iter().any(|block| block.iter().fold(false, |found, &byte| found | test(byte)))
        || rest.iter().any(|&byte| test(byte))
}

/// Whether `bytes` is `uri-host [ ":" port ]` with a host that is not empty (RFC 9110 section 7.2, RFC 3986 section 3.2.2).
///
/// No user information, no comma; a port is empty or a number up to 65535.
pub fn is_host(bytes: &[u8]) -> bool {
    let (host_ok, rest) = match bytes {
        [b'[', inner @ ..] => {
            let Some(end) = memchr::memchr(b']', inner) else { return false };
            (is_ip_literal(&inner[..end]), &inner[end + 1..])
        }
        _ => {
            let end = bytes.iter().position(|&byte| !HOST[byte as usize]).unwrap_or(bytes.len());
            if bytes.get(end) == Some(&b'%') {
                return is_escaped_host(bytes);
            }
            (end > 0, &bytes[end..])
        }
    };
    host_ok && is_port_suffix(rest)
}

/// A registered name with percent-encoded bytes: rare enough to have a path of its own.
fn is_escaped_host(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => match bytes.get(at + 1..at + 3) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => at += 3,
                _ => return false,
            },
            b':' => return at > 0 && is_port_suffix(&bytes[at..]),
            _ if HOST[byte as usize] => at += 1,
            _ => return false,
        }
    }
    at > 0
}

/// What stands between the brackets. IPv6 addresses only: nobody has defined an IPvFuture.
fn is_ip_literal(inner: &[u8]) -> bool {
    std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_port_suffix(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', port @ ..] => {
            port.len() <= 5
                && port.iter().all(u8::is_ascii_digit)
                && port.iter().fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0')) <= 65_535
        }
        _ => false,
    }
}
