//! The frames of the push: however bytes are cut, the same lines come of them, no line is beyond the bound, and what is
//! understood is written as it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routing::wire::{Broken, Decoder, Received, decode_from_plane, decode_to_plane, encode};

/// Small, so that the fuzzer reaches it.
const LINE_MAX: usize = 512;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = lines(bytes, bytes.len().max(1));
    assert_eq!(whole, lines(bytes, usize::from(piece).max(1)), "pieces of {piece}");
    for line in &whole.0 {
        if let Ok(Received::Frame(frame)) = decode_to_plane(line) {
            assert_eq!(decode_to_plane(&written(&frame)), Ok(Received::Frame(frame)));
        }
        if let Ok(Received::Frame(frame)) = decode_from_plane(line) {
            assert_eq!(decode_from_plane(&written(&frame)), Ok(Received::Frame(frame)));
        }
    }
});

fn lines(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<Broken>) {
    let mut decoder = Decoder::new(LINE_MAX);
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.line() {
                Ok(Some(line)) => lines.push(line.to_vec()),
                Ok(None) => break,
                Err(broken) => return (lines, Some(broken)),
            }
            assert!(lines.iter().all(|line| line.len() < LINE_MAX));
        }
    }
    (lines, None)
}

fn written<T: serde::Serialize>(frame: &T) -> Vec<u8> {
    let mut line = encode(frame).expect("what was read from a short line is short");
    assert_eq!(line.pop(), Some(b'\n'));
    line
}
