//! A data plane's stream: its link, with I/O.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use routing::wire::{
    Broken, Decoder, FromPlane, HELLO_MAX, Hello, PLANE_FRAME_MAX, PROTOCOLS, Received, ToPlane, Welcome,
    decode_from_plane,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::cursor::PIECE;
use super::link::{Link, Next, frame};
use super::{Authenticate, Authenticated, Inner, Refused};

/// Pieces between a stream and its connection: one is sent while the next is made.
pub(super) const PIECES: usize = 1;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the data plane has closed it")]
    Closed,
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("the first frame is not a hello")]
    NoHello,
    #[error("it speaks the protocol versions {0} to {1}, which this controller ({min} to {max}) does not; upgrade the older side", min = PROTOCOLS.min, max = PROTOCOLS.max)]
    NoCommonProtocol(u32, u32),
    #[error("nothing came in time")]
    Silent,
    #[error("it takes nothing")]
    Stuck,
    #[error("its token has expired")]
    Expired,
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("its new token is another pod's")]
    OtherPeer,
    #[error("{0}")]
    Link(&'static str),
}

impl End {
    /// For the counter.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Broken(_) | Self::NoHello => Some("broken_frame"),
            Self::NoCommonProtocol(..) => Some("no_common_protocol"),
            Self::Silent => Some("silent"),
            Self::Stuck | Self::Link("it does not answer a commit") => Some("stuck"),
            Self::Expired | Self::Refused(_) | Self::OtherPeer => Some("token"),
            Self::Link(_) => Some("replaced"),
        }
    }
}

/// The frames that a data plane sends.
struct Reader {
    body: Incoming,
    decoder: Decoder,
}

impl Reader {
    /// The next frame that is known here.
    async fn next(&mut self) -> Result<FromPlane, End> {
        loop {
            while let Some(line) = self.decoder.line()? {
                match decode_from_plane(line)? {
                    Received::Frame(frame) => return Ok(frame),
                    Received::Unknown(what) => tracing::debug!(target: "push", what, "skipped: of a newer version"),
                    Received::Unreadable { .. } => {}
                }
            }
            match self.body.frame().await {
                None | Some(Err(_)) => return Err(End::Closed),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
            }
        }
    }
}

/// Serves a stream to its end.
pub(super) async fn run<A: Authenticate>(
    inner: Arc<Inner>,
    authenticate: Arc<A>,
    who: Authenticated,
    body: Incoming,
    out: mpsc::Sender<Bytes>,
) {
    let mut reader = Reader { body, decoder: Decoder::new(HELLO_MAX) };
    let peer = who.peer.clone();
    let end = match timeout(inner.options.handshake, hello(&mut reader)).await {
        Err(_) => End::Silent,
        Ok(Err(end)) => end,
        Ok(Ok((hello, protocol))) => serve(&inner, &*authenticate, who, (hello, protocol), reader, &out).await,
    };
    if let Some(reason) = end.reason() {
        inner.metrics.dropped(reason);
        tracing::warn!(target: "push", data_plane = %peer, "the stream ends: {end}");
    } else {
        tracing::info!(target: "push", data_plane = %peer, "the stream ends: {end}");
    }
    // Where nothing is taken, it does not arrive.
    let _ = timeout(super::serve::GOODBYE, out.send(frame(&ToPlane::Bye { reason: end.to_string() }))).await;
}

async fn hello(reader: &mut Reader) -> Result<(Hello, u32), End> {
    let FromPlane::Hello(hello) = reader.next().await? else { return Err(End::NoHello) };
    let Some(protocol) = PROTOCOLS.common(hello.protocols) else {
        return Err(End::NoCommonProtocol(hello.protocols.min, hello.protocols.max));
    };
    reader.decoder.set_max(PLANE_FRAME_MAX);
    Ok((hello, protocol))
}

async fn serve<A: Authenticate>(
    inner: &Inner,
    authenticate: &A,
    who: Authenticated,
    (hello, protocol): (Hello, u32),
    reader: Reader,
    out: &mpsc::Sender<Bytes>,
) -> End {
    tracing::info!(target: "push", data_plane = %who.peer, version = hello.version, protocol, "connected");
    let peer = who.peer.clone();
    let link = Link::new(peer.clone(), hello, protocol, Instant::now());
    let wake = link.waker();
    let id = inner.state().join(link);
    inner.metrics.connected();
    inner.publish_planes();
    let end = tokio::select! {
        end = read(inner, authenticate, id, who, reader) => end,
        end = write(inner, id, &wake, protocol, out) => end,
    };
    let was_last = inner.state().leave(id);
    inner.metrics.disconnected(&peer, was_last);
    inner.publish_planes();
    end
}

/// Takes what the data plane says.
async fn read<A: Authenticate>(
    inner: &Inner,
    authenticate: &A,
    id: u64,
    mut who: Authenticated,
    mut reader: Reader,
) -> End {
    loop {
        let frame = tokio::select! {
            frame = timeout(inner.options.silence, reader.next()) => match frame {
                Err(_) => return End::Silent,
                Ok(Err(end)) => return end,
                Ok(Ok(frame)) => frame,
            },
            () = expiry(who.expires) => return End::Expired,
        };
        match frame {
            FromPlane::Hello(_) | FromPlane::KeepAlive {} => {}
            FromPlane::Held(held) => {
                if let Some((link, shared)) = inner.state().link(id) {
                    link.held(held, shared.table);
                }
            }
            FromPlane::Applied(applied) => {
                inner.metrics.applied(&who.peer, applied.term, applied.counter, applied.failed_total);
                if let Some((link, _)) = inner.state().link(id) {
                    link.applied(applied);
                }
                inner.publish_planes();
            }
            FromPlane::Token { token } => match again(inner, authenticate, &who, &token).await {
                Ok(again) => who = again,
                Err(end) => return end,
            },
        }
    }
}

/// Looks at a newer token. While nobody can say, the earlier one holds until it expires.
async fn again<A: Authenticate>(
    inner: &Inner,
    authenticate: &A,
    who: &Authenticated,
    token: &str,
) -> Result<Authenticated, End> {
    let late = || Err(Refused::Unavailable("no answer in time".into()));
    let answer = timeout(inner.options.handshake, authenticate.authenticate(token)).await;
    match answer.unwrap_or_else(|_| late()) {
        Ok(again) if again.peer.uid == who.peer.uid => Ok(again),
        Ok(_) => Err(End::OtherPeer),
        Err(Refused::Unavailable(why)) => {
            tracing::warn!(target: "push", data_plane = %who.peer, "its new token is not checked: {why}");
            Ok(who.clone())
        }
        Err(denied) => Err(denied.into()),
    }
}

async fn expiry(at: Option<SystemTime>) {
    match at {
        None => std::future::pending().await,
        // A clock that was set is looked at again each minute.
        Some(at) => {
            while let Ok(left) = at.duration_since(SystemTime::now()) {
                tokio::time::sleep(left.min(std::time::Duration::from_secs(60))).await;
            }
        }
    }
}

/// Says what there is to say.
async fn write(inner: &Inner, id: u64, wake: &tokio::sync::Notify, protocol: u32, out: &mpsc::Sender<Bytes>) -> End {
    let limits = &inner.options;
    let welcome = Welcome { protocol, version: limits.version.clone() };
    if let Err(end) = send(inner, out, vec![frame(&ToPlane::Welcome(welcome))], false).await {
        return end;
    }
    loop {
        let next = inner.state().next(id, limits, Instant::now());
        let (lines, is_commit) = match next {
            Next::End(why) => return End::Link(why),
            Next::Send(lines) => (lines, false),
            Next::Commit(lines) => (lines, true),
            Next::Wait(until) => {
                let later = Instant::now() + limits.keep_alive;
                let until = until.map_or(later, |until| until.min(later));
                tokio::select! {
                    () = wake.notified() => continue,
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = out.closed() => return End::Closed,
                }
                if Instant::now() < later {
                    continue;
                }
                (vec![frame(&ToPlane::KeepAlive {})], false)
            }
        };
        if let Err(end) = send(inner, out, lines, is_commit).await {
            return end;
        }
    }
}

/// Hands lines to the connection, in pieces, so that a large one does not lie in its buffers whole.
async fn send(inner: &Inner, out: &mpsc::Sender<Bytes>, lines: Vec<Bytes>, is_commit: bool) -> Result<(), End> {
    for mut line in lines {
        while !line.is_empty() {
            let piece = line.split_to(line.len().min(2 * PIECE));
            let bytes = piece.len();
            match timeout(inner.options.silence, out.send(piece)).await {
                Err(_) => return Err(End::Stuck),
                Ok(Err(_)) => return Err(End::Closed),
                Ok(Ok(())) => inner.metrics.sent(bytes, false),
            }
        }
    }
    if is_commit {
        inner.metrics.sent(0, true);
    }
    Ok(())
}
