//! The form in which hosts are matched. Source: Ingress v1 and RFC 9110, 7.2; what is refused is what no rule of an
//! Ingress can name.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest DNS name (RFC 1035) without its trailing dot. No rule can have a longer one.
const NAME_BYTES_MAX: usize = 253;

/// Why a `Host` or `:authority` cannot be matched. The client's fault: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// Beyond 253 bytes.
    #[error("the host is longer than 253 bytes")]
    TooLong,
    /// Not a number up to 65535.
    #[error("the host's port is no port number")]
    Port,
    /// A byte that no host name has: user info, escapes, `*`, non-ASCII, ...
    #[error("the host has the byte {0:#04x}")]
    Byte(u8),
    /// `.a`, `a..b`, `.` or a port without a host.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// Brackets around something that is no IPv6 address (a zone, an IPvFuture).
    #[error("the host has brackets around something that is no IPv6 address")]
    Address,
}

/// What a byte does in an authority.
#[derive(Clone, Copy)]
enum Class {
    Small,
    Capital,
    Dot,
    Colon,
    Refused,
}

const CLASS: [Class; 256] = {
    let mut table = [Class::Refused; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => Class::Small,
            // Not in host names, but in the DNS names of many test and legacy systems; nginx takes it too.
            b'_' => Class::Small,
            b'A'..=b'Z' => Class::Capital,
            b'.' => Class::Dot,
            b':' => Class::Colon,
            _ => Class::Refused,
        };
        i += 1;
    }
    table
};

/// The normal form of an authority: no port, no trailing dot, lower case, IPv6 addresses in their brackets. An empty
/// `Host` stays empty (RFC 9112, 3.2 allows it; only `*` serves it). Allocates only where there are capitals.
pub fn normalize_host(authority: &[u8]) -> Result<Cow<'_, str>, BadHost> {
    if authority.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    if authority[0] == b'[' {
        return normalize_ipv6(authority);
    }
    let (mut end, mut previous, mut has_capitals) = (authority.len(), b'.', false);
    for (at, &byte) in authority.iter().enumerate() {
        match CLASS[usize::from(byte)] {
            Class::Small => {}
            Class::Capital => has_capitals = true,
            Class::Dot if previous == b'.' => return Err(BadHost::EmptyLabel),
            Class::Dot => {}
            Class::Colon => {
                check_port(&authority[at + 1..])?;
                end = at;
                break;
            }
            Class::Refused => return Err(BadHost::Byte(byte)),
        }
        previous = byte;
    }
    let name = authority[..end].strip_suffix(b".").unwrap_or(&authority[..end]);
    match name.len() {
        0 => Err(BadHost::EmptyLabel),
        1..=NAME_BYTES_MAX => lower(name, has_capitals),
        _ => Err(BadHost::TooLong),
    }
}

/// Whether a normalised host is an IP address, which only rules without a host serve.
pub fn is_ip_literal(host: &str) -> bool {
    match host.as_bytes() {
        [b'[', ..] => true,
        // Few names end in a digit, and fewer have nothing but digits and dots.
        bytes @ [.., b'0'..=b'9'] if bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.')) => {
            bytes.len() <= 15 && host.parse::<Ipv4Addr>().is_ok()
        }
        _ => false,
    }
}

fn normalize_ipv6(authority: &[u8]) -> Result<Cow<'_, str>, BadHost> {
    let end = authority.iter().position(|b| *b == b']').ok_or(BadHost::Address)?;
    let (address, rest) = authority.split_at(end + 1);
    match rest {
        [] => {}
        [b':', port @ ..] => check_port(port)?,
        [byte, ..] => return Err(BadHost::Byte(*byte)),
    }
    let inner = std::str::from_utf8(&address[1..end]).map_err(|_| BadHost::Address)?;
    inner.parse::<Ipv6Addr>().map_err(|_| BadHost::Address)?;
    lower(address, address.iter().any(u8::is_ascii_uppercase))
}

/// Up to five digits; none is a port too (RFC 3986, 3.2.3).
fn check_port(port: &[u8]) -> Result<(), BadHost> {
    let mut number = 0;
    for digit in port {
        if !digit.is_ascii_digit() || port.len() > 5 {
            return Err(BadHost::Port);
        }
        number = number * 10 + u32::from(digit - b'0');
    }
    if number > u32::from(u16::MAX) { Err(BadHost::Port) } else { Ok(()) }
}

fn lower(checked: &[u8], has_capitals: bool) -> Result<Cow<'_, str>, BadHost> {
    // What was checked is ASCII.
    let text = std::str::from_utf8(checked).map_err(|_| BadHost::Address)?;
    Ok(if has_capitals { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) })
}
