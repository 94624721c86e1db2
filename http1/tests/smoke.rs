//! The pinned API once through: a request and a response with chunked bodies.
#![allow(missing_docs)]
use http1::*;

#[test]
fn a_request_and_its_body() {
    let mut head = RequestHead::new();
    let bytes = b"\r\nPOST /a?b HTTP/1.1\r\nHost: x.example:80\r\nTransfer-Encoding: chunked\r\nX:\tv \r\n\r\n3;e=1\r\nabc\r\n0\r\nT: 1\r\nHost: no\r\n\r\nrest";
    let n = parse_request(bytes, &Limits::default(), &mut head).unwrap().unwrap();
    assert_eq!((head.method.as_str(), &head.target[..], head.framing), ("POST", &b"/a?b"[..], Framing::Chunked));
    assert_eq!(head.headers.get(b"x"), Some(&b"v"[..]));
    let mut body = BodyDecoder::new(head.framing);
    let (mut at, mut data) = (n, Vec::new());
    while !body.is_done() {
        let decoded = body.decode(&bytes[at..]).unwrap();
        if let Event::Data(range) = decoded.event {
            data.extend_from_slice(&bytes[at..][range]);
        }
        at += decoded.consumed;
    }
    assert_eq!((&data[..], &bytes[at..]), (&b"abc"[..], &b"rest"[..]));
    assert_eq!(body.trailers().unwrap(), Headers::from_iter([("T", "1")]));
}

#[test]
fn a_response() {
    let mut head = ResponseHead::new();
    let bytes = b"HTTP/1.1 200 \xc3\xa4h\r\nContent-Length: 3\r\n\r\nabc";
    let n = parse_response(bytes, &Limits::default(), &Method::Get, &mut head).unwrap().unwrap();
    assert_eq!(
        (n, head.status, &head.reason[..], head.framing),
        (bytes.len() - 3, 200, &b"\xc3\xa4h"[..], Framing::Length(3))
    );
    let mut out = Vec::new();
    encode_response(&mut out, head.version, head.status, Some(&head.reason), &head.headers);
    assert_eq!(out, &bytes[..n]);
    assert_eq!(BodyDecoder::new(head.framing).eof(), Err(BodyError::Incomplete));
}
