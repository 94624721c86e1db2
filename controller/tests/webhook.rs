//! The webhook over TLS on loopback: what callers get who behave, and who do not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use controller::Translator;
use controller::translate::Options;
use controller::webhook::{self, Check, Request, Verdict};
use http_body::Body;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate for a name, which is its own authority.
struct Identity {
    server: Arc<ServerConfig>,
    roots: RootCertStore,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["webhook.test".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let mut server = server.unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    Identity { server: Arc::new(server), roots }
}

struct Server {
    address: SocketAddr,
    tls: watch::Sender<Arc<ServerConfig>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn server(identity: &Identity, check: Arc<dyn Check>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tls, seen) = watch::channel(identity.server.clone());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(webhook::serve(listener, seen, check, shutdown));
    Server { address, tls, stop, task }
}

/// A connection from an address of loopback.
async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// TLS over it.
async fn secure(tcp: TcpStream, roots: &RootCertStore, alpn: &str) -> Result<TlsStream<TcpStream>, String> {
    let mut config = ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let name = ServerName::try_from("webhook.test").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| e.to_string())?;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
    Ok(tls)
}

/// HTTP/2 over that.
async fn http2<B>(tls: TlsStream<TcpStream>) -> Result<http2::SendRequest<B>, String>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let made = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
    let (send, connection) = made.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    Ok(send)
}

/// Sends a request over a new connection: status and body. An error is one of the connection.
async fn send(
    address: SocketAddr,
    roots: &RootCertStore,
    alpn: &str,
    request: http::Request<Full<Bytes>>,
) -> Result<(u16, String), String> {
    let tcp = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let tls = secure(tcp, roots, alpn).await?;
    let response = if alpn == "h2" {
        http2(tls).await?.send_request(request).await
    } else {
        let made = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await;
        let (mut send, connection) = made.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        send.send_request(request).await
    };
    let response = response.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn post(body: impl Into<Bytes>) -> http::Request<Full<Bytes>> {
    let uri = "https://webhook.test/validate?timeout=5s";
    http::Request::post(uri).header("host", "webhook.test").body(Full::new(body.into())).unwrap()
}

fn review(access: &str) -> String {
    let object = json!({
        "apiVersion": "moongate.dev/v1alpha1", "kind": "LuaPlugin",
        "metadata": {"namespace": "shop", "name": "quota"}, "spec": {"phases": {"access": access}},
    });
    let kind = json!({"group": "moongate.dev", "version": "v1alpha1", "kind": "LuaPlugin"});
    let request = json!({"uid": "7", "operation": "CREATE", "kind": kind, "namespace": "shop", "object": object});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

fn table() -> Arc<dyn Check> {
    Arc::new(RwLock::new(Translator::new(Options::default())))
}

#[tokio::test]
async fn reviews_are_answered_over_both_versions_of_http() {
    let identity = identity();
    let server = server(&identity, table()).await;
    for alpn in ["h2", "http/1.1"] {
        let (status, body) = send(server.address, &identity.roots, alpn, post(review("return 1"))).await.unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["response"]), (200, &json!({"uid": "7", "allowed": true})), "{alpn}");
        let (status, body) = send(server.address, &identity.roots, alpn, post(review("return ]"))).await.unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(false)), "{alpn}");
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(message.starts_with("LuaPlugin shop/quota, spec.phases.access: "), "{message}");
    }
}

#[tokio::test]
async fn what_is_no_review_is_refused_with_a_reason() {
    let identity = identity();
    let server = server(&identity, table()).await;
    let get = http::Request::get("https://webhook.test/validate").body(Full::default()).unwrap();
    let elsewhere = http::Request::post("https://webhook.test/").body(Full::default()).unwrap();
    // Lua that never ends is only read.
    let large = "x".repeat(2 * 1024 * 1024);
    let cases = [
        (get, 405, "POST"),
        (elsewhere, 404, "/validate"),
        (post("{"), 400, "no AdmissionReview"),
        (post(r#"{"apiVersion": "v1", "kind": "List"}"#), 400, "not an AdmissionReview"),
        (post(review(&large)), 413, "larger than 2 MiB"),
        (post(review("while true do end")), 200, r#""allowed":true"#),
    ];
    for (request, expected, part) in cases {
        let (status, body) = send(server.address, &identity.roots, "h2", request).await.unwrap();
        assert!(status == expected && body.contains(part), "{expected} {part}: {status} {body}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_holds_for_new_connections() {
    let (old, new) = (identity(), identity());
    let server = server(&old, table()).await;
    let ask = |roots: RootCertStore| async move { send(server.address, &roots, "h2", post(review("return"))).await };
    assert!(ask(old.roots.clone()).await.is_ok());
    assert!(ask(new.roots.clone()).await.is_err());
    server.tls.send_replace(new.server.clone());
    assert!(ask(new.roots.clone()).await.is_ok());
    assert!(ask(old.roots.clone()).await.is_err());
}

/// A check that fails, as no check should.
struct Broken;

impl Check for Broken {
    fn check(&self, _: &Request) -> Verdict {
        panic!("this is the test's");
    }
}

#[tokio::test]
async fn a_check_that_fails_takes_nothing_else_down() {
    let identity = identity();
    let server = server(&identity, Arc::new(Broken)).await;
    for _ in 0..2 * 32 {
        let (status, body) = send(server.address, &identity.roots, "h2", post(review("return"))).await.unwrap();
        assert!(status == 500 && body.contains("bug of Moongate"), "{status} {body}");
    }
}

/// A check that tells when it is called, and answers when it is told to.
struct Slow(std::sync::Mutex<Option<oneshot::Sender<()>>>, std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Check for Slow {
    fn check(&self, _: &Request) -> Verdict {
        let called = self.0.lock().unwrap().take().unwrap();
        called.send(()).unwrap();
        self.1.lock().unwrap().recv().unwrap();
        Verdict::default()
    }
}

#[tokio::test]
async fn on_the_way_out_what_is_under_way_is_finished() {
    let identity = identity();
    let (called, is_called) = oneshot::channel();
    let (go, may_go) = std::sync::mpsc::sync_channel(1);
    let server = server(&identity, Arc::new(Slow(Some(called).into(), may_go.into()))).await;
    let address = server.address;
    let roots = identity.roots.clone();
    let asked = tokio::spawn(async move { send(address, &roots, "http/1.1", post(review("return"))).await });
    is_called.await.unwrap();
    server.stop.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(asked.await.unwrap().unwrap().0, 200);
    server.task.await.unwrap();
    assert!(send(address, &identity.roots, "h2", post(review("return"))).await.is_err());
}

/// Less than anything takes that ends by its time.
const SOON: Duration = Duration::from_secs(2);

/// A review from an address that has nothing else.
async fn is_answered(server: &Server, roots: &RootCertStore) {
    let asked = async {
        let tls = secure(connect([127, 0, 0, 2], server.address).await, roots, "h2").await.unwrap();
        let mut send = http2(tls).await.unwrap();
        send.send_request(post(review("return"))).await.unwrap().status()
    };
    assert_eq!(timeout(SOON, asked).await.expect("an answer in time"), 200);
}

#[tokio::test]
async fn others_who_hold_every_connection_are_in_nobodys_way() {
    let identity = identity();
    let server = server(&identity, table()).await;
    let mut held = Vec::new();
    for address in (1..=40).cycle().take(280) {
        held.push(connect([127, 0, 1, address], server.address).await);
    }
    is_answered(&server, &identity.roots).await;
}

#[tokio::test]
async fn bodies_that_never_come_are_in_nobodys_way() {
    let identity = identity();
    let server = server(&identity, table()).await;
    let mut waiting = JoinSet::new();
    for address in 1..=8 {
        let tcp = connect([127, 0, 1, address], server.address).await;
        let mut send = http2(secure(tcp, &identity.roots, "h2").await.unwrap()).await.unwrap();
        for _ in 0..100 {
            let body = StreamBody::new(futures_util::stream::pending());
            let request =
                http::Request::post("https://webhook.test/validate").header("content-length", 2 * 1024 * 1024);
            let asked = send.send_request(request.body(body).unwrap());
            waiting.spawn(async move { asked.await.map(|response| response.status().as_u16()) });
        }
        // All of its requests are on their way before the next one's.
        send.ready().await.unwrap();
    }
    is_answered(&server, &identity.roots).await;
    let first = timeout(5 * SOON, waiting.join_next()).await.expect("an end of the wait");
    assert_eq!(first.unwrap().unwrap().unwrap(), 408);
}

#[tokio::test]
async fn many_reviews_over_one_connection_are_all_answered() {
    let identity = identity();
    let server = server(&identity, table()).await;
    let tcp = connect([127, 0, 0, 1], server.address).await;
    let mut send = http2(secure(tcp, &identity.roots, "h2").await.unwrap()).await.unwrap();
    // Together ten times what an address may have in memory.
    let body = Bytes::from(review(&format!("--{}", "x".repeat(100 * 1024))));
    let mut reviews = JoinSet::new();
    for _ in 0..200 {
        let asked = send.send_request(post(body.clone()));
        reviews.spawn(async move { asked.await.map(|response| response.status().as_u16()) });
    }
    while let Some(status) = reviews.join_next().await {
        assert_eq!(status.unwrap().unwrap(), 200);
    }
}

#[tokio::test]
async fn who_connects_and_asks_nothing_is_let_go() {
    let identity = identity();
    let server = server(&identity, table()).await;
    let tcp = connect([127, 0, 0, 1], server.address).await;
    let mut tls = secure(tcp, &identity.roots, "http/1.1").await.unwrap();
    let mut said = Vec::new();
    // Whether it comes with TLS's own goodbye is all the same.
    let _ = timeout(Duration::from_secs(15), tls.read_to_end(&mut said)).await.expect("an end");
    assert!(said.is_empty(), "{said:?}");
}
