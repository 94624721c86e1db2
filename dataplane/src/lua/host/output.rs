//! `ngx.say`, `ngx.print`, `ngx.flush`, `ngx.eof`, `ngx.send_headers`: what they may and what they answer. The head and
//! the body pass the route's filters on their way into the queue (`respond.rs`).

use lua_vm::{Outcome, Phase};

use crate::exchange::Exchange;
use crate::exchange::out::HIGH_WATER;
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
    // What makes a response one without a body is known once its head is queued: the first output is not refused.
    let first = !ex.resp.head_sent;
    if let Err(text) = charge::output(ex, data.len()) {
        return Outcome::Raise(text.into());
    }
    let written = if data.is_empty() { respond::start(ex) } else { respond::write(ex, data) };
    ex.lua.output.shrink(ex.out.queued());
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
