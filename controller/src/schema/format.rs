//! The `format` keyword: the names whose check is clear.

use std::net::{Ipv4Addr, Ipv6Addr};

use routing::value::Cidr;
use serde_json::Value;

/// What a text or number must be, besides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Int32,
    Int64,
    /// `float`, `double`: every number is one.
    Float,
    Byte,
    DateTime,
    Ipv4,
    Ipv6,
    Cidr,
    Uri,
    Uuid,
    /// For forms: not to be shown.
    Password,
}

const NAMES: [(&str, Format); 12] = [
    ("int32", Format::Int32),
    ("int64", Format::Int64),
    ("float", Format::Float),
    ("double", Format::Float),
    ("byte", Format::Byte),
    ("date-time", Format::DateTime),
    ("ipv4", Format::Ipv4),
    ("ipv6", Format::Ipv6),
    ("cidr", Format::Cidr),
    ("uri", Format::Uri),
    ("uuid", Format::Uuid),
    ("password", Format::Password),
];

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    pub(super) fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }

    /// What a value that is not of the format should be.
    pub(super) fn complaint(self, value: &Value) -> Option<&'static str> {
        let text = value.as_str();
        let (holds, what) = match self {
            Self::Int32 => {
                (value.as_f64().is_none_or(|n| (-2_147_483_648.0..=2_147_483_647.0).contains(&n)), "32 bits")
            }
            Self::Int64 => (value.as_f64().is_none_or(|n| value.is_i64() || n.abs() < 9.2e18), "64 bits"),
            Self::Float | Self::Password => return None,
            Self::Byte => (text.is_none_or(is_base64), "base64"),
            Self::DateTime => (text.is_none_or(is_date_time), "a time such as 2026-01-31T12:00:00Z"),
            Self::Ipv4 => (text.is_none_or(|t| t.parse::<Ipv4Addr>().is_ok()), "an IPv4 address"),
            Self::Ipv6 => (text.is_none_or(|t| t.parse::<Ipv6Addr>().is_ok()), "an IPv6 address"),
            Self::Cidr => (text.is_none_or(is_cidr), "a range such as 10.0.0.0/8"),
            Self::Uri => (text.is_none_or(is_uri), "a URI with its scheme"),
            Self::Uuid => (text.is_none_or(is_uuid), "a UUID"),
        };
        (!holds).then_some(what)
    }
}

fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_cidr(text: &str) -> bool {
    text.contains('/') && text.parse::<Cidr>().is_ok()
}

/// RFC 3339, by shape.
fn is_date_time(text: &str) -> bool {
    let like = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
    };
    let Some((day, rest)) = text.split_once(['T', 't', ' ']) else { return false };
    let Some((time, rest)) = rest.split_at_checked(8) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let offset = zone.strip_prefix(['+', '-']).is_some_and(|offset| like(offset, "00:00"));
    like(day, "0000-00-00") && like(time, "00:00:00") && (offset || matches!(zone, "Z" | "z"))
}

fn is_uri(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    };
    let visible = text.bytes().all(|b| (b'!'..=b'~').contains(&b));
    visible && text.split_once(':').is_some_and(|(before, after)| scheme(before) && !after.is_empty())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.concat().bytes().all(|b| b.is_ascii_hexdigit())
}
