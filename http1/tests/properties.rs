//! Properties over random input: a grammar of likely and unlikely pieces, and the corpus with mutations.
#![allow(missing_docs)]

use http1::*;
use proptest::prelude::*;

#[path = "shared/checks.rs"]
mod checks;
#[path = "properties/inputs.rs"]
mod inputs;
#[path = "properties/model.rs"]
mod model;
#[allow(dead_code, reason = "the corpus test uses all of it")]
#[path = "shared/reader.rs"]
mod reader;
#[path = "shared/transcript.rs"]
mod transcript;

use inputs::{chunked, limits, message, method, reads, request_stream, response_stream, section};

proptest! {
    // A failure belongs into the corpus, not into a file of seeds. PROPTEST_CASES sets how many.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_not_depend_on_reads(bytes in request_stream(), limits in limits(), reads in reads()) {
        checks::requests_do_not_depend_on_reads(&bytes, &limits, &reads);
    }

    #[test]
    fn responses_do_not_depend_on_reads(bytes in response_stream(), asked in method(), limits in limits(), reads in reads()) {
        checks::responses_do_not_depend_on_reads(&bytes, &asked, &limits, &reads);
    }

    #[test]
    fn an_accepted_request_survives_forwarding(bytes in request_stream()) {
        checks::an_accepted_request_survives_forwarding(&bytes);
    }

    #[test]
    fn an_accepted_response_survives_forwarding(bytes in response_stream(), asked in method()) {
        checks::an_accepted_response_survives_forwarding(&bytes, &asked);
    }

    #[test]
    fn both_sides_agree_on_framing(section in section(), old in any::<bool>()) {
        checks::both_sides_agree_on_framing(&section, if old { Version::Http10 } else { Version::Http11 });
    }

    #[test]
    fn chunked_bodies_end_where_they_should(bytes in chunked(), reads in reads()) {
        checks::chunked_bodies_end_where_they_should(&bytes, &reads);
    }

    /// What one side writes is what the other reads, to the last byte.
    #[test]
    fn a_written_message_is_read_back(message in message(), reads in reads()) {
        let request = message.as_request();
        let rest: &[u8] = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n";
        let want = format!("{}{}", message.request_transcript(), " | GET /after");
        prop_assert_eq!(&transcript::requests(&[&request[..], rest].concat(), &Limits::default(), &reads), &want);
        let want = format!("{} | {} unread", message.response_transcript(), rest.len());
        prop_assert_eq!(&transcript::answers(&[&message.as_response()[..], rest].concat(), &Method::Get, &Limits::default(), &reads), &want);
    }

    /// `worth_parsing` may skip reads, but never the one that completes a head.
    #[test]
    fn worth_parsing_misses_no_end(bytes in request_stream(), reads in reads()) {
        let (limits, mut head) = (Limits::default(), RequestHead::new());
        let (mut end, mut seen) = (0usize, 0usize);
        for size in reads.iter().cycle() {
            end = end.saturating_add((*size).max(1)).min(bytes.len());
            if worth_parsing(&bytes[..end], seen) {
                seen = end;
                if parse_request(&bytes[..end], &limits, &mut head) != Ok(None) {
                    break;
                }
            } else {
                prop_assert!(!matches!(parse_request(&bytes[..end], &limits, &mut head), Ok(Some(_))));
            }
            if end == bytes.len() {
                break;
            }
        }
    }

    #[test]
    fn headers_are_a_list(operations in prop::collection::vec(model::operation(), 0..200)) {
        model::check(&operations);
    }

    #[test]
    fn hosts_have_no_surprises(bytes in prop::collection::vec(prop::sample::select(&b"a1.-_:[]%/@ ,?#\\\x00\xe4"[..]), 0..12)) {
        if is_host(&bytes) {
            prop_assert!(!bytes.iter().any(|byte| b"/@ ,?#\\\x00\xe4".contains(byte)));
            prop_assert!(!bytes.starts_with(b":"));
        }
    }

    #[test]
    fn methods_are_tokens(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
        let method = Method::from_bytes(&bytes);
        prop_assert_eq!(method.is_some(), is_token(&bytes));
        if let Some(method) = method {
            prop_assert_eq!(method.as_str().as_bytes(), &bytes[..]);
        }
    }
}
