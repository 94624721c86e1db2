//! One header section means the same body to the side that reads requests and to the side that reads responses.
#![no_main]

#[path = "../shared.rs"]
mod shared;

use http1::Version;
use shared::checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&version, section)) = input.split_first() else { return };
    let version = if version & 1 == 0 { Version::Http11 } else { Version::Http10 };
    checks::both_sides_agree_on_framing(section, version);
});
