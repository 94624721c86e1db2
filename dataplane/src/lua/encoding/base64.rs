//! Base64 as nginx reads and writes it.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Not a digit.
const NONE: u8 = 64;
const STANDARD_DIGITS: [u8; 256] = digits(STANDARD);
const URL_DIGITS: [u8; 256] = digits(URL);

const fn digits(alphabet: &[u8; 64]) -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        table[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    table
}

/// `ngx.encode_base64`
pub fn encode_base64(text: &[u8], padding: bool, out: &mut Vec<u8>) {
    encode(text, STANDARD, padding, out);
}

/// `ngx.base64.encode_base64url`: never padded.
pub fn encode_base64url(text: &[u8], out: &mut Vec<u8>) {
    encode(text, URL, false, out);
}

/// `ngx.decode_base64`: reads up to the first `=`. False, with nothing written, if that is not base64.
pub fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    decode(text, &STANDARD_DIGITS, false, out)
}

/// `ngx.decode_base64mime`: the same, without the bytes that are no digits.
pub fn decode_base64mime(text: &[u8], out: &mut Vec<u8>) -> bool {
    decode(text, &STANDARD_DIGITS, true, out)
}

/// `ngx.base64.decode_base64url`
pub fn decode_base64url(text: &[u8], out: &mut Vec<u8>) -> bool {
    decode(text, &URL_DIGITS, false, out)
}

fn encode(text: &[u8], alphabet: &[u8; 64], padding: bool, out: &mut Vec<u8>) {
    out.reserve(text.len().div_ceil(3) * 4);
    let digit = |bits: u32, shift: u32| alphabet[(bits >> shift & 63) as usize];
    let (whole, rest) = text.as_chunks::<3>();
    for &[a, b, c] in whole {
        let bits = u32::from_be_bytes([0, a, b, c]);
        out.extend_from_slice(&[digit(bits, 18), digit(bits, 12), digit(bits, 6), digit(bits, 0)]);
    }
    match *rest {
        [a] => {
            let bits = u32::from_be_bytes([0, a, 0, 0]);
            out.extend_from_slice(&[digit(bits, 18), digit(bits, 12)]);
        }
        [a, b] => {
            let bits = u32::from_be_bytes([0, a, b, 0]);
            out.extend_from_slice(&[digit(bits, 18), digit(bits, 12), digit(bits, 6)]);
        }
        _ => return,
    }
    if padding {
        out.extend_from_slice(&b"=="[rest.len() - 1..]);
    }
}

fn decode(text: &[u8], digits: &[u8; 256], skip_others: bool, out: &mut Vec<u8>) -> bool {
    let text = &text[..memchr::memchr(b'=', text).unwrap_or(text.len())];
    let start = out.len();
    out.reserve(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for &byte in text {
        let digit = digits[usize::from(byte)];
        if digit == NONE {
            if skip_others {
                continue;
            }
            out.truncate(start);
            return false;
        }
        bits = bits << 6 | u32::from(digit);
        count += 1;
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        // One digit is no byte.
        1 => {
            out.truncate(start);
            return false;
        }
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding() {
        let check = |text: &[u8], padded: &str, bare: &str, url: &str| {
            let mut out = [const { Vec::new() }; 3];
            encode_base64(text, true, &mut out[0]);
            encode_base64(text, false, &mut out[1]);
            encode_base64url(text, &mut out[2]);
            assert_eq!(out.map(|out| String::from_utf8(out).unwrap()), [padded, bare, url], "{text:?}");
        };
        check(b"", "", "", "");
        check(b"h", "aA==", "aA", "aA");
        check(b"he", "aGU=", "aGU", "aGU");
        check(b"hey", "aGV5", "aGV5", "aGV5");
        check(b"hello", "aGVsbG8=", "aGVsbG8", "aGVsbG8");
        check(b"\xff\xef\xbe", "/+++", "/+++", "_---");
    }

    #[test]
    fn decoding() {
        let check = |text: &str, [plain, mime, url]: [Option<&[u8]>; 3]| {
            let decoders = [decode_base64, decode_base64mime, decode_base64url];
            for (decode, expected) in decoders.into_iter().zip([plain, mime, url]) {
                let mut out = b"before".to_vec();
                let ok = decode(text.as_bytes(), &mut out);
                assert_eq!(ok.then_some(&out[6..]), expected, "{text}");
                assert!(ok || out.len() == 6, "{text} left bytes");
            }
        };
        let all = |text: &str, bytes: &[u8]| check(text, [Some(bytes); 3]);
        all("", b"");
        all("aGVsbG8=", b"hello");
        all("aGVsbG8", b"hello");
        all("aGVsbG8===rest?", b"hello");
        all("aA", b"h");
        all("=", b"");
        // Bits that no byte takes are not looked at.
        all("aB", b"h");
        check("a", [None; 3]);
        check("aGVsb", [None; 3]);
        check("aGVs bG8=", [None, Some(b"hello"), None]);
        check("a.G\nV5", [None, Some(b"hey"), None]);
        check("/+++", [Some(b"\xff\xef\xbe"), Some(b"\xff\xef\xbe"), None]);
        check("_---", [None, Some(b""), Some(b"\xff\xef\xbe")]);
        check(" a", [None; 3]);
        for len in 0..100_u8 {
            let text: Vec<u8> = (0..len).map(|at| at.wrapping_mul(89)).collect();
            let mut out = Vec::new();
            encode_base64(&text, len % 2 == 0, &mut out);
            all_but_url(&out, &text);
        }
    }

    fn all_but_url(encoded: &[u8], text: &[u8]) {
        let mut out = Vec::new();
        assert!(decode_base64(encoded, &mut out) && out == text);
        out.clear();
        assert!(decode_base64mime(encoded, &mut out) && out == text);
    }
}
