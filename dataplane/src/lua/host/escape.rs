//! Bytes that must not stand where scripts put them, escaped as lua-nginx-module escapes them.

use std::borrow::Cow;

fn percent(text: &[u8], unsafe_byte: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| unsafe_byte(*b)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        if unsafe_byte(byte) {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// A header's name: whatever is no token character.
pub(super) fn header_name(name: &[u8]) -> Cow<'_, [u8]> {
    percent(name, |b| !http1::is_token(&[b]))
}

/// A header's value: control bytes but tabs.
pub(super) fn header_value(value: &[u8]) -> Cow<'_, [u8]> {
    percent(value, |b| (b < 0x20 && b != b'\t') || b == 0x7f)
}

/// A query string: control bytes and spaces.
pub(super) fn args(args: &[u8]) -> Vec<u8> {
    percent(args, |b| b <= 0x20 || b == 0x7f).into_owned()
}

/// Text for an error message or a log line.
pub(super) fn log(text: &[u8]) -> String {
    let mut out = String::new();
    for &byte in text {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' || byte == b' ' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{args, header_name, header_value, log};

    #[test]
    fn unsafe_bytes_are_escaped() {
        assert_eq!(&*header_name(b"x y:\r\n"), b"x%20y%3A%0D%0A");
        assert_eq!(&*header_name(b"X-Good_1"), b"X-Good_1");
        assert_eq!(&*header_value(b"a\tb\r\nSet-Cookie: x\0\x7f\xff"), b"a\tb%0D%0ASet-Cookie: x%00%7F\xff");
        assert_eq!(args(b"a=b c\n&d=%20"), b"a=b%20c%0A&d=%20");
        assert_eq!(log(b"/a\"\\\n\xff b"), "/a\\x22\\x5C\\x0A\\xFF b");
    }
}
