//! Connections that are not authenticated yet: who gets a place.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use routing::wire;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::publish::{Authenticate, Authenticated, Options, Peer, Publisher, Refused};

/// Less than silent connections last, more than anything here takes.
const SOON: Duration = Duration::from_secs(3);

/// Takes any token, which is the pod's name.
struct Anyone;

impl Authenticate for Anyone {
    async fn authenticate(&self, token: &str) -> Result<Authenticated, Refused> {
        let (namespace, service_account) = ("moongate".into(), "dataplane".into());
        let peer = Peer { namespace, pod: token.into(), uid: token.into(), service_account };
        Ok(Authenticated { peer, expires: None })
    }
}

struct Server {
    publisher: Publisher,
    address: SocketAddr,
    client: Arc<ClientConfig>,
}

async fn server(handshakes_max: usize) -> Server {
    let made = rcgen::generate_simple_self_signed(vec![wire::SERVER_NAME.into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let mut server = server.unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let publisher = Publisher::new(Options { handshakes_max, ..Options::default() });
    let (_, tls) = watch::channel(Arc::new(server));
    tokio::spawn(publisher.clone().serve(listener, tls, Anyone, std::future::pending()));
    Server { publisher, address, client: Arc::new(client) }
}

/// A data plane with a stream.
struct DataPlane {
    out: mpsc::Sender<Bytes>,
    _body: Incoming,
}

impl Server {
    async fn silent(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// None: the connection was ended before it had a stream.
    async fn data_plane(&self, from: [u8; 4], pod: &str) -> Option<DataPlane> {
        let tcp = self.silent(from).await;
        let name = ServerName::try_from(wire::SERVER_NAME).unwrap();
        let tls = TlsConnector::from(self.client.clone()).connect(name, tcp).await.ok()?;
        let io = TokioIo::new(tls);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.ok()?;
        tokio::spawn(connection);
        let (out, fed) = mpsc::channel::<Bytes>(1);
        let body = StreamBody::new(Box::pin(stream::unfold(fed, |mut fed| async {
            fed.recv().await.map(|bytes| (Ok::<_, Infallible>(Frame::data(bytes)), fed))
        })));
        let request = http::Request::post(format!("https://{}{}", wire::SERVER_NAME, wire::PATH));
        let request = request.header("authorization", format!("Bearer {pod}")).body(body).unwrap();
        let response = sender.send_request(request).await.ok()?;
        assert_eq!(response.status(), 200);
        Some(DataPlane { out, _body: response.into_body() })
    }
}

#[tokio::test]
async fn a_data_plane_gets_in_though_others_hold_every_place() {
    let server = server(32).await;
    let mut silent = Vec::new();
    for n in 0..80_u8 {
        silent.push(server.silent([127, 0, 1, 1 + n % 40]).await);
    }
    let plane = timeout(SOON, server.data_plane([127, 0, 0, 2], "a")).await.expect("an answer in time");
    assert!(plane.is_some());
}

#[tokio::test]
async fn a_data_plane_that_has_a_stream_makes_no_way() {
    let server = server(8).await;
    let plane = server.data_plane([127, 0, 0, 2], "a").await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(server.silent([127, 0, 0, 2]).await);
    }
    // Another one of its address gets in, and so nothing before it is still to be seen.
    assert!(timeout(SOON, server.data_plane([127, 0, 0, 2], "b")).await.expect("an answer in time").is_some());
    plane.out.send("{\"hello\":{\"protocols\":{\"min\":1,\"max\":1}}}\n".into()).await.unwrap();
    let mut planes = server.publisher.planes();
    let joined = planes.wait_for(|planes| planes.planes.contains_key("a"));
    timeout(SOON, joined).await.expect("its stream goes on").unwrap();
}

#[tokio::test]
async fn a_hundred_data_planes_of_one_address_get_in() {
    // At once where there are places for all, and with some of them trying again where there are few.
    for handshakes_max in [Options::default().handshakes_max, 16] {
        let server = Arc::new(server(handshakes_max).await);
        let all = (0..100).map(|n| {
            let server = server.clone();
            tokio::spawn(async move {
                for tried in 1.. {
                    if let Some(plane) = server.data_plane([127, 0, 0, 1], &n.to_string()).await {
                        return (plane, tried);
                    }
                    tokio::time::sleep(Duration::from_millis(20 * (n % 10))).await;
                }
                unreachable!("it tries for ever");
            })
        });
        let all = timeout(Duration::from_secs(60), futures_util::future::join_all(all)).await.expect("all in time");
        let tries: Vec<i32> = all.into_iter().map(|done| done.unwrap().1).collect();
        assert!(handshakes_max < 100 || tries.iter().all(|n| *n == 1), "{tries:?}");
    }
}
