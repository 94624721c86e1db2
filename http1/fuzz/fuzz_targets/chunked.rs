//! A chunked body: the same however it is cut into reads, ends where a naive reader says, and can be written again.
#![no_main]

#[path = "../shared.rs"]
mod shared;

use shared::{checks, reads};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    checks::chunked_bodies_end_where_they_should(bytes, &reads(cut));
});
