//! A connection to a controller, and the request that is its stream.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use routing::wire;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::Options;

/// Of a whole table, as much as is under way at once.
const WINDOW: u32 = 1024 * 1024;

/// Bytes shown of what a controller answers instead of a stream.
const ANSWER_MAX: usize = 1024;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{}: {error}", path.display())]
    File { path: std::path::PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Ca { path: std::path::PathBuf, error: String },
    #[error("connect: {0}")]
    Tcp(io::Error),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("HTTP/2: {0}")]
    Http(#[from] hyper::Error),
    #[error("the token has characters that a header cannot have")]
    Token,
    #[error("the controller answers {0}: {1}")]
    Refused(StatusCode, String),
}

impl ConnectError {
    /// For the counter.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Token => "file",
            Self::Ca { .. } | Self::Tls(_) => "tls",
            Self::Tcp(_) => "connect",
            Self::Http(_) => "http",
            Self::Refused(..) => "refused",
        }
    }
}

/// A stream to a controller.
pub(super) struct Connection {
    /// What is sent to it.
    pub(super) out: mpsc::Sender<Bytes>,
    /// The token that it knows.
    pub(super) token: String,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

/// Connects, authenticates and opens the stream; with it comes what the controller sends.
pub(super) async fn open(options: &Options, address: SocketAddr) -> Result<(Connection, Incoming), ConnectError> {
    let (tls, token) = (client_config(options)?, read_token(options)?);
    let tcp = TcpStream::connect(address).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let name = ServerName::try_from(wire::SERVER_NAME).expect("a constant that is a DNS name");
    let tls = TlsConnector::from(tls).connect(name, tcp).await.map_err(ConnectError::Tls)?;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (mut sender, connection) = builder.handshake(TokioIo::new(tls)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!(target: "push", "connection: {e}");
        }
    });
    let (out, frames) = mpsc::channel(4);
    let request = Request::post(format!("https://{}{}", wire::SERVER_NAME, wire::PATH))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Frames(frames))
        .map_err(|_| ConnectError::Token)?;
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        let text = Limited::new(body, ANSWER_MAX).collect().await.map(http_body_util::Collected::to_bytes);
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        return Err(ConnectError::Refused(head.status, text));
    }
    Ok((Connection { out, token, _driver: driver }, body))
}

/// The token as it is now.
pub(super) fn read_token(options: &Options) -> Result<String, ConnectError> {
    let text = std::fs::read_to_string(&options.token);
    let text = text.map_err(|error| ConnectError::File { path: options.token.clone(), error })?;
    Ok(text.trim().to_owned())
}

/// With the CAs as they are now: the file changes before the controllers' certificates do.
fn client_config(options: &Options) -> Result<Arc<ClientConfig>, ConnectError> {
    let path = || options.ca.clone();
    let pem = std::fs::read(&options.ca).map_err(|error| ConnectError::File { path: path(), error })?;
    let wrong = |error: String| ConnectError::Ca { path: path(), error };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".into()));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A request's body: what the stream sends.
struct Frames(mpsc::Receiver<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
