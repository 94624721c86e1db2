//! Where the request body that goes upstream comes from: the client as it sends, or what was read before.

use std::future::poll_fn;
use std::os::unix::fs::FileExt;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http1::Framing;

use crate::downstream::{BodyEvent, Client};
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::exchange::body::Held;

/// What was sent is kept up to this size for another try.
const REPLAY_MAX: usize = 64 * 1024;

/// Bytes of a held body that are handed over at once.
const PIECE: usize = 16 * 1024;

/// The body of one request towards upstreams.
pub(super) struct Source {
    framing: Framing,
    from: From,
    /// What came from the client so far, as long as all of it fits.
    replay: Option<Vec<u8>>,
    /// How much of `replay` (or of the held body) this try has sent.
    at: u64,
    client_done: bool,
}

#[derive(PartialEq, Eq)]
enum From {
    Nothing,
    Client,
    Held,
}

impl Source {
    /// The source of this exchange's request body.
    pub(super) fn new(ex: &Exchange) -> Result<Self> {
        let body = &ex.req.body;
        let (framing, from) = match &body.held {
            Some(held) => (Framing::Length(held.len()), From::Held),
            None if body.discard || !body.present => (Framing::None, From::Nothing),
            None => (body.declared.map_or(Framing::Chunked, Framing::Length), From::Client),
        };
        Ok(Self { framing, from, replay: Some(Vec::new()), at: 0, client_done: false })
    }

    /// How the body is framed towards an HTTP/1.1 upstream.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the whole body can be sent once more.
    pub(super) fn can_replay(&self, ex: &Exchange) -> bool {
        match self.from {
            From::Nothing => true,
            From::Held => ex.req.body.held.is_some(),
            From::Client => self.replay.is_some(),
        }
    }

    /// The next try starts at the body's beginning.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }

    /// Appends the next piece to `into`.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<Result<BodyEvent>> {
        match self.from {
            From::Nothing => Poll::Ready(Ok(BodyEvent::End)),
            From::Held => Poll::Ready(self.next_held(ex, into)),
            From::Client => self.poll_client(cx, ex, client, into),
        }
    }

    fn next_held(&mut self, ex: &Exchange, into: &mut Vec<u8>) -> Result<BodyEvent> {
        let Some(held) = &ex.req.body.held else { return Ok(BodyEvent::End) };
        let left = held.len().saturating_sub(self.at);
        if left == 0 {
            return Ok(BodyEvent::End);
        }
        let n = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        match held {
            Held::Memory(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(bytes.len());
                into.extend_from_slice(&bytes[at..at + n]);
            }
            Held::File(file, _) => {
                let start = into.len();
                into.resize(start + n, 0);
                file.read_exact_at(&mut into[start..], self.at)
                    .map_err(|e| Error::new(Kind::Internal, format!("the spooled request body: {e}")))?;
            }
        }
        self.at += n as u64;
        Ok(BodyEvent::Data)
    }

    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<Result<BodyEvent>> {
        if let Some(replay) = &self.replay {
            let at = usize::try_from(self.at).unwrap_or(replay.len());
            if at < replay.len() {
                into.extend_from_slice(&replay[at..]);
                self.at = replay.len() as u64;
                return Poll::Ready(Ok(BodyEvent::Data));
            }
        }
        if self.client_done {
            return Poll::Ready(Ok(BodyEvent::End));
        }
        client.expect_body(ex);
        let before = into.len();
        let event = ready!(client.poll_body(cx, into, body_timeout(ex)))?;
        let piece = &into[before..];
        count(ex, piece.len())?;
        if let Some(replay) = &mut self.replay {
            if replay.len() + piece.len() <= REPLAY_MAX {
                replay.extend_from_slice(piece);
                self.at = replay.len() as u64;
            } else {
                self.replay = None;
            }
        }
        if event == BodyEvent::End {
            self.client_done = true;
            ex.req.body.complete = true;
            ex.req.trailers = client.trailers();
        }
        Poll::Ready(Ok(event))
    }
}

fn body_timeout(ex: &Exchange) -> Duration {
    Duration::from_millis(ex.worker.snapshot(|s| s.settings.http.client_body_timeout_ms))
}

/// Counts what came in, against the route's limit.
fn count(ex: &mut Exchange, bytes: usize) -> Result<()> {
    ex.req.body.received += bytes as u64;
    let max = ex.route.as_ref().map_or(0, |r| r.policy.client_max_body_bytes);
    if max > 0 && ex.req.body.received > max {
        return Err(Error::new(Kind::BodyTooLarge, format!("the request body is over the limit of {max} bytes")));
    }
    Ok(())
}

/// Reads the whole body into `req.body.held`: `ngx.req.read_body`, and request buffering.
pub async fn hold(ex: &mut Exchange, client: &mut Client<'_>) -> Result<()> {
    if ex.req.body.held.is_some() || ex.req.body.discard {
        return Ok(());
    }
    let mut held = Held::Memory(Vec::new());
    let mut piece = Vec::new();
    while !ex.req.body.complete {
        client.expect_body(ex);
        client.flush(ex).await?;
        piece.clear();
        let timeout = body_timeout(ex);
        let event = poll_fn(|cx| client.poll_body(cx, &mut piece, timeout)).await?;
        count(ex, piece.len())?;
        held.extend(&piece).map_err(|e| Error::new(Kind::Internal, format!("spooling the request body: {e}")))?;
        ex.req.body.complete = event == BodyEvent::End;
    }
    ex.req.body.held = Some(held);
    Ok(())
}
