//! `ngx.say`, `ngx.print`, `ngx.flush`, `ngx.eof`, `ngx.send_headers`: what they may and what they answer. The head and
//! the body pass the route's filters on their way into the queue (`respond.rs`).

use lua_vm::{Outcome, Phase};

use crate::exchange::out::HIGH_WATER;
use crate::exchange::{Exchange, Out};
use crate::lua::{Op, charge};
use crate::respond::{self, OutputError};

/// Why output is refused before anything is tried.
fn refused(ex: &Exchange) -> Option<Outcome> {
    match ex.lua.phase {
        Some(Phase::ServerRewrite | Phase::Rewrite | Phase::Access | Phase::Content) => {}
        Some(Phase::Init) | None => return Some(Outcome::Raise("no request object found".into())),
        Some(phase) => {
            return Some(Outcome::Raise(format!("API disabled in the context of {}", super::context(phase)).into()));
        }
    }
    None
}

fn failed(error: OutputError) -> Outcome {
    Outcome::Fail(error.to_string().into())
}

/// `ngx.say`, `ngx.print`
pub(super) fn write(ex: &mut Exchange, data: &[u8]) -> Outcome {
    if let Some(outcome) = refused(ex) {
        return outcome;
    }
    if ex.resp.header_only {
        return failed(OutputError::HeaderOnly);
    }
    if ex.lua.eof || ex.resp.ended {
        return failed(OutputError::SeenEof);
    }
    if let Err(text) = charge::output(ex, data.len()) {
        return Outcome::Raise(text.into());
    }
    if is_buffered(ex) {
        ex.lua.buffered.get_or_insert_default().extend_from_slice(data);
        return Outcome::Ok;
    }
    // What makes a response one without a body is known once its head is queued: the first output is not refused.
    let first = !ex.resp.head_sent;
    let written = if data.is_empty() { respond::start(ex) } else { respond::write(ex, data) };
    ex.lua.output.shrink(charge::queued(ex));
    match written {
        Err(OutputError::HeaderOnly) if first => Outcome::Ok,
        Err(error) => failed(error),
        Ok(()) if ex.out.queued() > HIGH_WATER => {
            ex.lua.op = Some(Op::Flush);
            Outcome::Wait
        }
        Ok(()) => Outcome::Ok,
    }
}

/// A client of HTTP/1.0 knows no chunks: what it gets is held back to its end and sent with its length, as by
/// `lua_http10_buffering`. Not once the head is sent, nor where a script has said the length.
fn is_buffered(ex: &Exchange) -> bool {
    let old = matches!(&ex.out, Out::H1(out) if out.version == http1::Version::Http10);
    old && !ex.resp.head_sent && (ex.lua.buffered.is_some() || !has_length(ex))
}

fn has_length(ex: &Exchange) -> bool {
    ex.resp.content_length.is_some() || ex.resp.headers.contains(b"content-length")
}

/// `ngx.send_headers`
pub(super) fn send_headers(ex: &mut Exchange) -> Outcome {
    if let Some(outcome) = refused(ex) {
        return outcome;
    }
    match respond::start(ex) {
        Ok(()) => Outcome::Ok,
        Err(_) => failed(OutputError::Filter),
    }
}

/// `ngx.flush`
pub(super) fn flush(ex: &mut Exchange, wait: bool) -> Outcome {
    if let Some(outcome) = refused(ex) {
        return outcome;
    }
    if ex.resp.header_only {
        return failed(OutputError::HeaderOnly);
    }
    if ex.lua.eof || ex.resp.ended {
        return failed(OutputError::SeenEof);
    }
    if ex.lua.buffered.is_some() {
        return Outcome::Fail("buffering".into());
    }
    if !ex.resp.head_sent || (!wait && ex.resp.body_bytes == 0) {
        return Outcome::Fail("nothing to flush".into());
    }
    if wait && ex.out.queued() > 0 {
        ex.lua.op = Some(Op::Flush);
        return Outcome::Wait;
    }
    // Without waiting: what is queued goes out when the script suspends or ends.
    Outcome::Ok
}

/// `ngx.eof`
pub(super) fn eof(ex: &mut Exchange) -> Outcome {
    if let Some(outcome) = refused(ex) {
        return outcome;
    }
    if ex.lua.eof || ex.resp.ended {
        return failed(OutputError::SeenEof);
    }
    respond::finish(ex);
    ex.lua.eof = true;
    if ex.resp.ended { Outcome::Ok } else { failed(OutputError::Filter) }
}
