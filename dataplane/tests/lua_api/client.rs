//! Sends a block's request as it is written and reads the response to its end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use http1::{BodyDecoder, Event, Limits, Method, ResponseHead};

use super::block::Block;

/// What came back.
#[derive(Default)]
pub(crate) struct Response {
    /// 0: nothing came.
    pub(crate) status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// It came to its end as its framing says.
    pub(crate) whole: bool,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The body; bytes that are no text of one kind or another as `\x0d`.
    pub(crate) fn text(&self) -> String {
        let shown = |byte: &u8| match byte {
            b'\n' | b'\t' | b' '..=b'~' => char::from(*byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        };
        self.body.iter().map(shown).collect()
    }

    pub(crate) fn show(&self) -> String {
        let headers: String = self.headers.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
        format!("{} {}\n{headers}\n{}", self.status, self.reason, self.text())
    }
}

/// Asks.
pub(crate) fn request(address: SocketAddr, block: &Block) -> Response {
    let (bytes, method) = bytes_of(block);
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream.write_all(&bytes).expect("write");
    let mut raw = Vec::new();
    // An error here (a reset) is a response that is not whole.
    let _ = stream.read_to_end(&mut raw);
    parse(&raw, &method)
}

/// `POST /x` with headers and, after an empty line, a body. `\r\n`, Host and Content-Length are added.
pub(crate) fn bytes_of(block: &Block) -> (Vec<u8>, Method) {
    let text = block.get("request").unwrap_or("GET /");
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let body = if body.ends_with('\n') && !block.has("keep_newline") { &body[..body.len() - 1] } else { body };
    let body = body.replace("{64k}", &"x".repeat(65536)).replace("\\n", "\n");
    let mut lines = head.lines();
    let mut line = lines.next().unwrap_or("GET /").to_owned();
    if !line.contains(" HTTP/") {
        line.push_str(" HTTP/1.1");
    }
    let mut out = format!("{line}\r\n");
    let mut has = |name: &str, value: &str| {
        if !head.lines().any(|l| l.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase()))) {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    };
    has("Host", &block.host);
    has("Connection", "close");
    if !body.is_empty() && !head.contains("Transfer-Encoding") {
        has("Content-Length", &body.len().to_string());
    }
    for header in lines {
        out.push_str(header);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    out.push_str(&body.replace("\\r", "\r"));
    let method = Method::from_bytes(line.split(' ').next().unwrap_or("GET").as_bytes()).expect("a method");
    (out.into_bytes(), method)
}

/// What came back, from its bytes.
pub(crate) fn parse(raw: &[u8], method: &Method) -> Response {
    let mut head = ResponseHead::default();
    let limits = Limits { head_bytes: 1 << 20, headers: 1000 };
    let Ok(Some(mut at)) = http1::parse_response(raw, &limits, method, &mut head) else { return Response::default() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut response = Response {
        status: head.status,
        reason: text(&head.reason),
        headers: head.headers.iter().map(|(n, v)| (text(n), text(v))).collect(),
        ..Response::default()
    };
    let mut decoder = BodyDecoder::new(head.framing);
    while let Ok(decoded) = decoder.decode(&raw[at..]) {
        match decoded.event {
            Event::Data(range) => response.body.extend_from_slice(&raw[at..][range]),
            Event::End => response.whole = true,
            Event::NeedMore => response.whole = decoder.eof().is_ok(),
        }
        at += decoded.consumed;
        if response.whole || decoded.consumed == 0 {
            break;
        }
    }
    response
}
