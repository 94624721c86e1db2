//! The writer against an API server of the test's own: what is sent, how often, and when not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use controller::publish::{Peer, Plane, Planes};
use controller::status::{Facts, Meta, Metrics, Options, Publish, Status, StatusWriter, Subject, View};
use controller::store::{Kind, ObjectId};
use controller::{ObjectRef, Problem};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use routing::ObjectName;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Requests that were made, and how the next ones are answered.
#[derive(Clone, Default)]
struct Api {
    made: Arc<Mutex<Vec<(Method, String, Value)>>>,
    answers: Arc<Mutex<BTreeMap<String, Vec<u16>>>>,
    /// The pods of the controller; the first is its own.
    pods: Arc<Mutex<Vec<Value>>>,
    /// Requests wait until it is true.
    open: watch::Sender<bool>,
}

impl Api {
    async fn start() -> (Self, kube::Client) {
        let api = Self { open: watch::Sender::new(true), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = served.clone();
                let service = hyper::service::service_fn(move |request| api.clone().answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (api, kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap())
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.made.lock().unwrap().push((method, path.clone(), body.clone()));
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        let pods = self.pods.lock().unwrap().clone();
        let missing = path.ends_with("/pods/controller-0") && pods.is_empty();
        let code = if missing { 404 } else { 200 };
        let code = self.answers.lock().unwrap().get_mut(&path).and_then(Vec::pop).unwrap_or(code);
        let name = path.trim_end_matches("/status").rsplit('/').next().unwrap_or_default();
        let body = match code {
            200 if path.contains("/events") => {
                json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name}, "eventTime": null})
            }
            200 if path == "/api/v1/nodes" => {
                let nodes: Vec<Value> = ["node-a", "node-b", "node-c"].iter().map(|name| node(name)).collect();
                json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": nodes})
            }
            200 if path.contains("/pods/on-") => {
                let node = name.trim_start_matches("on-");
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": node, "containers": []}})
            }
            200 if path.ends_with("/pods/controller-0") => pods[0].clone(),
            200 if path.ends_with("/pods") => {
                assert!(query.contains("labelSelector=app%3Dmoongate") && !query.contains("hash"), "{query}");
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods})
            }
            200 => json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": name, "resourceVersion": "1000"}, "status": body["status"],
            }),
            code => {
                let reason = if code == 404 { "NotFound" } else { "Test" };
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason})
            }
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        Ok(response)
    }

    fn made(&self) -> Vec<(Method, String, Value)> {
        self.made.lock().unwrap().clone()
    }

    /// Waits until so many requests were made.
    async fn wait(&self, count: usize) -> Vec<(Method, String, Value)> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while self.made.lock().unwrap().len() < count {
            assert!(tokio::time::Instant::now() < deadline, "{} of {count} requests", self.made.lock().unwrap().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.made()
    }
}

/// Of a controller that clears nothing on its way out.
fn options(publish: Publish) -> Options {
    Options {
        publish,
        clear_on_exit: false,
        controller: "moongate.dev/ingress-controller".into(),
        instance: "controller-0".into(),
        namespace: "gate".into(),
    }
}

fn writer(client: kube::Client, clear_on_exit: bool) -> StatusWriter {
    let publish = Publish::Addresses(vec!["192.0.2.1".into(), "lb.example".into()]);
    let options = Options { clear_on_exit, ..options(publish) };
    StatusWriter::spawn(client, options, watch::channel(Arc::new(Planes::default())).1, Metrics::default())
}

fn ingresses(count: usize) -> View {
    let id = |n: usize| ObjectId::new(Kind::Ingress, ObjectName::new("shop", format!("web-{n}")));
    let meta = |n: usize| Meta {
        uid: format!("uid-{n}"),
        generation: 1,
        resource_version: "10".into(),
        status: Status::Ingress(Vec::new()),
    };
    let facts = Facts { problems: Vec::new(), subject: Subject::Ingress { is_own: true } };
    View {
        objects: (0..count).map(|n| (id(n), facts.clone())).collect(),
        metas: (0..count).map(|n| (id(n), Some(meta(n)))).collect(),
        malformed: Vec::new(),
    }
}

/// A node whose address is its name.
fn node(name: &str) -> Value {
    let addresses = json!([{"type": "InternalIP", "address": name}]);
    json!({"metadata": {"name": name}, "status": {"addresses": addresses}})
}

/// Data planes, one on each of these nodes.
fn planes_on(nodes: &[&str]) -> Arc<Planes> {
    let plane = |node: &&str| {
        let plane = Plane {
            peer: Peer {
                namespace: "gate".into(),
                pod: format!("on-{node}"),
                uid: format!("uid-{node}"),
                service_account: "dataplane".into(),
            },
            version: "1".into(),
            protocol: 1,
            applied: None,
            is_complete: true,
            behind: Default::default(),
            failed: Default::default(),
            failed_total: 0,
            lua: Default::default(),
            connected: std::time::SystemTime::UNIX_EPOCH,
        };
        (plane.peer.uid.clone(), Arc::new(plane))
    };
    Arc::new(Planes { term: Some(1), planes: nodes.iter().map(plane).collect() })
}

#[tokio::test]
async fn nodes_are_published_once_data_planes_are_known_and_stay_when_none_is() {
    let (api, client) = Api::start().await;
    let (planes, seen) = watch::channel(planes_on(&[]));
    let writer = StatusWriter::spawn(client, options(Publish::Nodes), seen, Metrics::default());
    writer.observe(ingresses(1));
    writer.lead(true);
    // Whatever would be done without them is done.
    tokio::task::yield_now().await;
    planes.send_replace(planes_on(&["node-a"]));
    tokio::task::yield_now().await;
    planes.send_replace(planes_on(&["node-a", "node-b"]));
    // The list of nodes, the pod of each, and the write.
    let made = api.wait(4).await;
    planes.send_replace(planes_on(&[]));
    tokio::task::yield_now().await;
    let mut one_more = ingresses(2);
    one_more.objects.remove(0);
    one_more.metas.remove(0);
    writer.observe(one_more);
    let made = [made, api.wait(5).await.split_off(4)].concat();
    let written: Vec<_> = made.iter().filter(|(method, ..)| method == Method::PATCH).collect();
    let addresses = json!([{"hostname": "node-a"}, {"hostname": "node-b"}]);
    assert!(written.iter().all(|(.., body)| body["status"]["loadBalancer"]["ingress"] == addresses), "{written:?}");
    assert!(written[0].1.contains("web-0/") && written[1].1.contains("web-1/"), "{written:?}");
}

#[tokio::test]
async fn a_thousand_ingresses_cost_a_thousand_requests() {
    let (api, client) = Api::start().await;
    let writer = writer(client, false);
    writer.observe(ingresses(1000));
    writer.lead(true);
    let made = api.wait(1000).await;
    let (method, path, body) = &made[0];
    assert_eq!(*method, Method::PATCH);
    assert!(path.starts_with("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web-") && path.ends_with("/status"));
    let addresses = json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]);
    assert_eq!(body["status"]["loadBalancer"]["ingress"], addresses);
    assert!(body["metadata"]["uid"].as_str().unwrap().starts_with("uid-"));
    let paths: std::collections::BTreeSet<&String> = made.iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths.len(), 1000, "one each");
    // What is seen of the writes causes none. One more write shows that nothing else was waiting before it.
    writer.observe(View {
        metas: ingresses(1000)
            .metas
            .into_iter()
            .map(|(id, meta)| (id, meta.map(|m| Meta { generation: 2, ..m })))
            .collect(),
        ..View::default()
    });
    let mut one_more = ingresses(1001);
    one_more.objects.drain(..1000);
    one_more.metas.drain(..1000);
    writer.observe(one_more);
    let made = api.wait(1001).await;
    assert!(made.last().unwrap().1.contains("web-1000/"), "{:?}", made.last());
}

#[tokio::test]
async fn a_lost_lease_stops_everything_at_once() {
    let (api, client) = Api::start().await;
    api.open.send_replace(false);
    let writer = writer(client, false);
    writer.observe(ingresses(1000));
    writer.lead(true);
    // As many as go at once.
    let under_way = api.wait(16).await.len();
    writer.lead(false);
    api.open.send_replace(true);
    // Another leader's time would be now; this one is silent until it leads again, when all is written.
    writer.observe(ingresses(1000));
    tokio::task::yield_now().await;
    assert_eq!(api.made().len(), under_way);
    writer.lead(true);
    let made = api.wait(under_way + 1000).await;
    let again = |path: &String| made.iter().skip(under_way).filter(|(_, made, _)| made == path).count();
    assert!(made.iter().all(|(_, path, _)| again(path) == 1), "what was given up is sent again, once");
}

#[tokio::test]
async fn failures_are_tried_again_and_objects_that_are_gone_are_not() {
    let (api, client) = Api::start().await;
    let path = |n: usize| format!("/apis/networking.k8s.io/v1/namespaces/shop/ingresses/web-{n}/status");
    let answers = [(path(0), vec![500]), (path(1), vec![404]), (path(2), vec![409]), (path(3), vec![503, 429])];
    api.answers.lock().unwrap().extend(answers);
    let writer = writer(client, false);
    writer.observe(ingresses(5));
    writer.lead(true);
    // kube's client itself repeats what a server says is to be repeated; so only the outcome counts.
    let made = api.wait(8).await;
    let count = |n: usize| made.iter().filter(|(_, made, _)| *made == path(n)).count();
    assert_eq!([count(0), count(1), count(2), count(3), count(4)], [2, 1, 1, 3, 1]);
}

/// A pod of the controller, as the API server lists it.
fn pod(name: &str, phase: &str, revision: &str) -> Value {
    let labels = json!({"app": "moongate", "pod-template-hash": revision});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "status": {"phase": phase}})
}

/// Three Ingresses that have our addresses.
fn published() -> View {
    let mut view = ingresses(3);
    let addresses = serde_json::from_value(json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example"}])).unwrap();
    for (_, meta) in &mut view.metas {
        meta.as_mut().unwrap().status = Status::Ingress(Vec::clone(&addresses));
    }
    view
}

#[tokio::test]
async fn on_the_way_out_addresses_are_cleared_if_they_should_be() {
    let own = pod("controller-0", "Running", "a");
    let alone = vec![own.clone()];
    let cases = [
        (true, true, alone.clone(), 3),
        (false, true, alone.clone(), 0),
        (true, false, alone, 0),
        // Another one takes over, though it is of another revision; one that has ended does not.
        (true, true, vec![own.clone(), pod("controller-1", "Running", "b")], 0),
        (true, true, vec![own.clone(), pod("controller-1", "Succeeded", "b")], 3),
        // Outside of a cluster there never are pods.
        (true, true, Vec::new(), 3),
    ];
    for (clear, leads, pods, expected) in cases {
        let (api, client) = Api::start().await;
        *api.pods.lock().unwrap() = pods.clone();
        let writer = writer(client, clear);
        writer.observe(published());
        writer.lead(leads);
        writer.close().await;
        let made: Vec<_> = api.made().into_iter().filter(|(method, ..)| method == Method::PATCH).collect();
        assert_eq!(made.len(), expected, "{clear} {leads} {pods:?}: {made:?}");
        assert!(made.iter().all(|(_, _, body)| body["status"]["loadBalancer"]["ingress"].is_null()), "{made:?}");
    }
}

#[tokio::test]
async fn a_controller_whose_pod_was_deleted_with_force_leaves_the_addresses() {
    let (api, client) = Api::start().await;
    *api.pods.lock().unwrap() = vec![pod("controller-0", "Running", "a")];
    // It is there at the start, the second time that it is asked for, since the first fails, and then no more.
    let own = "/api/v1/namespaces/gate/pods/controller-0".to_owned();
    api.answers.lock().unwrap().insert(own, vec![404, 200, 500]);
    let writer = writer(client, true);
    writer.observe(published());
    writer.lead(true);
    api.wait(2).await;
    writer.close().await;
    let made = api.made();
    assert!(made.len() == 3 && made.iter().all(|(method, ..)| method == Method::GET), "{made:?}");
}

/// A writer of Events alone, and an Ingress that there is one about.
fn teller(client: kube::Client) -> StatusWriter {
    let planes = watch::channel(Arc::new(Planes::default())).1;
    let writer = StatusWriter::spawn(client, options(Publish::Nothing), planes, Metrics::default());
    let mut view = ingresses(1);
    let object = ObjectRef::new("Ingress", &ObjectName::new("shop", "web-0"));
    view.objects[0].1.problems = vec![Problem::error(object, "spec.rules[0]", "PathConflict", "another has it")];
    writer.observe(view);
    writer
}

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

#[tokio::test]
async fn an_event_that_could_not_be_written_comes_later() {
    let (api, client) = Api::start().await;
    api.answers.lock().unwrap().insert(EVENTS.into(), vec![500]);
    let writer = teller(client);
    writer.lead(true);
    let made = api.wait(2).await;
    assert_eq!((&made[0].0, made[0].1.as_str(), &made[0].2["note"]), (&Method::POST, EVENTS, &made[1].2["note"]));
    assert_eq!((&made[1].0, &made[1].2["metadata"]), (&Method::POST, &made[0].2["metadata"]));
}

#[tokio::test]
async fn an_event_that_a_lost_lead_cut_off_comes_with_the_next() {
    let (api, client) = Api::start().await;
    api.open.send_replace(false);
    let writer = teller(client);
    writer.lead(true);
    api.wait(1).await;
    writer.lead(false);
    tokio::task::yield_now().await;
    api.open.send_replace(true);
    writer.lead(true);
    let made = api.wait(2).await;
    assert!(made.iter().all(|(method, path, _)| method == Method::POST && path == EVENTS), "{made:?}");
}

#[tokio::test]
async fn an_event_that_is_there_already_is_counted_once_more() {
    let (api, client) = Api::start().await;
    api.answers.lock().unwrap().insert(EVENTS.into(), vec![409]);
    let writer = teller(client);
    writer.lead(true);
    let made = api.wait(3).await;
    let steps: Vec<&Method> = made.iter().map(|(method, ..)| method).collect();
    assert_eq!(steps, [Method::POST, Method::GET, Method::PATCH], "{made:?}");
    let told = &made[0].2;
    assert_eq!((&told["note"], &told["type"]), (&json!("spec.rules[0]: another has it"), &json!("Warning")));
    assert_eq!((&told["regarding"]["uid"], &told["regarding"]["kind"]), (&json!("uid-0"), &json!("Ingress")));
    assert_eq!(made[2].2["series"]["count"], json!(2));
    assert_eq!(made[2].1, format!("{EVENTS}/{}", told["metadata"]["name"].as_str().unwrap()));
}
