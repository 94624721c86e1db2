//! Instructions per operation, for callgrind: each argument names one operation that is repeated on warm buffers.
//!
//! ```text
//! cargo build --release -p http1 --example ir
//! for op in none request response encode-request encode-response body edit; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/ir $op 1000 2>&1 | grep refs
//! done
//! ```
//! The difference to `none`, divided by the count, is the operation's cost.
use std::hint::black_box;

use http1::*;

/// What a browser sends: ten fields, 483 bytes.
const REQUEST: &[u8] = b"GET /shop/items/42?colour=blue&size=xl HTTP/1.1\r\n\
Host: shop.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://shop.example.com/shop/items\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef\r\n\
Cache-Control: max-age=0\r\n\
Upgrade-Insecure-Requests: 1\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: upstream/1.0\r\n\
Date: Tue, 24 Nov 2026 15:00:00 GMT\r\n\
Content-Type: application/json\r\n\
Content-Length: 11\r\n\
Connection: keep-alive\r\n\
ETag: \"5f3e-1234\"\r\n\r\n";

const CHUNKED: &[u8] = b"400\r\n";

fn main() {
    let mut args = std::env::args().skip(1);
    let operation = args.next().unwrap_or_else(|| "request".into());
    let count: usize = args.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let limits = Limits::default();
    let (mut request, mut response) = (RequestHead::new(), ResponseHead::new());
    let mut out = Vec::with_capacity(4096);
    assert!(matches!(parse_request(REQUEST, &limits, &mut request), Ok(Some(_))));
    assert!(matches!(parse_response(RESPONSE, &limits, &Method::Get, &mut response), Ok(Some(_))));
    let mut body = CHUNKED.to_vec();
    body.extend_from_slice(&[b'x'; 1024]);
    body.extend_from_slice(b"\r\n0\r\n\r\n");
    for _ in 0..count {
        out.clear();
        match operation.as_str() {
            "none" => {}
            "request" => drop(black_box(parse_request(black_box(REQUEST), &limits, &mut request))),
            "response" => drop(black_box(parse_response(black_box(RESPONSE), &limits, &Method::Get, &mut response))),
            "encode-request" => {
                encode_request(&mut out, &request.method, &request.target, Version::Http11, &request.headers);
            }
            "encode-response" => encode_response(&mut out, Version::Http11, 200, None, &response.headers),
            "body" => decode(black_box(&body)),
            "edit" => edit(&mut request, &mut out),
            other => return eprintln!("no such operation: {other}"),
        }
        black_box(&mut out);
    }
}

fn decode(bytes: &[u8]) {
    let (mut decoder, mut at) = (BodyDecoder::new(Framing::Chunked), 0);
    while !decoder.is_done() {
        at += black_box(decoder.decode(&bytes[at..])).expect("the body is well-formed").consumed;
    }
}

/// What a proxy does to a request: parse, drop the hop-by-hop fields, say who asked, write.
fn edit(request: &mut RequestHead, out: &mut Vec<u8>) {
    let parsed = parse_request(black_box(REQUEST), &Limits::default(), request);
    assert!(matches!(parsed, Ok(Some(_))), "the request is well-formed");
    let headers = &mut request.headers;
    headers.remove(b"Connection");
    headers.set(b"X-Request-ID", b"0123456789abcdef0123456789abcdef");
    headers.set(b"X-Real-IP", b"192.0.2.1");
    headers.set(b"X-Forwarded-For", b"192.0.2.1");
    headers.set(b"X-Forwarded-Host", b"shop.example.com");
    headers.set(b"X-Forwarded-Proto", b"https");
    encode_request(out, &request.method, &request.target, Version::Http11, headers);
}
