//! Sockets, plain or TLS, read into pooled buffers, and one re-armable deadline per connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Size of a pooled read buffer: holds a usual request head, and enough of a body to make a system call worth it.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// How long a connection that ends still waits for its peer, so that the client gets the response and not a reset
/// (nginx: `lingering_timeout 5s`).
pub const LINGER: Duration = Duration::from_secs(2);

/// Spare buffers that a worker keeps; more are freed.
const POOLED_MAX: usize = 64;

/// Runs hyper's futures on this thread.
#[derive(Clone)]
pub struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A byte stream to a peer.
pub enum Io {
    /// TCP.
    Plain(TcpStream),
    /// TLS as the server.
    Server(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS as the client.
    Client(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Io {
    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Server(tls) => tls.get_ref().0,
            Self::Client(tls) => tls.get_ref().0,
        }
    }

    /// Whether bytes are there already that the socket will not announce: with the end of a handshake, or in the record
    /// that was read last, TLS may have decrypted more than was taken.
    pub fn has_plaintext(&mut self) -> bool {
        let state = match self {
            Self::Plain(_) => return false,
            Self::Server(tls) => tls.get_mut().1.process_new_packets(),
            Self::Client(tls) => tls.get_mut().1.process_new_packets(),
        };
        // An error is told by the next read.
        state.map_or(true, |state| state.plaintext_bytes_to_read() > 0)
    }

    /// Reads into the buffer's free part: `Ok(0)` is the peer's end. A buffer that has storage must have room; one that has
    /// none gets it here, and an empty one lets go of it when nothing has come.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Buf) -> Poll<io::Result<usize>> {
        let mut free = ReadBuf::new(buf.free());
        let polled = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut free),
            Self::Server(tls) => Pin::new(tls.as_mut()).poll_read(cx, &mut free),
            Self::Client(tls) => Pin::new(tls.as_mut()).poll_read(cx, &mut free),
        };
        let n = free.filled().len();
        if polled.is_pending() {
            buf.rest();
        }
        ready!(polled)?;
        buf.end += n;
        Poll::Ready(Ok(n))
    }

    /// As [`Self::poll_read`] for who does not wait: pending, it need not wake anyone later, which spares a plain
    /// socket the registration.
    pub fn poll_read_now(&mut self, cx: &mut Context<'_>, buf: &mut Buf) -> Poll<io::Result<usize>> {
        let Self::Plain(tcp) = self else { return self.poll_read(cx, buf) };
        match tcp.try_read(buf.free()) {
            Ok(n) => {
                buf.end += n;
                Poll::Ready(Ok(n))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                buf.rest();
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    /// Writes some of `data`.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Server(tls) => Pin::new(tls.as_mut()).poll_write(cx, data),
            Self::Client(tls) => Pin::new(tls.as_mut()).poll_write(cx, data),
        }
    }

    /// Pushes what TLS holds back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Server(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            Self::Client(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    /// Ends our direction (with close_notify over TLS), as far as the peer lets us: one that does not read must not
    /// hold the connection by TLS's last record.
    pub async fn shutdown(&mut self) {
        let shutdown = poll_fn(|cx| match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Server(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Self::Client(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        });
        let _ = tokio::time::timeout(LINGER, shutdown).await;
    }
}

/// A read buffer: storage that was initialised once, and the part of it that holds unread bytes. It has storage only while
/// there is something to read or unread: who waits lets go of it ([`Self::rest`]), so that requests under way and idle
/// tunnels cost none, and the same few that a worker has stay in the processor's caches.
#[derive(Default)]
pub struct Buf {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

thread_local! {
    /// Spare storage of a worker, [`BUFFER_BYTES`] each.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Buf {
    /// Unread bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// How many bytes are unread.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether every byte was consumed.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `n` unread bytes as read.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end, "consumed more than was read");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether a read needs room first.
    pub fn is_full(&self) -> bool {
        self.end == self.data.len()
    }

    /// Moves the unread bytes to the front; grows by doubling up to `max` bytes. False: no room to be had.
    pub fn make_room(&mut self, max: usize) -> bool {
        if !self.is_full() {
            return true;
        }
        if self.data.is_empty() {
            self.take_storage();
            return true;
        }
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return true;
        }
        let larger = (self.data.len() * 2).clamp(BUFFER_BYTES, max.max(BUFFER_BYTES));
        if larger <= self.data.len() {
            return false;
        }
        self.data.resize(larger, 0);
        true
    }

    /// Lets go of the storage if nothing in it is unread. Storage that grew, or is one too many, is freed.
    pub fn rest(&mut self) {
        if !self.is_empty() || self.data.is_empty() {
            return;
        }
        let data = std::mem::take(&mut self.data);
        // A thread that ends has no spare storage any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if data.len() == BUFFER_BYTES && spare.len() < POOLED_MAX {
                spare.push(data);
            }
        });
    }

    fn free(&mut self) -> &mut [u8] {
        if self.data.is_empty() {
            self.take_storage();
        }
        debug_assert!(!self.is_full(), "a read into no room would look like the peer's end");
        &mut self.data[self.end..]
    }

    fn take_storage(&mut self) {
        self.data = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BUFFER_BYTES]);
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        (self.start, self.end) = (0, 0);
        self.rest();
    }
}

/// A point in time that a connection waits for at most. Moving it later costs nothing: the timer below is only
/// re-armed when it fires too early.
#[derive(Default)]
pub struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Deadline {
    /// Expires after this long from now.
    pub fn set(&mut self, after: Duration) {
        self.at = Some(Instant::from_std(crate::clock::now()) + after);
    }

    /// Expires at the given instant; none: never.
    pub fn set_at(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    /// Whether it can expire at all.
    pub fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready once it has expired.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES, Buf};

    #[test]
    fn room_is_made_by_moving_then_by_growing_then_refused() {
        let mut buf = Buf { data: vec![0; 8], ..Buf::default() };
        buf.data.copy_from_slice(b"abcdefgh");
        buf.end = 8;
        buf.consume(3);
        assert!(buf.make_room(8) && !buf.is_full());
        assert_eq!(buf.bytes(), b"defgh");
        buf.end = 8;
        assert!(buf.make_room(BUFFER_BYTES));
        assert_eq!(&buf.bytes()[..5], b"defgh");
        buf.end = buf.data.len();
        assert!(!buf.make_room(BUFFER_BYTES));
    }

    #[test]
    fn storage_goes_round_while_nothing_is_unread() {
        let mut buf = Buf::default();
        assert!(buf.is_full(), "there is no storage yet");
        assert!(buf.make_room(BUFFER_BYTES) && !buf.is_full());
        let storage = buf.data.as_ptr();
        buf.end = 2;
        buf.rest();
        assert_eq!(buf.len(), 2, "unread bytes stay");
        buf.consume(2);
        buf.rest();
        assert!(buf.is_full());
        let mut next = Buf::default();
        assert!(next.make_room(BUFFER_BYTES));
        assert_eq!(next.data.as_ptr(), storage);
        next.end = 2;
        drop(next);
        assert!(buf.make_room(BUFFER_BYTES) && buf.is_empty());
        assert_eq!(buf.data.as_ptr(), storage, "what is dropped unread leaves clean storage");
    }
}
