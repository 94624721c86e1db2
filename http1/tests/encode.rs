//! What is written, to the byte, and that nothing which breaks a message can be.
#![allow(missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use http1::*;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    out.escape_ascii().to_string()
}

#[test]
fn heads() {
    let fields = Headers::from_iter([("Host", "a"), ("x-Y", ""), ("host", "b")]);
    let request = written(|out| encode_request(out, &Method::Post, b"/a?b", Version::Http11, &fields));
    assert_eq!(request, r"POST /a?b HTTP/1.1\r\nHost: a\r\nx-Y: \r\nhost: b\r\n\r\n");
    let none = Headers::new();
    let old = written(|out| encode_request(out, &Method::Other("FOO".into()), b"*", Version::Http10, &none));
    assert_eq!(old, r"FOO * HTTP/1.0\r\n\r\n");
    for (version, status, reason, want) in [
        (Version::Http11, 200, None, r"HTTP/1.1 200 OK\r\n\r\n"),
        (Version::Http10, 404, None, r"HTTP/1.0 404 Not Found\r\n\r\n"),
        (Version::Http11, 599, None, r"HTTP/1.1 599 \r\n\r\n"),
        (Version::Http11, 100, Some(&b"Go on"[..]), r"HTTP/1.1 100 Go on\r\n\r\n"),
        (Version::Http11, 999, Some(&b""[..]), r"HTTP/1.1 999 \r\n\r\n"),
    ] {
        assert_eq!(written(|out| encode_response(out, version, status, reason, &none)), want);
    }
}

#[test]
fn chunks() {
    for (size, head) in
        [(1, "1"), (9, "9"), (10, "a"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000"), (65536, "10000")]
    {
        assert_eq!(written(|out| encode_chunk_head(out, size)), format!(r"{head}\r\n"));
        let (data, x) = (vec![b'x'; size], "x".repeat(size));
        assert_eq!(written(|out| encode_chunk(out, &data)), format!(r"{head}\r\n{x}\r\n"));
    }
    assert_eq!(written(|out| encode_chunk_head(out, usize::MAX)), r"ffffffffffffffff\r\n");
    assert_eq!(written(|out| encode_chunk(out, b"")), "", "an empty chunk would end the body");
    assert_eq!(written(|out| encode_last_chunk(out, None)), r"0\r\n\r\n");
    let trailers = Headers::from_iter([("grpc-status", "0")]);
    assert_eq!(written(|out| encode_last_chunk(out, Some(&trailers))), r"0\r\ngrpc-status: 0\r\n\r\n");
}

#[test]
fn writing_appends() {
    let mut out = b"before".to_vec();
    encode_last_chunk(&mut out, None);
    assert_eq!(out, b"before0\r\n\r\n");
}

/// Debug builds panic, so that a caller which forgot to check is found; release builds write something harmless.
#[track_caller]
fn harmless(want: &str, write: impl FnOnce(&mut Vec<u8>)) {
    let got = catch_unwind(AssertUnwindSafe(|| written(write)));
    assert_eq!(got.is_err(), cfg!(debug_assertions), "{want}");
    assert_eq!(got.as_deref().unwrap_or(want), want);
}

#[test]
fn nothing_unsafe_is_written() {
    let none = Headers::new();
    let get = Method::Get;
    let target = |target: &'static [u8]| {
        move |out: &mut Vec<u8>| encode_request(out, &Method::Get, target, Version::Http11, &Headers::new())
    };
    harmless(r"GET /a%20b HTTP/1.1\r\n\r\n", target(b"/a b"));
    harmless(r"GET /%0D%0AX:%20y HTTP/1.1\r\n\r\n", target(b"/\r\nX: y"));
    harmless(r"GET /%00%7F%23 HTTP/1.1\r\n\r\n", target(b"/\0\x7f#"));
    harmless(r"GET / HTTP/1.1\r\n\r\n", target(b""));
    let method = Method::Other("A B\r\n".into());
    harmless(r"AB / HTTP/1.1\r\n\r\n", |out| encode_request(out, &method, b"/", Version::Http11, &none));
    harmless(r"HTTP/1.1 200 \r\n\r\n", |out| encode_response(out, Version::Http11, 200, Some(b"a\r\nX: y"), &none));
    for (name, value) in
        [("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0b"), ("X:", "a"), ("X Y", "a"), ("", "a"), ("X\r\n", "a")]
    {
        let push =
            |out: &mut Vec<u8>| encode_request(out, &get, b"/", Version::Http11, &Headers::from_iter([(name, value)]));
        harmless(r"GET / HTTP/1.1\r\n\r\n", push);
        harmless(r"GET / HTTP/1.1\r\nX: 1\r\n\r\n", |out| {
            let mut fields = Headers::from_iter([("X", "1")]);
            fields.set(name.as_bytes(), value.as_bytes());
            encode_request(out, &get, b"/", Version::Http11, &fields);
        });
    }
}

#[test]
fn phrases() {
    for (status, phrase) in [
        (100, "Continue"),
        (200, "OK"),
        (304, "Not Modified"),
        (429, "Too Many Requests"),
        (503, "Service Unavailable"),
    ] {
        assert_eq!(reason_phrase(status), phrase.as_bytes());
    }
    for status in [0, 99, 299, 499, 600, u16::MAX] {
        assert_eq!(reason_phrase(status), b"");
    }
    assert!((0..1000).all(|status| is_field_value(reason_phrase(status))));
}

#[test]
fn methods() {
    for (name, safe, idempotent) in [
        ("GET", true, true),
        ("HEAD", true, true),
        ("OPTIONS", true, true),
        ("TRACE", true, true),
        ("PUT", false, true),
        ("DELETE", false, true),
        ("POST", false, false),
        ("PATCH", false, false),
        ("CONNECT", false, false),
        ("PROPFIND", false, false),
        ("get", false, false),
    ] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        assert_eq!((method.as_str(), method.is_safe(), method.is_idempotent()), (name, safe, idempotent));
    }
}
