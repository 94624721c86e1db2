//! A connection of responses: the same however it is cut into reads, and fit to be forwarded.
#![no_main]

#[path = "../shared.rs"]
mod shared;

use http1::Method;
use shared::{checks, limits, reads};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let asked = match cut >> 6 {
        0 | 1 => Method::Get,
        2 => Method::Head,
        _ => Method::Connect,
    };
    checks::responses_do_not_depend_on_reads(bytes, &asked, &limits(cut), &reads(cut));
    checks::an_accepted_response_survives_forwarding(bytes, &asked);
});
