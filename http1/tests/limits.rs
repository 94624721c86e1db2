//! Every bound, just kept and just exceeded.
#![allow(missing_docs)]

use http1::*;

const LIMITS: Limits = Limits { head_bytes: 200, headers: 4 };

/// The status of a refusal; 0 for an accepted head, 1 when more bytes are needed.
fn request(bytes: &[u8]) -> u16 {
    match parse_request(bytes, &LIMITS, &mut RequestHead::new()) {
        Ok(Some(size)) => {
            assert_eq!(size, bytes.len());
            0
        }
        Ok(None) => 1,
        Err(error) => error.status(),
    }
}

fn response(bytes: &[u8]) -> Option<Fault> {
    parse_response(bytes, &LIMITS, &Method::Get, &mut ResponseHead::new()).err().map(|error| error.fault())
}

fn padded(start: &str, size: usize) -> Vec<u8> {
    let end = "\r\n\r\n";
    let fill = "x".repeat(size - start.len() - end.len());
    format!("{start}{fill}{end}").into_bytes()
}

#[test]
fn request_heads() {
    let line = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let cases: [(&str, Vec<u8>, u16); 11] = [
        ("a head of the limit", padded(line, 200), 0),
        ("one byte more", padded(line, 201), 431),
        ("the limit without an end", padded(line, 300)[..200].to_vec(), 431),
        ("just below the limit without an end", padded(line, 300)[..199].to_vec(), 1),
        ("a long head in a longer buffer", padded(line, 300), 431),
        ("a target without an end", format!("GET /{}", "a".repeat(200)).into_bytes(), 414),
        ("a method without an end", "A".repeat(200).into_bytes(), 414),
        ("as many fields as allowed", fields(4).into_bytes(), 0),
        ("one field more", fields(5).into_bytes(), 431),
        ("four empty lines do not count", [b"\r\n\r\n\r\n\r\n".to_vec(), padded(line, 200)].concat(), 0),
        ("a bare LF before the field too many", fields(5).replacen("\r\nX", "\nX", 1).into_bytes(), 400),
    ];
    for (name, bytes, status) in cases {
        assert_eq!(request(&bytes), status, "{name}");
        // Whatever has arrived when it is refused, the answer is the same.
        let first = (0..=bytes.len()).map(|end| request_prefix(&bytes[..end])).find(|status| *status != 1);
        assert_eq!(first.unwrap_or(1), status, "{name}, byte by byte");
    }
}

fn request_prefix(bytes: &[u8]) -> u16 {
    match parse_request(bytes, &LIMITS, &mut RequestHead::new()) {
        Ok(Some(_)) => 0,
        Ok(None) => 1,
        Err(error) => error.status(),
    }
}

#[test]
fn response_heads() {
    let line = "HTTP/1.1 200 OK\r\nX: ";
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count)).into_bytes();
    assert_eq!(response(&padded(line, 200)), None);
    assert_eq!(response(&padded(line, 201)), Some(Fault::HeadTooLarge));
    assert_eq!(response(&fields(4)), None);
    assert_eq!(response(&fields(5)), Some(Fault::TooManyFields));
}

#[test]
fn limits_above_the_array_are_the_array() {
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count)).into_bytes();
    let limits = Limits { head_bytes: 1 << 20, headers: 100_000 };
    let mut head = ResponseHead::new();
    assert!(parse_response(&fields(MAX_HEADERS), &limits, &Method::Get, &mut head).is_ok());
    assert_eq!(head.headers.len(), MAX_HEADERS);
    let error = parse_response(&fields(MAX_HEADERS + 1), &limits, &Method::Get, &mut head).unwrap_err();
    assert_eq!(error.fault(), Fault::TooManyFields);
}

/// Decodes in pieces of `step` bytes.
fn chunked(bytes: &[u8], step: usize) -> Result<usize, BodyError> {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut at, mut end, mut size) = (0, step.min(bytes.len()), 0);
    loop {
        let Decoded { consumed, event } = decoder.decode(&bytes[at..end])?;
        at += consumed;
        match event {
            Event::Data(range) => size += range.len(),
            Event::End => return Ok(size),
            Event::NeedMore if end == bytes.len() => return Err(BodyError::Incomplete),
            Event::NeedMore => end = (end + step).min(bytes.len()),
        }
    }
}

#[test]
fn chunked_bodies() {
    let extended = |bytes: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(bytes));
    let spread = format!("1;{0}\r\nx\r\n1;{0}\r\nx\r\n1;a\r\nx\r\n0\r\n\r\n", "a".repeat(8 * 1024));
    let spaced = format!("1{};a\r\nx\r\n0\r\n\r\n", " ".repeat(16 * 1024));
    // The section with its empty line: `T: ` + value + CR LF CR LF.
    let trailer = |bytes: usize| format!("0\r\nT: {}\r\n\r\n", "a".repeat(bytes - 7));
    let trailers = |count: usize| format!("0\r\n{}\r\n", "T: a\r\n".repeat(count));
    let cases: [(&str, String, Result<usize, BodyError>); 9] = [
        ("extensions of the limit", extended(16 * 1024), Ok(1)),
        ("one byte more", extended(16 * 1024 + 1), Err(BodyError::ExtensionsTooLarge)),
        ("over several chunks", spread, Err(BodyError::ExtensionsTooLarge)),
        ("as white space", spaced, Err(BodyError::ExtensionsTooLarge)),
        ("trailers of the limit", trailer(8 * 1024), Ok(0)),
        ("one byte more", trailer(8 * 1024 + 1), Err(BodyError::TrailersTooLarge)),
        ("as many trailers as allowed", trailers(64), Ok(0)),
        ("one trailer more", trailers(65), Err(BodyError::TrailersTooLarge)),
        ("a trailer without an end", format!("0\r\n{}", "a".repeat(9000)), Err(BodyError::TrailersTooLarge)),
    ];
    for (name, bytes, want) in cases {
        for step in [1, 7, usize::MAX] {
            assert_eq!(chunked(bytes.as_bytes(), step), want, "{name}, {step} bytes a read");
        }
    }
}

#[test]
fn a_refused_body_stays_refused() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    assert_eq!(decoder.decode(b"x"), Err(BodyError::ChunkSize));
    assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(BodyError::ChunkSize));
    assert_eq!(decoder.eof(), Err(BodyError::ChunkSize));
    assert!(!decoder.is_done());
}

#[test]
fn the_end_of_a_connection() {
    for (framing, read, want) in [
        (Framing::None, 0, Ok(())),
        (Framing::Length(0), 0, Ok(())),
        (Framing::Length(3), 2, Err(BodyError::Incomplete)),
        (Framing::Length(3), 3, Ok(())),
        (Framing::Chunked, 0, Err(BodyError::Incomplete)),
        (Framing::UntilClose, 3, Ok(())),
    ] {
        let mut decoder = BodyDecoder::new(framing);
        decoder.decode(&b"0\r\n"[..read]).expect("no fault in it");
        assert_eq!(decoder.eof(), want, "{framing:?} after {read} bytes");
    }
}
