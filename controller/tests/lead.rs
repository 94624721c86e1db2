//! The end of a candidate while a request of its is under way: whoever comes next must not have to wait for the end of
//! the Lease. A real API server cannot be made to answer in just that moment, so a small one keeps the Lease here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use controller::lead::{self, Options};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Nothing here takes long; a test that waits for what never comes must end.
const PATIENCE: Duration = Duration::from_secs(20);

/// An API server with one Lease. Writes are carried out at once, and may be answered later.
#[derive(Clone)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    /// How many requests have come.
    requests: watch::Sender<u64>,
    /// How many writes have been carried out.
    writes: watch::Sender<u64>,
    /// Whether writes are answered.
    answers: watch::Sender<bool>,
}

impl Server {
    async fn start() -> (Self, Client) {
        let server = Self {
            lease: Arc::default(),
            requests: watch::Sender::new(0),
            writes: watch::Sender::new(0),
            answers: watch::Sender::new(true),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = kube::Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let server = accepting.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| server.clone().answer(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(tcp), service).await;
                });
            }
        });
        (server, Client::try_from(config).unwrap())
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
        self.requests.send_modify(|requests| *requests += 1);
        let is_write = request.method() != http::Method::GET;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (status, answer) = match is_write {
            true => self.write(serde_json::from_slice(&body).unwrap()),
            false => self.lease.lock().unwrap().clone().map_or((404, failure(404)), |lease| (200, lease)),
        };
        if is_write {
            self.writes.send_modify(|writes| *writes += 1);
            self.answers.subscribe().wait_for(|answered| *answered).await.unwrap();
        }
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(Full::new(Bytes::from(answer.to_string()))).unwrap())
    }

    /// As an API server does: only whoever has seen the last version may write.
    fn write(&self, mut new: Value) -> (u16, Value) {
        let mut lease = self.lease.lock().unwrap();
        let version = lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone()).unwrap_or_default();
        if new["metadata"]["resourceVersion"] != version {
            return (409, failure(409));
        }
        let version: u64 = version.as_str().map_or(0, |version| version.parse().unwrap());
        new["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        *lease = Some(new.clone());
        (200, new)
    }

    fn holder(&self) -> String {
        let lease = self.lease.lock().unwrap();
        lease.as_ref().and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits for a write whose answer does not go out yet.
    async fn await_held_write(&self) {
        let mut writes = self.writes.subscribe();
        self.answers.send_replace(false);
        writes.borrow_and_update();
        tokio::time::timeout(PATIENCE, writes.changed()).await.expect("a write").unwrap();
    }
}

fn failure(code: u16) -> Value {
    let reason = if code == 409 { "Conflict" } else { "NotFound" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
}

/// A candidate, its term, and what tells it to end.
type Candidate = (JoinHandle<()>, watch::Receiver<Option<u64>>, watch::Sender<bool>);

fn stand(client: Client) -> Candidate {
    let options = Options { renew: Duration::from_millis(20), ..Options::new("n", "l", "me") };
    let (out, term) = watch::channel(None);
    let (stop, mut stopped) = watch::channel(false);
    let stop_comes = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    (tokio::spawn(lead::elect(client, options, out, stop_comes)), term, stop)
}

/// One that leads.
async fn stand_and_win(client: Client) -> Candidate {
    let (candidate, mut term, stop) = stand(client);
    tokio::time::timeout(PATIENCE, term.wait_for(Option::is_some)).await.expect("a term").unwrap();
    (candidate, term, stop)
}

/// The candidate is told to end while its write is under way; the answer comes after that.
async fn end(server: &Server, candidate: JoinHandle<()>, stop: &watch::Sender<bool>) {
    stop.send_replace(true);
    // It has seen that by then, if it looks.
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.answers.send_replace(true);
    tokio::time::timeout(PATIENCE, candidate).await.expect("the end").unwrap();
}

#[tokio::test]
async fn the_lease_is_given_up_though_a_renewal_is_under_way() {
    let (server, client) = Server::start().await;
    let (candidate, term, stop) = stand_and_win(client).await;
    server.await_held_write().await;
    assert!(server.holder().starts_with("me_"), "{}", server.holder());
    end(&server, candidate, &stop).await;
    assert_eq!(server.holder(), "");
    assert_eq!(*term.borrow(), None);
}

#[tokio::test]
async fn the_lease_is_given_up_though_it_is_being_taken() {
    let (server, client) = Server::start().await;
    server.answers.send_replace(false);
    let (candidate, term, stop) = stand(client);
    tokio::time::timeout(PATIENCE, server.writes.subscribe().wait_for(|writes| *writes > 0)).await.unwrap().unwrap();
    assert!(server.holder().starts_with("me_"), "{}", server.holder());
    end(&server, candidate, &stop).await;
    assert_eq!(server.holder(), "");
    assert_eq!(*term.borrow(), None);
}

#[tokio::test]
async fn the_lease_is_given_up_though_somebody_wrote_it() {
    let (server, client) = Server::start().await;
    let (candidate, _term, stop) = stand_and_win(client).await;
    // Before the candidate can see it.
    server.await_held_write().await;
    let mut labelled = server.lease.lock().unwrap().clone().unwrap();
    labelled["metadata"]["labels"] = json!({"team": "a"});
    assert_eq!(server.write(labelled).0, 200);
    end(&server, candidate, &stop).await;
    assert_eq!(server.holder(), "");
    assert_eq!(server.lease.lock().unwrap().as_ref().unwrap()["metadata"]["labels"]["team"], "a");
}

#[tokio::test]
async fn whoever_never_had_the_lease_leaves_it_alone() {
    let (server, client) = Server::start().await;
    let other = json!({"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 3});
    *server.lease.lock().unwrap() = Some(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "l", "namespace": "n", "resourceVersion": "7"}, "spec": other,
    }));
    let (candidate, _term, stop) = stand(client);
    // It has seen whose the Lease is.
    tokio::time::timeout(PATIENCE, server.requests.subscribe().wait_for(|n| *n > 0)).await.expect("a look").unwrap();
    end(&server, candidate, &stop).await;
    assert_eq!((server.holder().as_str(), *server.writes.borrow()), ("other", 0));
}
