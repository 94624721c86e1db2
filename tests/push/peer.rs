//! Peers that speak frames by hand: data planes that a controller must survive, and a controller of another version.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use routing::wire::{self, Decoder, FRAME_MAX, FromPlane, Received, ToPlane};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::controller::{ca, provider, server_config};

/// A body that is fed.
pub(crate) struct Fed(mpsc::Receiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// One side of a stream.
pub(crate) struct Peer {
    out: mpsc::Sender<Bytes>,
    body: Incoming,
    decoder: Decoder,
}

impl Peer {
    /// A data plane's side; or what the controller answers instead.
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> Result<Self, (u16, String)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(wire::SERVER_NAME).unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        // What a test's peers do not read must not be what its memory is.
        builder.initial_stream_window_size(64 * 1024).initial_connection_window_size(64 * 1024);
        let (mut sender, connection) = builder.handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        let (out, fed) = mpsc::channel(4);
        let request = Request::post(format!("https://{}{}", wire::SERVER_NAME, wire::PATH));
        let request = request.header("authorization", format!("Bearer {token}")).body(Fed(fed)).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        if head.status != 200 {
            let text = body.collect().await.unwrap().to_bytes();
            return Err((head.status.as_u16(), String::from_utf8(text.to_vec()).unwrap()));
        }
        Ok(Self { out, body, decoder: Decoder::new(FRAME_MAX) })
    }

    /// A controller's side: the next data plane that connects.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = TlsAcceptor::from(server_config()).accept(tcp).await.unwrap();
        let (given, mut requests) = mpsc::channel(1);
        let (out, fed) = mpsc::channel(4);
        let fed = std::sync::Mutex::new(Some(fed));
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            given.try_send(request.into_body()).unwrap();
            let body = Fed(fed.lock().unwrap().take().expect("one request a connection"));
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(tls), service));
        let body = requests.recv().await.unwrap();
        Self { out, body, decoder: Decoder::new(FRAME_MAX) }
    }

    /// Sends a line as it is.
    pub(crate) async fn say(&self, line: &str) {
        let _ = self.out.send(Bytes::from(format!("{line}\n"))).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&self, bytes: &str) {
        let _ = self.out.send(Bytes::copy_from_slice(bytes.as_bytes())).await;
    }

    pub(crate) async fn send(&self, frame: &impl serde::Serialize) {
        let _ = self.out.send(wire::encode(frame).unwrap().into()).await;
    }

    /// The next line; none: the other side has ended the stream.
    pub(crate) async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.decoder.line().unwrap() {
                return Some(line.to_vec());
            }
            let frame = self.body.frame().await?.ok()?;
            self.decoder.push(frame.data_ref()?);
        }
    }

    /// The next frame of a controller but keep-alives.
    pub(crate) async fn controller_says(&mut self) -> Option<ToPlane> {
        loop {
            match wire::decode_to_plane(&self.line().await?).unwrap() {
                Received::Frame(ToPlane::KeepAlive {}) => {}
                Received::Frame(frame) => return Some(frame),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame of a data plane but keep-alives.
    pub(crate) async fn plane_says(&mut self) -> Option<FromPlane> {
        loop {
            match wire::decode_from_plane(&self.line().await?).unwrap() {
                Received::Frame(FromPlane::KeepAlive {}) => {}
                Received::Frame(frame) => return Some(frame),
                other => panic!("{other:?}"),
            }
        }
    }

    /// As a data plane that holds nothing, up to its controller's first commit, which is not answered.
    pub(crate) async fn join(&mut self) -> Vec<ToPlane> {
        self.say(r#"{"hello":{"protocols":{"min":1,"max":1}}}"#).await;
        let mut seen = Vec::new();
        loop {
            let frame = self.controller_says().await.expect("a frame");
            let is_end = matches!(frame, ToPlane::Commit(_));
            if matches!(frame, ToPlane::Lead(_)) {
                self.say(r#"{"held":{"last":true}}"#).await;
            }
            seen.push(frame);
            if is_end {
                return seen;
            }
        }
    }

    /// The reason that the other side gives for the end.
    pub(crate) async fn bye(&mut self) -> String {
        loop {
            match self.controller_says().await {
                Some(ToPlane::Bye { reason }) => return reason,
                Some(_) => {}
                None => return String::new(),
            }
        }
    }
}
