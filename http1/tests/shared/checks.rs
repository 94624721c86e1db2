//! What must hold for any bytes. The property tests feed these from generators, the fuzz targets from the fuzzer.
#![allow(clippy::panic, reason = "test code, also where clippy does not see that it is")]

use http1::*;

use super::transcript::{Reads, WHOLE, answers, requests};

/// However a connection's bytes are cut into reads, they hold the same requests and end in the same answer.
pub(crate) fn requests_do_not_depend_on_reads(bytes: &[u8], limits: &Limits, reads: Reads<'_>) {
    let (whole, cut) = (requests(bytes, limits, WHOLE), requests(bytes, limits, reads));
    assert_eq!(without_faults(&whole), without_faults(&cut), "reads of {reads:?}");
}

/// The same for responses.
pub(crate) fn responses_do_not_depend_on_reads(bytes: &[u8], asked: &Method, limits: &Limits, reads: Reads<'_>) {
    let (whole, cut) = (answers(bytes, asked, limits, WHOLE), answers(bytes, asked, limits, reads));
    assert_eq!(without_faults(&whole), without_faults(&cut), "reads of {reads:?}");
}

/// Which of several faults of one head is reported may depend on the reads; that it is refused, and with which status, not.
fn without_faults(transcript: &str) -> String {
    let (before, last) = transcript.rsplit_once(" | ").unwrap_or(("", transcript));
    let status = last.split_once(' ').map_or(last, |(status, _)| status);
    let refused = status.parse::<u16>().is_ok() && last.split(' ').count() == 2 && !last.ends_with("unread");
    let fault = !status.is_empty()
        && status.bytes().all(|byte| byte.is_ascii_alphabetic())
        && status != "waits"
        && !last.contains(' ');
    match () {
        () if refused => format!("{before} | {status}"),
        () if fault => format!("{before} | refused"),
        () => transcript.to_owned(),
    }
}

/// A head that was accepted can be written and read again, gives the same message, and is then a fixed point.
pub(crate) fn an_accepted_request_survives_forwarding(bytes: &[u8]) {
    let (limits, mut first, mut second) = (Limits::default(), RequestHead::new(), RequestHead::new());
    let Ok(Some(size)) = parse_request(bytes, &limits, &mut first) else { return };
    assert!(size <= bytes.len());
    let mut once = Vec::new();
    encode_request(&mut once, &first.method, &first.target, first.version, &first.headers);
    assert_eq!(parse_request(&once, &limits, &mut second), Ok(Some(once.len())), "{}", once.escape_ascii());
    assert_eq!(format!("{:?}", view(&first)), format!("{:?}", view(&second)));
    assert_eq!(first.headers, second.headers);
    let mut twice = Vec::new();
    encode_request(&mut twice, &second.method, &second.target, second.version, &second.headers);
    assert_eq!(once, twice);
    // Nothing of a message is left over when it is cut short by one byte.
    assert_eq!(parse_request(&once[..once.len() - 1], &limits, &mut second), Ok(None));
}

/// All of a head but the header fields.
fn view(head: &RequestHead) -> impl std::fmt::Debug {
    let mut view = head.clone();
    view.headers = Headers::new();
    view
}

/// The same for responses.
pub(crate) fn an_accepted_response_survives_forwarding(bytes: &[u8], asked: &Method) {
    let (limits, mut first, mut second) = (Limits::default(), ResponseHead::new(), ResponseHead::new());
    let Ok(Some(size)) = parse_response(bytes, &limits, asked, &mut first) else { return };
    assert!(size <= bytes.len());
    let mut once = Vec::new();
    encode_response(&mut once, first.version, first.status, Some(&first.reason), &first.headers);
    assert_eq!(parse_response(&once, &limits, asked, &mut second), Ok(Some(once.len())), "{}", once.escape_ascii());
    assert_eq!(first.headers, second.headers);
    assert_eq!((first.status, &first.reason, first.framing), (second.status, &second.reason, second.framing));
    assert_eq!((first.version, first.keep_alive), (second.version, second.keep_alive));
}

/// One header section means the same body to the side that reads requests and to the side that reads responses; what
/// one refuses, the other refuses.
pub(crate) fn both_sides_agree_on_framing(section: &[u8], version: Version) {
    let limits = Limits::default();
    let (mut request, mut response) = (RequestHead::new(), ResponseHead::new());
    let version = version.as_str().as_bytes();
    let asked = [b"POST / ", version, b"\r\nHost: a\r\n", section].concat();
    let answer = [version, b" 200 OK\r\nHost: a\r\n", section].concat();
    let one = parse_request(&asked, &limits, &mut request);
    let other = parse_response(&answer, &limits, &Method::Post, &mut response);
    match (one, other) {
        (Ok(Some(size)), Ok(Some(other_size))) => {
            assert_eq!(asked.len() - size, answer.len() - other_size, "the heads end together");
            assert_eq!(request.headers, response.headers);
            let framing = if response.framing == Framing::UntilClose { Framing::None } else { response.framing };
            assert_eq!(request.framing, framing);
        }
        (Ok(None), Ok(None)) => {}
        // Hosts are the requests' alone.
        (Err(error), Ok(_)) if matches!(error.fault(), Fault::ManyHosts | Fault::Host) => {}
        (Err(_), Err(_)) => {}
        (one, other) => panic!("request: {one:?}, response: {other:?}"),
    }
}

/// Data, trailers, and how many bytes a body took.
type Body = (Vec<u8>, Option<Headers>, usize);

/// What [`BodyDecoder`] makes of a chunked body in reads of these sizes. `None`: it does not end.
fn decoded(bytes: &[u8], reads: Reads<'_>) -> Result<Option<Body>, BodyError> {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut at, mut end, mut data) = (0, 0, Vec::new());
    let mut sizes = reads.iter().cycle();
    loop {
        let Decoded { consumed, event } = decoder.decode(&bytes[at..end])?;
        if let Event::Data(range) = &event {
            assert!(range.start < range.end && range.end <= consumed, "data inside the consumed part");
            data.extend_from_slice(&bytes[at..end][range.clone()]);
        }
        at += consumed;
        match event {
            Event::End => return Ok(Some((data, decoder.trailers(), at))),
            Event::NeedMore => {
                assert_eq!(at, end, "all was consumed");
                if end == bytes.len() {
                    return Ok(None);
                }
                end = end.saturating_add(sizes.next().copied().unwrap_or(1).max(1)).min(bytes.len());
            }
            Event::Data(_) => {}
        }
    }
}

/// A chunked body gives the same whatever the reads, and ends where a reader that looks at the whole of it says; it can
/// be written and read again.
pub(crate) fn chunked_bodies_end_where_they_should(bytes: &[u8], reads: Reads<'_>) {
    let whole = decoded(bytes, WHOLE);
    assert_eq!(whole, decoded(bytes, reads), "reads of {reads:?}");
    let complete = whole.ok().flatten();
    let expected = naive(bytes);
    assert_eq!(complete.as_ref().map(|(data, _, size)| (data.clone(), *size)), expected, "{}", bytes.escape_ascii());
    let Some((data, trailers, _)) = complete else { return };
    let mut out = Vec::new();
    for piece in data.chunks(reads[0].clamp(1, 4096)) {
        encode_chunk(&mut out, piece);
    }
    encode_last_chunk(&mut out, trailers.as_ref());
    let size = out.len();
    assert_eq!(decoded(&out, reads), Ok(Some((data, trailers, size))));
}

/// The chunked coding read line by line from a buffer that holds all of it. `None`: refused or incomplete.
fn naive(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut data, mut extensions) = (0, Vec::new(), 0);
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let extension = &line[digits..];
        let name = extension.iter().position(|byte| !b" \t".contains(byte)).map(|from| extension[from]);
        if digits == 0 || digits > 16 || !matches!((extension.is_empty(), name), (true, _) | (false, Some(b';'))) {
            return None;
        }
        extensions += extension.len().saturating_sub(1);
        if extensions > 16 * 1024 {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size).filter(|end| *end <= bytes.len())?;
        data.extend_from_slice(&bytes[at..end]);
        at = end + 2;
        if bytes.get(end..at)? != b"\r\n" {
            return None;
        }
    }
    let section = at;
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            break;
        }
        let (name, _) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        if !is_token(name) {
            return None;
        }
    }
    let fields = bytes[section..at].split(|byte| *byte == b'\n').count() - 2;
    (fields <= 64 && at - section <= 8 * 1024).then_some((data, at))
}

/// A line that ends in CR LF, without it, and without control characters but tab.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[..end];
    line.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)).then_some(line)
}
