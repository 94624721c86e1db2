//! Sockets that accept clients: one per address and worker (`SO_REUSEPORT`), so the kernel spreads connections.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::downstream::{h1, h2};
use crate::exchange::{Conn, TlsInfo};
use crate::io::Io;
use crate::tls::Acceptors;
use crate::worker::{Counted, Worker};

/// nginx's default backlog is 511; the kernel caps it at somaxconn anyway.
const BACKLOG: i32 = 4096;

/// Out of descriptors: accepting pauses for this long instead of spinning.
const PAUSE: Duration = Duration::from_millis(50);

/// A TLS handshake must be done within this (nginx: `client_header_timeout` covers it).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds one worker's socket of an address.
///
/// # Errors
/// The operating system's, with the address.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("listen on {address}: {e}"));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(named)?;
    socket.set_reuse_address(true).map_err(named)?;
    socket.set_reuse_port(true).map_err(named)?;
    socket.set_nonblocking(true).map_err(named)?;
    socket.bind(&address.into()).map_err(named)?;
    socket.listen(BACKLOG).map_err(named)?;
    Ok(socket.into())
}

/// Accepts until the worker stops accepting; then what is queued is still accepted, since closing a reuseport
/// socket resets its queue.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener, tls: Option<Acceptors>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.accept_ends() => break,
        };
        take(&worker, accepted, tls.as_ref()).await;
    }
    // EAGAIN ends it: `accept` would wait, so it is polled once.
    while let Some(accepted) = futures_util::FutureExt::now_or_never(listener.accept()) {
        if accepted.is_err() {
            break;
        }
        take(&worker, accepted, tls.as_ref()).await;
    }
}

async fn take(worker: &Rc<Worker>, accepted: io::Result<(TcpStream, SocketAddr)>, tls: Option<&Acceptors>) {
    match accepted {
        Ok((tcp, peer)) => begin(worker, tcp, peer, tls),
        Err(e) if is_out_of_resources(&e) => {
            tracing::warn!(target: "listener", "accepting pauses: {e}");
            worker.shared.metrics.accept_paused();
            tokio::time::sleep(PAUSE).await;
        }
        // A client that gave up before it was accepted, and the like: nothing to do.
        Err(e) => tracing::debug!(target: "listener", "accept: {e}"),
    }
}

fn is_out_of_resources(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Starts a connection's task.
fn begin(worker: &Rc<Worker>, tcp: TcpStream, peer: SocketAddr, tls: Option<&Acceptors>) {
    let _ = tcp.set_nodelay(true);
    let Ok(local) = tcp.local_addr() else { return };
    let counted = worker.clone().count_connection();
    match tls {
        None => {
            let conn = Rc::new(Conn::new(peer, local, None, serial()));
            tokio::task::spawn_local(plain(counted, h1::Waiting::new(Io::Plain(tcp), conn)));
        }
        Some(tls) => {
            let acceptor = tls.from_version(worker.snapshot(|s| s.settings.tls.min_version)).clone();
            tokio::task::spawn_local(secure(counted, tcp, peer, local, acceptor));
        }
    }
}

fn serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// HTTP/1.1, or HTTP/2 by prior knowledge: its preface is told apart by the first bytes. What is awaited for long is
/// boxed or small: an idle connection is this future.
fn plain(counted: Counted, waiting: h1::Waiting) -> impl Future<Output = ()> {
    let mut connection = Some(waiting);
    // A block, since an async function would keep its arguments twice.
    async move {
        let Some(waiting) = &connection else { return };
        match Box::pin(h2::has_preface(&counted.worker, waiting.tcp())).await {
            Some(true) => {
                if let Some((Io::Plain(tcp), conn)) = connection.take().map(h1::Waiting::into_parts) {
                    Box::pin(h2::serve(counted.worker.clone(), tcp, conn)).await;
                }
            }
            Some(false) => h1::serve(&counted.worker, &mut connection).await,
            None => {}
        }
    }
}

async fn secure(counted: Counted, tcp: TcpStream, peer: SocketAddr, local: SocketAddr, acceptor: TlsAcceptor) {
    let worker = &counted.worker;
    // Boxed: the handshake's state is large, and it is over soon.
    let tls = match Box::pin(tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp))).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(e)) => {
            worker.shared.metrics.handshake_failed();
            tracing::debug!(target: "tls", client = %peer, "handshake: {e}");
            return;
        }
        Err(_) => {
            worker.shared.metrics.handshake_failed();
            return;
        }
    };
    let session = tls.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let info = TlsInfo {
        server_name: session.server_name().map(str::to_ascii_lowercase),
        protocol: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        cipher: session.negotiated_cipher_suite().map_or_else(String::new, |s| format!("{:?}", s.suite())),
    };
    let conn = Rc::new(Conn::new(peer, local, Some(info), serial()));
    if http2 {
        Box::pin(h2::serve(worker.clone(), tls, conn)).await;
    } else {
        let mut connection = Some(h1::Waiting::new(Io::Server(Box::new(tls)), conn));
        h1::serve(worker, &mut connection).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What an idle connection's task and facts may take; the socket's registration comes on top. A million idle
    /// connections are less than a gigabyte.
    const BYTES_MAX: usize = 160 + 128;

    #[test]
    fn a_connection_waits_in_little_memory() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (peer, local) = (tcp.peer_addr().unwrap(), tcp.local_addr().unwrap());
            let worker = Worker::new(0, Arc::new(crate::worker::Shared::new(1)));
            let conn = Rc::new(Conn::new(peer, local, None, 1));
            let task = plain(worker.count_connection(), h1::Waiting::new(Io::Plain(tcp), conn));
            let size = std::mem::size_of_val(&task) + size_of::<Conn>();
            assert!(size <= BYTES_MAX, "{} + {}", std::mem::size_of_val(&task), size_of::<Conn>());
        });
    }
}
