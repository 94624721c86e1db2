//! The pure functions of the `ngx.*` API: bytes in, bytes out, with the results of lua-nginx-module.
//!
//! They append to the caller's buffer. What Lua does before (`nil` is `""`, numbers become strings, other types are
//! errors) stays in the prelude.
//!
//! - `uri`: `escape_uri`, `unescape_uri`, `encode_args`, `decode_args`
//! - `base64`: `encode_base64`, `decode_base64`, `decode_base64mime`, `ngx.base64`
//! - `digest`: `md5`, `md5_bin`, `sha1_bin`, `hmac_sha1`, `crc32_short`, `crc32_long`
//! - `time`: `parse_http_time`, `http_time`, `cookie_time`, `utctime`, `today`
//! - here: `quote_sql_str`

mod base64;
mod digest;
mod time;
mod uri;

pub use base64::{decode_base64, decode_base64mime, decode_base64url, encode_base64, encode_base64url};
pub use digest::{crc32, hmac_sha1, md5, md5_bin, sha1_bin};
pub use time::{cookie_time, date, date_time, http_time, parse_http_time};
pub use uri::{Args, decode_args, encode_arg, escape_uri, unescape_uri};

/// `ngx.quote_sql_str`: a string literal for MySQL, quotes included.
pub fn quote_sql_str(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'\'');
    for &byte in text {
        let escaped = match byte {
            0 => b'0',
            8 => b'b',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x1a => b'Z',
            b'\\' | b'\'' | b'"' => byte,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::quote_sql_str;

    #[test]
    fn sql_literals() {
        let check = |text: &[u8], quoted: &[u8]| {
            let mut out = Vec::new();
            quote_sql_str(text, &mut out);
            assert_eq!(out, quoted, "{text:?}");
        };
        check(b"", b"''");
        check(b"a\r\nb\t\\'\"\x1a\0\x08z", b"'a\\r\\nb\\t\\\\\\'\\\"\\Z\\0\\bz'");
        check("\u{e9}".as_bytes(), "'\u{e9}'".as_bytes());
    }
}
