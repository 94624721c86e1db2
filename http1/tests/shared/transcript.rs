//! Reads a whole connection with the codec and says in a line what it held: the `ours` of the corpus.

use http1::*;

use super::reader::escape;

/// How the bytes arrive: the sizes of the reads, over and over.
pub(crate) type Reads<'a> = &'a [usize];
/// All at once.
pub(crate) const WHOLE: Reads<'static> = &[usize::MAX];

/// What arrives on a connection, cut into reads. Only what has arrived and was not consumed is seen.
struct Wire<'a> {
    bytes: &'a [u8],
    start: usize,
    end: usize,
    reads: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl<'a> Wire<'a> {
    fn new(bytes: &'a [u8], reads: Reads<'a>) -> Self {
        let mut wire = Wire { bytes, start: 0, end: 0, reads: reads.iter().cycle() };
        wire.read();
        wire
    }

    fn unread(&self) -> &'a [u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether more arrived.
    fn read(&mut self) -> bool {
        let size = *self.reads.next().expect("at least one size");
        let end = self.end.saturating_add(size.max(1)).min(self.bytes.len());
        std::mem::replace(&mut self.end, end) < end
    }

    /// Bytes that nobody consumed, also those that have not arrived yet.
    fn rest(&self) -> usize {
        self.bytes.len() - self.start
    }
}

/// What a server reads on a connection.
pub(crate) fn requests(bytes: &[u8], limits: &Limits, reads: Reads<'_>) -> String {
    let mut wire = Wire::new(bytes, reads);
    let mut head = RequestHead::new();
    let mut messages = Vec::new();
    while wire.rest() > 0 {
        match parse_request(wire.unread(), limits, &mut head) {
            Err(error) => {
                messages.push(format!("{} {:?}", error.status(), error.fault()));
                break;
            }
            Ok(None) if wire.read() => continue,
            Ok(None) => {
                messages.push("waits".into());
                break;
            }
            Ok(Some(size)) => wire.start += size,
        }
        let mut message = describe(&head);
        let complete = body(&mut wire, head.framing, false, &mut message);
        messages.push(message);
        if !complete {
            break;
        }
        if !head.keep_alive || head.upgrade {
            if wire.rest() > 0 {
                messages.push(format!("{} unread", wire.rest()));
            }
            break;
        }
    }
    messages.join(" | ")
}

fn describe(head: &RequestHead) -> String {
    let mut text = format!("{} {}", head.method, escape(&head.target));
    if let Some(authority) = &head.authority {
        text += &format!(" at {} from {}", escape(authority), head.path_start);
        assert_eq!(head.target.get(head.path_start), Some(&b'/'), "an origin-form");
    }
    for (flag, name) in [(!head.keep_alive, " close"), (head.upgrade, " upgrade"), (head.expect_continue, " expects")] {
        text += if flag { name } else { "" };
    }
    text
}

/// What a client reads on a connection that the server closes after `bytes`.
pub(crate) fn answers(bytes: &[u8], asked: &Method, limits: &Limits, reads: Reads<'_>) -> String {
    let mut wire = Wire::new(bytes, reads);
    let mut head = ResponseHead::new();
    let mut messages = Vec::new();
    loop {
        match parse_response(wire.unread(), limits, asked, &mut head) {
            Err(error) => {
                messages.push(format!("{:?}", error.fault()));
                break;
            }
            Ok(None) if wire.read() => continue,
            Ok(None) => {
                messages.push("waits".into());
                break;
            }
            Ok(Some(size)) => wire.start += size,
        }
        let mut message = head.status.to_string();
        message += if head.keep_alive { "" } else { " close" };
        let complete = body(&mut wire, head.framing, true, &mut message);
        messages.push(message);
        if head.is_interim() {
            continue;
        }
        if complete && wire.rest() > 0 {
            messages.push(format!("{} unread", wire.rest()));
        }
        break;
    }
    messages.join(" | ")
}

/// Reads a body and describes it. Whether it came to its end.
fn body(wire: &mut Wire<'_>, framing: Framing, closes: bool, text: &mut String) -> bool {
    *text += &match framing {
        Framing::None => return true,
        Framing::Length(length) => format!(" len={length}"),
        Framing::Chunked => " chunked".into(),
        Framing::UntilClose => " until-close".into(),
    };
    let mut decoder = BodyDecoder::new(framing);
    let mut data = Vec::new();
    let fault = loop {
        match decoder.decode(wire.unread()) {
            Err(error) => break Some(format!(" then {}{error:?}", if closes { "" } else { "400 " })),
            Ok(Decoded { consumed, event }) => {
                if let Event::Data(range) = &event {
                    assert!(range.start < range.end && range.end <= consumed, "data inside the consumed part");
                    data.extend_from_slice(&wire.unread()[range.clone()]);
                }
                wire.start += consumed;
                match event {
                    Event::End => break None,
                    Event::NeedMore if wire.read() => {}
                    Event::NeedMore if closes => break decoder.eof().err().map(|error| format!(" then {error:?}")),
                    Event::NeedMore => break Some(" waits".into()),
                    Event::Data(_) => {}
                }
            }
        }
    };
    if fault.is_none() || !data.is_empty() {
        *text += &format!(" \"{}\"", escape(&data));
    }
    for (name, value) in decoder.trailers().iter().flat_map(Headers::iter) {
        *text += &format!(" +{}: {}", escape(name), escape(value));
    }
    *text += fault.as_deref().unwrap_or("");
    fault.is_none()
}
