//! Percent-encoding and query arguments.

use std::borrow::Cow;

/// 256 bits: the bytes to escape.
struct Set([u32; 8]);

impl Set {
    /// Control bytes, the space and `also`; with `high`, 0x7f and above too.
    const fn new(also: &[u8], high: bool) -> Self {
        let rest = if high { u32::MAX } else { 0 };
        let mut bits = [u32::MAX, 1, 0, if high { 1 << 31 } else { 0 }, rest, rest, rest, rest];
        let mut at = 0;
        while at < also.len() {
            bits[also[at] as usize / 32] |= 1 << (also[at] % 32);
            at += 1;
        }
        Self(bits)
    }

    const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize / 32] & (1 << (byte % 32)) != 0
    }
}

/// By type, as nginx's `ngx_escape_uri` numbers them: URI, arguments, component, HTML, `Refresh`, memcached, mail auth.
const SETS: [Set; 7] = [
    Set::new(b"#%?", true),
    Set::new(b"#%+?", true),
    Set::new(b"!\"#$%&'()*+,/:;<=>?@[\\]^`{|}", true),
    Set::new(b"\"#%'", true),
    Set::new(b"\"%'", true),
    Set::new(b"%", false),
    Set::new(b"%", false),
];

/// The type that `ngx.escape_uri` takes when none is given.
const COMPONENT: usize = 2;

/// `ngx.escape_uri`. Types run from 0 to 6; others are those of a component (the prelude refuses them).
pub fn escape_uri(text: &[u8], kind: i32, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let kind = usize::try_from(kind).unwrap_or(COMPONENT);
    let set = SETS.get(kind).unwrap_or(&SETS[COMPONENT]);
    out.reserve(text.len());
    for &byte in text {
        if set.has(byte) {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
}

/// `ngx.unescape_uri`: `+` is a space; a `%` without two hexadecimal digits stays.
pub fn unescape_uri(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', text) else { return Cow::Borrowed(text) };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'+' => b' ',
            b'%' => match after {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    rest = after;
                    hex(*high) << 4 | hex(*low)
                }
                _ => b'%',
            },
            _ => byte,
        });
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// `ngx.encode_args`, one argument after the other: `true` is a key without value (`None`), `false` is left out, an
/// array is its key several times.
pub fn encode_arg(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'&');
    }
    escape_uri(key, COMPONENT as i32, out);
    if let Some(value) = value {
        out.push(b'=');
        escape_uri(value, COMPONENT as i32, out);
    }
}

/// `ngx.decode_args`: the arguments in their order; a value of `None` is `true`. Of `max` pairs (0: any number) those
/// with an empty key are counted and left out.
pub fn decode_args(text: &[u8], max: usize) -> Args<'_> {
    Args { rest: text, left: if max == 0 { usize::MAX } else { max }, truncated: false }
}

/// See [`decode_args`].
pub struct Args<'a> {
    rest: &'a [u8],
    left: usize,
    truncated: bool,
}

impl Args<'_> {
    /// Once all are read: there were more than `max`.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = memchr::memchr(b'&', self.rest);
            let (pair, rest) = end.map_or((self.rest, &b""[..]), |at| (&self.rest[..at], &self.rest[at + 1..]));
            self.rest = rest;
            if end.is_some() {
                self.left -= 1;
                if self.left == 0 {
                    // As lua-nginx-module: by the `&`, even when nothing follows.
                    self.truncated = true;
                    self.rest = b"";
                }
            }
            let (key, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], Some(&pair[at + 1..])),
                None => (pair, None),
            };
            if !key.is_empty() {
                return Some((unescape_uri(key), value.map(unescape_uri)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping() {
        let all: Vec<u8> = (0..=255).collect();
        let check = |kind: i32, kept: &str| {
            let mut out = Vec::new();
            escape_uri(&all, kind, &mut out);
            let expected: Vec<u8> = all
                .iter()
                .flat_map(|&byte| match kept.as_bytes().contains(&byte) || byte.is_ascii_alphanumeric() {
                    true => vec![byte],
                    false => format!("%{byte:02X}").into_bytes(),
                })
                .collect();
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected), "type {kind}");
            assert_eq!(unescape_uri(&out).into_owned() == all, !kept.contains('+'), "type {kind} back");
        };
        check(0, "!\"$&'()*+,-./:;<=>@[\\]^_`{|}~");
        check(1, "!\"$&'()*,-./:;<=>@[\\]^_`{|}~");
        check(2, "-._~");
        check(3, "!$&()*+,-./:;<=>?@[\\]^_`{|}~");
        check(4, "!#$&()*+,-./:;<=>?@[\\]^_`{|}~");
        check(99, "-._~");
        check(-1, "-._~");
        for kind in [5, 6] {
            let mut out = Vec::new();
            escape_uri(b"a b%c\n\x7f\xff", kind, &mut out);
            assert_eq!(out, b"a%20b%25c%0A\x7f\xff");
        }
    }

    #[test]
    fn unescaping() {
        let check = |text: &str, plain: &[u8]| assert_eq!(&*unescape_uri(text.as_bytes()), plain, "{text}");
        check("", b"");
        check("plain", b"plain");
        check("b%20r56+7", b"b r56 7");
        check("%", b"%");
        check("%2", b"%2");
        check("a%2", b"a%2");
        check("%20%", b" %");
        check("%zz%2g%g2", b"%zz%2g%g2");
        check("%%20", b"% ");
        check("%ff%Fe%00", b"\xff\xfe\0");
        check("?%3f", b"??");
    }

    #[test]
    fn arguments_to_text() {
        let mut out = Vec::new();
        encode_arg(b"foo", Some(b"3"), &mut out);
        encode_arg(b"b r", Some(b"hello world"), &mut out);
        encode_arg(b"bare", None, &mut out);
        encode_arg(b"e", Some(b""), &mut out);
        assert_eq!(out, b"foo=3&b%20r=hello%20world&bare&e=");
    }

    #[test]
    fn text_to_arguments() {
        let check = |text: &str, max: usize, expected: &str, truncated: bool| {
            let mut args = decode_args(text.as_bytes(), max);
            let pairs: Vec<String> = args
                .by_ref()
                .map(|(key, value)| {
                    let value = value.map_or("true".into(), |value| format!("'{}'", String::from_utf8_lossy(&value)));
                    format!("{}:{value}", String::from_utf8_lossy(&key))
                })
                .collect();
            assert_eq!(pairs.join(" "), expected, "{text} at most {max}");
            assert_eq!(args.truncated(), truncated, "{text} at most {max}");
        };
        check("", 0, "", false);
        check("a=bar&b=foo", 100, "a:'bar' b:'foo'", false);
        check("a=1&a=2&a&a=", 100, "a:'1' a:'2' a:true a:''", false);
        check("a=b=c&%61=%3d+", 100, "a:'b=c' a:'= '", false);
        check("=x&&&=&b", 100, "b:true", false);
        check("a=1&b=2&c=3", 2, "a:'1' b:'2'", true);
        check("a=1&b=2", 2, "a:'1' b:'2'", false);
        check("a=1&b=2&", 2, "a:'1' b:'2'", true);
        check("&&a=1", 2, "", true);
        check("a&b&c", 0, "a:true b:true c:true", false);
    }
}
