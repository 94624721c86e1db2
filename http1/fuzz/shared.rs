//! What the targets have in common with each other, and with the property tests of the crate.
#![allow(dead_code, reason = "no target uses all of it")]

#[path = "../tests/shared/checks.rs"]
pub(crate) mod checks;
#[path = "../tests/shared/reader.rs"]
pub(crate) mod reader;
#[path = "../tests/shared/transcript.rs"]
pub(crate) mod transcript;

/// Limits that one byte of input chooses: a quarter of the inputs meets tight ones.
pub(crate) fn limits(cut: u8) -> http1::Limits {
    if cut & 0x30 == 0x30 { http1::Limits { head_bytes: 64, headers: 3 } } else { http1::Limits::default() }
}

/// Sizes of reads that one byte of input chooses.
pub(crate) fn reads(cut: u8) -> Vec<usize> {
    match cut & 0x3f {
        0 => vec![1],
        cut @ 1..32 => vec![cut as usize],
        cut => vec![(cut & 7) as usize + 1, 1, (cut >> 3 & 7) as usize * 5 + 1],
    }
}
