//! Random input that comes close to HTTP, from every side.

use http1::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::reader::{cases, escape};

/// Sizes of reads: often single bytes, sometimes all.
pub(crate) fn reads() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![3 => Just(1usize), 3 => 1usize..8, 1 => 8usize..200, 1 => Just(usize::MAX)], 1..6)
}

/// Often so tight that a head of these inputs exceeds them.
pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    let tight = (0usize..150, 0usize..6).prop_map(|(head_bytes, headers)| Limits { head_bytes, headers });
    prop_oneof![Just(Limits::default()), tight]
}

pub(crate) fn method() -> impl Strategy<Value = Method> {
    select(vec![Method::Get, Method::Head, Method::Connect, Method::Post])
}

const LINES: [&str; 30] = [
    "Host: a\r\n",
    "Host: b c\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "content-length: 5\r\n",
    "Content-Length: +3\r\n",
    "Content-Length : 3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked \t\r\n",
    "Transfer-Encoding\t: chunked\r\n",
    "Transfer-Encoding: x\r\n",
    "TE: trailers\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X:\r\n",
    "X: y\n",
    " folded\r\n",
    "X: \x01\r\n",
    "X: \0\r\n",
    "X: a\rb\r\n",
    ": y\r\n",
    "X\r\n",
    "X: \u{e4}\r\n",
];

const PIECES: [&str; 40] = [
    "GET / HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "HEAD / HTTP/1.0\r\n",
    "GET http://b/c HTTP/1.1\r\n",
    "GET /\r\n",
    "GET / HTTP/2.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 \r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.0 304\r\n",
    "HTTP/1.1 101 x\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "chunked",
    "abc",
    "0",
    "3",
    "a",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "5;e\r\nabcde\r\n",
    "3 ;e=\"f\"\r\nabc\r\n",
    "3\nabc\n",
    "HTTP/1.",
    "1.1",
    "GET ",
    "/",
    "*",
    "Host: ",
    "a\r\n",
    "\u{ff}",
];

fn joined(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(pieces), 0..most).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Header lines with the empty line that ends them.
pub(crate) fn section() -> impl Strategy<Value = Vec<u8>> {
    let sane = prop::collection::vec(select(&LINES[..22]), 0..4);
    let wild = prop::collection::vec(select(&LINES[..]), 0..6);
    prop_oneof![sane, wild].prop_map(|lines| [lines.concat().as_bytes(), b"\r\n"].concat())
}

/// A message with a start line that fits, some lines, and something like a body.
fn shaped(starts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (select(starts), section(), joined(&PIECES[26..], 5))
        .prop_map(|(start, section, body)| [start.as_bytes(), b"Host: a\r\n", &section, &body].concat())
}

/// A case of the corpus with up to three bytes changed, put in or left out.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let inputs: Vec<Vec<u8>> = cases(text).into_iter().map(|case| case.send).collect();
    let bytes = prop_oneof![select(&b"\r\n\0 \t:;,0a"[..]), any::<u8>()];
    let edits = prop::collection::vec((any::<Index>(), 0u8..3, bytes), 0..4);
    (select(inputs), edits).prop_map(|(mut input, edits)| {
        for (at, kind, byte) in edits {
            match kind {
                0 => input.insert(at.index(input.len() + 1), byte),
                1 if !input.is_empty() => drop(input.remove(at.index(input.len()))),
                _ if !input.is_empty() => {
                    let at = at.index(input.len());
                    input[at] = byte;
                }
                _ => {}
            }
        }
        input
    })
}

pub(crate) fn request_stream() -> impl Strategy<Value = Vec<u8>> {
    let messages = prop::collection::vec(shaped(&PIECES[..6]), 1..4).prop_map(|messages| messages.concat());
    prop_oneof![messages, mutated(include_str!("../corpus/requests.txt")), joined(&PIECES, 12)]
}

pub(crate) fn response_stream() -> impl Strategy<Value = Vec<u8>> {
    let messages = prop::collection::vec(shaped(&PIECES[6..11]), 1..3).prop_map(|messages| messages.concat());
    prop_oneof![messages, mutated(include_str!("../corpus/responses.txt")), joined(&PIECES, 12)]
}

/// A chunked body, broken or not.
pub(crate) fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<Vec<u8>> = cases(include_str!("../corpus/requests.txt"))
        .into_iter()
        .filter_map(|case| {
            case.send
                .strip_prefix(b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                .map(<[u8]>::to_vec)
        })
        .collect();
    assert!(bodies.len() > 30, "the corpus has chunked bodies");
    let edited = (select(bodies), any::<Index>(), any::<bool>(), select(&b"\r\n\0 ;0a"[..])).prop_map(
        |(mut body, at, edit, byte)| {
            if edit {
                body.insert(at.index(body.len() + 1), byte);
            }
            body
        },
    );
    let written = (prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), section()).prop_map(
        |(chunks, trailers)| {
            let mut out = Vec::new();
            chunks.iter().for_each(|chunk| encode_chunk(&mut out, chunk));
            out.extend_from_slice(b"0\r\n");
            [out, trailers].concat()
        },
    );
    prop_oneof![edited, written, joined(&PIECES[11..33], 10)]
}

/// A message that may be written, with its body.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    method: &'static str,
    target: String,
    fields: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>, Vec<(String, String)>),
}

fn fields(most: usize) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("x-[a-zA-Z0-9]{1,8}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..most)
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..80);
    let body = prop_oneof![
        Just(Body::None),
        bytes().prop_map(Body::Length),
        (prop::collection::vec(bytes(), 0..5), fields(4))
            .prop_map(|(chunks, trailers)| Body::Chunked(chunks, trailers)),
    ];
    let method = select(vec!["GET", "POST", "PUT", "PROPFIND"]);
    (method, "/[!-\"$-~]{0,30}", fields(8), body).prop_map(|(method, target, fields, body)| Message {
        method,
        target,
        fields,
        body,
    })
}

impl Message {
    fn headers(&self) -> Headers {
        let mut headers: Headers = self.fields.iter().map(|(name, value)| (name, value)).collect();
        headers.push(b"Host", b"a");
        match &self.body {
            Body::None => {}
            Body::Length(data) => headers.push(b"Content-Length", data.len().to_string().as_bytes()),
            Body::Chunked(..) => headers.push(b"Transfer-Encoding", b"chunked"),
        }
        headers
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match &self.body {
            Body::None => {}
            Body::Length(data) => out.extend_from_slice(data),
            Body::Chunked(chunks, trailers) => {
                for chunk in chunks {
                    encode_chunk(out, chunk);
                }
                encode_last_chunk(out, Some(&trailers.iter().map(|(name, value)| (name, value)).collect()));
            }
        }
    }

    pub(crate) fn as_request(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let method = Method::from_bytes(self.method.as_bytes()).expect("a token");
        encode_request(&mut out, &method, self.target.as_bytes(), Version::Http11, &self.headers());
        self.write_body(&mut out);
        out
    }

    /// As a response, it has a length where it would have no body: that would end with the connection.
    pub(crate) fn as_response(&self) -> Vec<u8> {
        let (mut out, mut headers) = (Vec::new(), self.headers());
        if let Body::None = self.body {
            headers.push(b"Content-Length", b"0");
        }
        encode_response(&mut out, Version::Http11, 200, None, &headers);
        self.write_body(&mut out);
        out
    }

    pub(crate) fn request_transcript(&self) -> String {
        format!("{} {}{}", self.method, escape(self.target.as_bytes()), self.body_transcript())
    }

    pub(crate) fn response_transcript(&self) -> String {
        let body = if let Body::None = self.body { " len=0 \"\"".into() } else { self.body_transcript() };
        format!("200{body}")
    }

    fn body_transcript(&self) -> String {
        match &self.body {
            Body::None => String::new(),
            Body::Length(data) => format!(" len={} \"{}\"", data.len(), escape(data)),
            Body::Chunked(chunks, trailers) => {
                let fields = trailers.iter().map(|(name, value)| format!(" +{name}: {}", escape(value.as_bytes())));
                format!(" chunked \"{}\"{}", escape(&chunks.concat()), fields.collect::<String>())
            }
        }
    }
}
