//! Any text as a file.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/smoke/one_by_one.rs"]
mod one_by_one;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        one_by_one::check(text);
    }
});
