//! A connection of requests: the same however it is cut into reads, and fit to be forwarded.
#![no_main]

#[path = "../shared.rs"]
mod shared;

use shared::{checks, limits, reads};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    checks::requests_do_not_depend_on_reads(bytes, &limits(cut), &reads(cut));
    checks::an_accepted_request_survives_forwarding(bytes);
});
