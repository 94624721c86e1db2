//! A tunnel after `101 Switching Protocols`: bytes both ways until either side ends.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use crate::io::{Buf, Deadline, Io};

/// One direction of a tunnel.
struct Way {
    ended: bool,
    flushed: bool,
}

/// Copies both ways until one side ends and the other's bytes are out, or nothing moves for `idle`. Returns how many
/// bytes went to the client.
pub async fn tunnel(client: &mut Connection, upstream: &mut Io, upstream_buf: &mut Buf, idle: Duration) -> u64 {
    let mut deadline = Deadline::default();
    let mut to_client = 0;
    let mut up = Way { ended: false, flushed: true };
    let mut down = Way { ended: false, flushed: true };
    poll_fn(|cx| {
        let moved_up = copy(cx, &mut client.io, &mut client.buf, upstream, &mut up);
        let moved_down = copy(cx, upstream, upstream_buf, &mut client.io, &mut down);
        to_client += moved_down.unwrap_or(0) as u64;
        let (Some(a), Some(b)) = (moved_up, moved_down) else { return Poll::Ready(()) };
        if a + b > 0 || !deadline.is_set() {
            deadline.set_at(Some(Instant::now() + idle));
        }
        if up.done() || down.done() || deadline.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    client.io.shutdown().await;
    upstream.shutdown().await;
    client.closed = true;
    to_client
}

impl Way {
    fn done(&self) -> bool {
        self.ended && self.flushed
    }
}

/// Moves what can be moved now. None: a side failed.
fn copy(cx: &mut Context<'_>, from: &mut Io, buf: &mut Buf, to: &mut Io, way: &mut Way) -> Option<usize> {
    let mut moved = 0;
    loop {
        while !buf.is_empty() {
            match to.poll_write(cx, buf.bytes()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    buf.consume(n);
                    moved += n;
                    way.flushed = false;
                }
                Poll::Ready(_) => return None,
                Poll::Pending => return Some(moved),
            }
        }
        if !way.flushed {
            match to.poll_flush(cx) {
                Poll::Ready(Ok(())) => way.flushed = true,
                Poll::Ready(Err(_)) => return None,
                Poll::Pending => {}
            }
        }
        if way.ended {
            return Some(moved);
        }
        match from.poll_read(cx, buf) {
            Poll::Ready(Ok(0)) => way.ended = true,
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return None,
            Poll::Pending => return Some(moved),
        }
    }
}
