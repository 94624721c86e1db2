//! The part of an API server that lists, watches and gets, as far as the watches use it: what a real one does only now
//! and then (forget old versions, fail, have objects that cannot be read) can be asked for here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    /// Wakes watches; the number is that of all wake-ups.
    wake: watch::Sender<u64>,
}

struct State {
    version: u64,
    /// By plural, then by `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    log: Vec<Logged>,
    /// Watches cannot begin before this version.
    oldest: u64,
    streams: bool,
    /// Answers instead of the right ones, by `plural` (collections) or `plural/name` (objects).
    refused: HashMap<String, u16>,
    requests: Vec<String>,
    /// Watches that began before this many wake-ups end.
    cut: u64,
}

struct Logged {
    version: u64,
    plural: String,
    old: Option<Value>,
    new: Option<Value>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Fake {
    pub(crate) async fn start(streams: bool) -> (Self, Client) {
        let state = State {
            version: 100,
            objects: BTreeMap::new(),
            log: Vec::new(),
            oldest: 0,
            streams,
            refused: HashMap::new(),
            requests: Vec::new(),
            cut: 0,
        };
        let fake = Self { state: Arc::new(Mutex::new(state)), wake: watch::Sender::new(0) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = fake.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let server = server.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let response = server.answer(&request);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
                });
            }
        });
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        (fake, Client::try_from(config).unwrap())
    }

    /// Makes or changes an object; it needs `metadata.name`.
    pub(crate) fn put(&self, plural: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let old = state.objects.entry(plural.into()).or_default().insert(key(&object), object.clone());
        self.log(&mut state, plural, old, Some(object));
    }

    pub(crate) fn delete(&self, plural: &str, key: &str) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let old = state.objects.get_mut(plural).unwrap().remove(key);
        assert!(old.is_some(), "no {plural} {key}");
        self.log(&mut state, plural, old, None);
    }

    fn log(&self, state: &mut State, plural: &str, old: Option<Value>, new: Option<Value>) {
        state.log.push(Logged { version: state.version, plural: plural.into(), old, new });
        self.wake.send_modify(|n| *n += 1);
    }

    /// Ends all watches and forgets what happened, so that everything must be listed again. Changes made by `meanwhile`
    /// are seen by no watch.
    pub(crate) fn forget(&self, meanwhile: impl FnOnce(&Self)) {
        self.state.lock().unwrap().cut = u64::MAX;
        meanwhile(self);
        let mut state = self.state.lock().unwrap();
        state.oldest = state.version + 1;
        state.version += 1;
        state.cut = *self.wake.borrow() + 1;
        self.wake.send_modify(|n| *n += 1);
    }

    /// From now on a collection (`plural`) or an object (`plural/name`) is answered with a status; 0: as it is again.
    pub(crate) fn refuse(&self, what: &str, status: u16) {
        self.state.lock().unwrap().refused.insert(what.into(), status);
    }

    /// How many requests so far have a text in them.
    pub(crate) fn requests(&self, text: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|request| request.contains(text)).count()
    }

    /// The sizes of pages that were asked for of a collection, each once.
    pub(crate) fn limits(&self, plural: &str) -> BTreeSet<String> {
        let state = self.state.lock().unwrap();
        let of_collection = state.requests.iter().filter_map(|request| request.split_once('?'));
        let queries = of_collection.filter(|(path, _)| path.ends_with(&format!("/{plural}"))).map(|(_, query)| query);
        queries.flat_map(|query| query.split('&')).filter_map(|p| p.strip_prefix("limit=")).map(str::to_owned).collect()
    }

    fn answer(&self, request: &http::Request<Incoming>) -> http::Response<Body> {
        let path = request.uri().path();
        let query: HashMap<String, String> = request.uri().query().unwrap_or_default().split('&').map(pair).collect();
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.uri().to_string());
        if path == "/version" {
            let version = json!({
                "major": "1", "minor": if state.streams { "36" } else { "30" }, "gitVersion": "v1", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""
            });
            return whole(200, &version);
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = &parts[if parts[0] == "api" { 2 } else { 3 }..];
        let (namespace, plural, name) = match rest {
            ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
            ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name)),
            [plural] => (None, *plural, None),
            other => panic!("{other:?}"),
        };
        let what = name.map_or(plural.to_owned(), |name| format!("{plural}/{name}"));
        if let Some(status) = state.refused.get(&what).filter(|status| **status > 0) {
            return failure(*status);
        }
        match name {
            Some(name) => {
                let key = format!("{}/{name}", namespace.unwrap_or_default());
                match state.objects.get(plural).and_then(|objects| objects.get(&key)) {
                    Some(object) => whole(200, object),
                    None => failure(404),
                }
            }
            None if query.contains_key("watch") => self.watch(&state, plural, query),
            None => list(&state, plural, &query),
        }
    }

    fn watch(&self, state: &State, plural: &str, query: HashMap<String, String>) -> http::Response<Body> {
        let is_list = query.contains_key("sendInitialEvents");
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if is_list && !state.streams {
            return failure(422);
        }
        let mut events = Vec::new();
        let mut last = from;
        if is_list {
            let objects = state.objects.get(plural).into_iter().flat_map(BTreeMap::values);
            events.extend(objects.filter(|o| selected(o, &query)).map(|o| json!({"type": "ADDED", "object": o})));
            last = state.version;
            let end =
                json!({"resourceVersion": last.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}});
            events.push(json!({"type": "BOOKMARK", "object": {"kind": "X", "apiVersion": "v1", "metadata": end}}));
        } else if from < state.oldest {
            let status =
                json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"});
            events.push(json!({"type": "ERROR", "object": status}));
        }
        let wake = self.wake.subscribe();
        let watcher =
            Watcher { fake: self.clone(), plural: plural.into(), query, last, wake, began: *self.wake.borrow() };
        let rest = stream::unfold((watcher, events), |(mut watcher, first)| async move {
            let events = if first.is_empty() { watcher.next().await? } else { first };
            let text: String = events.iter().map(|event| format!("{event}\n")).collect();
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), (watcher, Vec::new())))
        });
        http::Response::new(BodyExt::boxed(StreamBody::new(sync(rest))))
    }
}

/// A body must be `Sync`; what is behind a lock is.
fn sync<S: stream::Stream + Send>(stream: S) -> impl stream::Stream<Item = S::Item> {
    let stream = Mutex::new(Box::pin(stream));
    stream::poll_fn(move |cx| stream.lock().unwrap().as_mut().poll_next(cx))
}

struct Watcher {
    fake: Fake,
    plural: String,
    query: HashMap<String, String>,
    last: u64,
    wake: watch::Receiver<u64>,
    began: u64,
}

impl Watcher {
    async fn next(&mut self) -> Option<Vec<Value>> {
        loop {
            let events = {
                let state = self.fake.state.lock().unwrap();
                if self.began < state.cut {
                    return None;
                }
                let new = state.log.iter().filter(|l| l.plural == self.plural && l.version > self.last);
                let events: Vec<Value> = new.filter_map(|logged| self.event(logged)).collect();
                self.last = state.version.max(self.last);
                events
            };
            if !events.is_empty() {
                return Some(events);
            }
            self.wake.changed().await.ok()?;
        }
    }

    fn event(&self, logged: &Logged) -> Option<Value> {
        let is_in = |object: &Option<Value>| object.as_ref().is_some_and(|object| selected(object, &self.query));
        let kind = match (is_in(&logged.old), is_in(&logged.new)) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        // A deletion has the object as it was, with the version of the deletion.
        let mut object = logged.new.clone().or_else(|| logged.old.clone())?;
        object["metadata"]["resourceVersion"] = json!(logged.version.to_string());
        Some(json!({"type": kind, "object": object}))
    }
}

/// Pages of two whatever is asked for, so that there are several.
fn list(state: &State, plural: &str, query: &HashMap<String, String>) -> http::Response<Body> {
    let objects = state.objects.get(plural).into_iter().flat_map(BTreeMap::values).filter(|o| selected(o, query));
    let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    let all: Vec<&Value> = objects.collect();
    let page: Vec<&&Value> = all.iter().skip(from).take(2).collect();
    let next = if from + 2 < all.len() { (from + 2).to_string() } else { String::new() };
    whole(200, &json!({"metadata": {"resourceVersion": state.version.to_string(), "continue": next}, "items": page}))
}

/// The selectors that the watches of Secrets have.
fn selected(object: &Value, query: &HashMap<String, String>) -> bool {
    let label = &object["metadata"]["labels"]["moongate.dev/lua-readable"];
    let fields = query.get("fieldSelector").map(String::as_str);
    let labels = query.get("labelSelector").map(String::as_str);
    let by_type = match fields {
        None => true,
        Some("type=kubernetes.io/tls") => object["type"] == "kubernetes.io/tls",
        Some("type!=kubernetes.io/tls") => object["type"] != "kubernetes.io/tls",
        Some(other) => panic!("{other}"),
    };
    by_type
        && match labels {
            None => true,
            Some("moongate.dev/lua-readable=true") => label == "true",
            Some("moongate.dev/lua-readable!=true") => label != "true",
            Some(other) => panic!("{other}"),
        }
}

fn key(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// A parameter of a query, decoded.
fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.replace("%21", "!").replace("%3D", "=").replace("%2F", "/");
    (name.into(), value)
}

fn whole(status: u16, body: &Value) -> http::Response<Body> {
    let mut response = http::Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

fn failure(status: u16) -> http::Response<Body> {
    whole(status, &json!({"kind": "Status", "status": "Failure", "code": status, "reason": "X", "message": "refused"}))
}
