//! Digests and checksums. None of these keeps a secret today; scripts use them for keys and for old protocols.

use aws_lc_rs::{digest, hmac};
use md5::{Digest, Md5};

/// `ngx.md5_bin`
pub fn md5_bin(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Md5::digest(text));
}

/// `ngx.md5`: in lower-case hexadecimal digits.
pub fn md5(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend(Md5::digest(text).iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]));
}

/// `ngx.sha1_bin`
pub fn sha1_bin(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text).as_ref());
}

/// `ngx.hmac_sha1`
pub fn hmac_sha1(key: &[u8], text: &[u8], out: &mut Vec<u8>) {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    out.extend_from_slice(hmac::sign(&key, text).as_ref());
}

/// `TABLES[n][b]`: the checksum of `b` followed by `n` zero bytes.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut at = 0;
    while at < 256 {
        let mut sum = at as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        tables[0][at] = sum;
        at += 1;
    }
    let mut table = 1;
    while table < 8 {
        at = 0;
        while at < 256 {
            let before = tables[table - 1][at];
            tables[table][at] = before >> 8 ^ tables[0][(before & 255) as usize];
            at += 1;
        }
        table += 1;
    }
    tables
}

/// `ngx.crc32_short` and `ngx.crc32_long`, which are two ways to the same number: CRC-32 as in zip.
pub fn crc32(text: &[u8]) -> u32 {
    let (whole, rest) = text.as_chunks::<8>();
    let mut sum = u32::MAX;
    for chunk in whole {
        let bytes = (u64::from_le_bytes(*chunk) ^ u64::from(sum)).to_le_bytes();
        sum = bytes.iter().zip(TABLES.iter().rev()).fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
    }
    for byte in rest {
        sum = sum >> 8 ^ TABLES[0][(sum as u8 ^ byte) as usize];
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        digest(&mut out);
        out.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests() {
        assert_eq!(hex(|out| md5_bin(b"", out)), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(|out| md5_bin(b"hello", out)), "5d41402abc4b2a76b9719d911017c592");
        let mut out = b"before ".to_vec();
        md5(b"hello", &mut out);
        assert_eq!(out, b"before 5d41402abc4b2a76b9719d911017c592");
        assert_eq!(hex(|out| sha1_bin(b"", out)), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(|out| sha1_bin(b"hello", out)), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
        let signed = |key: &[u8], text: &[u8]| hex(|out| hmac_sha1(key, text, out));
        // The example of OpenResty's manual, then RFC 2202's cases 1 and 6.
        let manual = signed(b"thisisverysecretstuff", b"some string we want to sign");
        assert_eq!(manual, "47fa6fc731c2e0d2ed8fb4be917160fcd78f4e69");
        assert_eq!(signed(&[0x0b; 20], b"Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(signed(&[0xaa; 80], long), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn checksums() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"hello, world"), 4_289_425_978);
        assert_eq!(crc32(&[0; 32]), 0x190a_55ad);
        assert_eq!(crc32(&[0xff; 32]), 0xff6c_ab0b);
    }
}
