//! The watches against a small API server: what comes of lists, changes, failures and new lists.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

#[path = "cluster/fake.rs"]
mod fake;

use std::sync::Arc;
use std::time::Duration;

use controller::cluster::{self, Batch, Scope, Stats};
use controller::store::{Kind, Object, ObjectId, Update};
use controller::translate::Options;
use controller::{ObjectRef, Translator};
use fake::Fake;
use routing::key::ChainKey;
use routing::{Key, ObjectName};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Nothing here takes long; a test that waits for what never comes must end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has come of the batches so far.
struct Seen {
    fake: Fake,
    batches: mpsc::Receiver<Batch>,
    table: Translator,
    last: Batch,
    stats: Arc<Stats>,
}

impl Seen {
    fn watch(fake: Fake, client: kube::Client, scope: Scope) -> Self {
        let (out, batches) = mpsc::channel(1);
        let stats = Arc::new(Stats::default());
        tokio::spawn(cluster::watch(client, scope, stats.clone(), out));
        Self { fake, batches, table: Translator::new(Options::default()), last: Batch::default(), stats }
    }

    /// Takes batches until something holds.
    async fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let batch = tokio::time::timeout_at(deadline, self.batches.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("no {what}; waits: {:?}", self.stats.waits())).unwrap();
            let secrets = batch.updates.iter().filter(|u| matches!(u, Update::Apply(Object::Secret(_)))).count();
            assert!(secrets <= 2, "only what is named comes: {batch:?}");
            self.table.change(batch.updates.iter().cloned());
            self.last = batch;
            if holds(self) {
                return;
            }
        }
    }

    /// Reasons of the problems of an object.
    fn problems(&self, kind: &str, name: &str) -> Vec<&'static str> {
        let problems = self.table.problems_of(&ObjectRef::new(kind, &ObjectName::new("n", name)));
        problems.iter().map(|problem| problem.reason).collect()
    }

    fn has(&self, kind: Kind, name: &str) -> bool {
        self.table.store().object(&ObjectId::new(kind, ObjectName::new("n", name))).is_some()
    }

    fn knows(&self, kind: Kind, name: &str) -> bool {
        self.table.store().is_known(&ObjectId::new(kind, ObjectName::new("n", name)))
    }
}

fn named(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "uid": name}, "spec": spec})
}

fn ingress(name: &str, secret: Option<&str>) -> Value {
    let host = format!("{name}.example.com");
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let tls: Vec<Value> = secret.iter().map(|secret| json!({"hosts": [host], "secretName": secret})).collect();
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    named(
        name,
        &json!({"ingressClassName": "moongate", "tls": tls, "rules": [{"host": host, "http": {"paths": paths}}]}),
    )
}

fn secret(name: &str, kind: &str, readable: bool) -> Value {
    let labels = if readable { json!({"moongate.dev/lua-readable": "true"}) } else { json!({}) };
    json!({
        "metadata": {"name": name, "namespace": "n", "labels": labels, "managedFields": [{"manager": "x"}]},
        "type": kind, "data": {"password": "cGFzcw=="}
    })
}

fn binding(secret: &str) -> Value {
    let spec = json!({
        "pluginRef": {"name": "p"}, "targetRefs": [{"kind": "Ingress", "name": "a"}],
        "secretRefs": [{"path": "password", "name": secret, "key": "password"}]
    });
    json!({
        "apiVersion": "moongate.dev/v1alpha1", "kind": "LuaPluginBinding",
        "metadata": {"name": "b", "namespace": "n", "uid": "b", "generation": 3}, "spec": spec
    })
}

fn plugin(access: &Value) -> Value {
    let schema = json!({"type": "object", "properties": {"password": {"type": "string"}}});
    let spec = json!({"phases": {"access": access}, "configSchema": {"openAPIV3Schema": schema}});
    json!({
        "apiVersion": "moongate.dev/v1alpha1", "kind": "LuaPlugin",
        "metadata": {"name": "p", "namespace": "n", "uid": "p"}, "spec": spec
    })
}

/// A server with a class, an Ingress, and five Secrets that nothing names.
async fn cluster(streams: bool) -> (Fake, kube::Client) {
    let (fake, client) = Fake::start(streams).await;
    let class = json!({"metadata": {"name": "moongate"}, "spec": {"controller": "moongate.dev/ingress-controller"}});
    fake.put("ingressclasses", class);
    fake.put("ingresses", ingress("a", None));
    for (name, kind, readable) in [
        ("t1", "kubernetes.io/tls", false),
        ("t2", "kubernetes.io/tls", true),
        ("o1", "Opaque", false),
        ("o2", "helm.sh/release.v1", false),
        ("l1", "Opaque", true),
    ] {
        fake.put("secrets", secret(name, kind, readable));
    }
    (fake, client)
}

#[tokio::test]
async fn lists_are_streamed_or_paged_and_followed() {
    for streams in [true, false] {
        let (fake, client) = cluster(streams).await;
        for name in ["c", "d", "e"] {
            fake.put("ingresses", ingress(name, None));
        }
        let mut seen = Seen::watch(fake, client, Scope::default());
        seen.until("first batch", |_| true).await;
        assert!(["a", "c", "d", "e"].iter().all(|name| seen.has(Kind::Ingress, name)), "everything is in the first");
        assert!(!seen.has(Kind::Secret, "t1"), "nothing names it");
        assert_eq!(seen.fake.requests("sendInitialEvents") > 0, streams);
        assert_eq!(seen.fake.requests("continue=2") > 0, !streams);
        assert_eq!((seen.stats.streamed() > 0, seen.stats.paged() > 0), (streams, !streams));
        assert_eq!(seen.fake.requests("/secrets/"), 0, "nothing is asked for by name");
        seen.fake.put("ingresses", ingress("f", None));
        seen.until("a new Ingress", |seen| seen.has(Kind::Ingress, "f")).await;
        let meta = seen.last.metas[0].1.clone().unwrap();
        assert_eq!((meta.uid.as_str(), &meta.resource_version), ("f", &seen.last.versions["ingresses"]));
        seen.fake.delete("ingresses", "n/c");
        seen.until("a deletion", |seen| !seen.has(Kind::Ingress, "c")).await;
        let (made, reached) = (&seen.last.versions["ingresses"], &seen.last.reached["ingresses"]);
        assert!(reached.parse::<u64>().unwrap() >= made.parse::<u64>().unwrap());
    }
}

#[tokio::test]
async fn pages_are_small_where_objects_may_be_large() {
    let (fake, client) = cluster(false).await;
    let mut seen = Seen::watch(fake, client, Scope::default());
    seen.until("first batch", |_| true).await;
    let check = |plural: &str, limits: &[&str]| {
        let asked = seen.fake.limits(plural);
        assert!(asked.iter().eq(limits), "{plural}: {asked:?}");
    };
    for plural in
        ["luaplugins", "clusterluaplugins", "luapluginbindings", "clusterluapluginbindings", "moongateconfigs"]
    {
        check(plural, &["25"]);
    }
    // Whole certificates and what Lua may read, and the metadata of all others.
    check("secrets", &["100", "25"]);
    check("configmaps", &["100"]);
    for plural in ["ingresses", "services", "endpointslices"] {
        check(plural, &["500"]);
    }
}

#[tokio::test]
async fn what_the_server_has_forgotten_is_listed_again() {
    for streams in [true, false] {
        let (fake, client) = cluster(streams).await;
        fake.put("ingresses", ingress("gone", Some("t1")));
        fake.put("ingresses", ingress("kept", Some("t2")));
        let mut seen = Seen::watch(fake, client, Scope::default());
        seen.until("first batch", |seen| seen.has(Kind::Secret, "t1") && seen.has(Kind::Secret, "t2")).await;
        seen.fake.forget(|fake| {
            fake.delete("ingresses", "n/gone");
            fake.delete("secrets", "n/t2");
            fake.put("ingresses", ingress("new", None));
        });
        seen.until("the new list", |seen| {
            let ingresses = !seen.has(Kind::Ingress, "gone") && seen.has(Kind::Ingress, "new");
            ingresses && !seen.has(Kind::Secret, "t1") && !seen.has(Kind::Secret, "t2")
        })
        .await;
        assert!(seen.has(Kind::Ingress, "kept") && seen.has(Kind::Ingress, "a"));
        assert!(seen.problems("Ingress", "kept").contains(&"SecretNotFound"));
        assert!(seen.stats.relists() > 0);
    }
}

#[tokio::test]
async fn a_secret_is_read_while_something_names_it() {
    let (fake, client) = cluster(true).await;
    fake.put("luaplugins", plugin(&json!("local c = ...")));
    fake.put("luapluginbindings", binding("o1"));
    let mut seen = Seen::watch(fake, client, Scope::default());
    // That it is there is known; its data never came.
    seen.until("first batch", |_| true).await;
    assert_eq!(seen.problems("LuaPluginBinding", "b"), ["SecretNotReadable"]);
    assert_eq!(seen.fake.requests("/secrets/o1"), 0);
    // It moves from one watch to another, and is never said to be gone.
    seen.fake.put("secrets", secret("o1", "Opaque", true));
    seen.until("a readable Secret", |seen| {
        assert_ne!(seen.problems("LuaPluginBinding", "b"), ["SecretNotFound"]);
        seen.problems("LuaPluginBinding", "b").is_empty()
    })
    .await;
    seen.fake.put("secrets", secret("o1", "Opaque", false));
    seen.until("a closed Secret", |seen| seen.problems("LuaPluginBinding", "b") == ["SecretNotReadable"]).await;
    seen.fake.delete("secrets", "n/o1");
    seen.until("no Secret", |seen| seen.problems("LuaPluginBinding", "b") == ["SecretNotFound"]).await;
    // One that was passed over before is asked for; without anyone who names it, it is dropped.
    seen.fake.put("luapluginbindings", binding("l1"));
    seen.until("another Secret", |seen| seen.problems("LuaPluginBinding", "b").is_empty()).await;
    assert_eq!(seen.fake.requests("/secrets/l1"), 1);
    seen.fake.delete("luapluginbindings", "n/b");
    seen.until("nothing", |seen| !seen.has(Kind::Secret, "l1")).await;
    // Any type serves as a certificate, and is followed.
    seen.fake.put("ingresses", ingress("g", Some("o2")));
    seen.until("a certificate of another type", |seen| seen.has(Kind::Secret, "o2")).await;
    let before = seen.fake.requests("/secrets/o2");
    seen.fake.put("secrets", secret("o2", "helm.sh/release.v1", false));
    seen.until("its renewal", |seen| seen.fake.requests("/secrets/o2") > before).await;
}

#[tokio::test]
async fn what_cannot_be_fetched_is_unknown_and_not_absent() {
    let (fake, client) = cluster(true).await;
    fake.put("ingresses", ingress("g", Some("missing")));
    fake.put("ingresses", ingress("h", Some("refused")));
    fake.refuse("secrets/refused", 500);
    let mut seen = Seen::watch(fake, client, Scope::default());
    seen.until("first batch", |_| true).await;
    assert!(seen.knows(Kind::Secret, "missing") && !seen.knows(Kind::Secret, "refused"));
    seen.fake.refuse("secrets/refused", 0);
    seen.until("an answer", |seen| seen.knows(Kind::Secret, "refused")).await;
}

#[tokio::test]
async fn nothing_comes_before_every_kind_is_listed() {
    let (fake, client) = cluster(true).await;
    fake.refuse("luaplugins", 404);
    let mut seen = Seen::watch(fake, client, Scope::default());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !seen.stats.waits().iter().any(|wait| wait.contains("does not know the kind")) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", seen.stats.waits());
        tokio::task::yield_now().await;
    }
    assert!(seen.batches.try_recv().is_err());
    seen.fake.refuse("luaplugins", 0);
    seen.until("first batch", |seen| seen.has(Kind::Ingress, "a")).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_fails_alone_and_keeps_its_last_version() {
    let (fake, client) = cluster(true).await;
    fake.put("luaplugins", plugin(&json!("local c = ...")));
    fake.put("ingresses", json!({"metadata": {"name": "bad", "namespace": "n"}, "spec": {"rules": 7}}));
    let mut seen = Seen::watch(fake, client, Scope::default());
    let malformed = |seen: &Seen, name: &str| {
        let of_name = seen.last.malformed.iter().find(|(id, _)| id.name.name == name);
        of_name.map(|(_, problem)| problem.as_ref().map_or("mended".to_owned(), |p| p.message.clone()))
    };
    seen.until("first batch", |_| true).await;
    assert!(seen.has(Kind::Ingress, "a") && !seen.knows(Kind::Ingress, "bad"));
    assert!(malformed(&seen, "bad").unwrap().contains("invalid type: integer `7`"), "{:?}", seen.last.malformed);
    // A definition that is older than the code let it pass.
    seen.fake.put("luaplugins", plugin(&json!(["not", "text"])));
    seen.until("a bad plugin", |seen| malformed(seen, "p").is_some()).await;
    assert!(malformed(&seen, "p").unwrap().contains("spec.phases.access"), "{:?}", seen.last.malformed);
    assert!(seen.has(Kind::LuaPlugin, "p"));
    seen.fake.put("luaplugins", plugin(&json!("local d = ...")));
    seen.until("a good one", |seen| malformed(seen, "p").as_deref() == Some("mended")).await;
    // Its last version is what everything goes by; without one it is the data planes that have what was.
    assert!(malformed(&seen, "never").is_none());
    seen.fake.put("moongateconfigs", json!({"metadata": {"name": "never"}, "spec": 7}));
    seen.until("a bad config", |seen| malformed(seen, "never").is_some()).await;
    let told = malformed(&seen, "never").unwrap();
    assert!(told.contains("Secrets that are deleted meanwhile") && !told.contains("what it was before"), "{told}");
    seen.fake.put("moongateconfigs", json!({"metadata": {"name": "never"}, "spec": {}}));
    seen.until("a good config", |seen| malformed(seen, "never").as_deref() == Some("mended")).await;
    seen.fake.put("moongateconfigs", json!({"metadata": {"name": "never"}, "spec": 8}));
    seen.until("a bad config", |seen| malformed(seen, "never").is_some_and(|told| told != "mended")).await;
    assert!(malformed(&seen, "never").unwrap().contains("what it was before"), "{:?}", seen.last.malformed);
    seen.fake.put("ingresses", ingress("bad", None));
    seen.until("a good Ingress", |seen| seen.has(Kind::Ingress, "bad")).await;
}

#[tokio::test]
async fn a_binding_that_could_never_be_read_closes_what_it_is_for() {
    let (fake, client) = cluster(true).await;
    fake.put("luaplugins", plugin(&json!("local c = ...")));
    let mut bad = binding("l1");
    bad["spec"]["config"] = json!("text");
    fake.put("luapluginbindings", bad.clone());
    let mut seen = Seen::watch(fake, client, Scope::default());
    let chain = Key::Chain(ChainKey::Ingress(ObjectName::new("n", "a")));
    let uses = |seen: &Seen| match seen.table.get(&chain).map(|value| &**value) {
        Some(routing::Value::Chain(chain)) => chain.uses.iter().map(|used| used.broken.clone()).collect(),
        _ => Vec::new(),
    };
    seen.until("first batch", |_| true).await;
    let [Some(why)] = &uses(&seen)[..] else { panic!("{:?}", uses(&seen)) };
    assert!(why.contains("cannot be read"), "{why}");
    assert_eq!(seen.problems("LuaPluginBinding", "b"), ["Malformed"]);
    let problems = || seen.last.malformed.iter().filter_map(|(_, problem)| problem.as_ref());
    let of_object = problems().find(|problem| problem.object.name == "b").unwrap();
    assert!(of_object.message.contains("spec.config") && !of_object.message.contains("what it was before"));
    seen.fake.put("luapluginbindings", binding("l1"));
    seen.until("a good one", |seen| uses(seen) == [None]).await;
    seen.fake.put("luapluginbindings", bad);
    seen.until("a bad one", |seen| !seen.last.malformed.is_empty()).await;
    assert_eq!(uses(&seen), [None], "its last version goes on");
}

#[tokio::test]
async fn a_binding_too_deep_to_be_parsed_closes_its_namespace() {
    let (fake, client) = cluster(true).await;
    fake.put("luaplugins", plugin(&json!("local c = ...")));
    let mut deep = binding("l1");
    // A parser that recurses ends at a depth of 128.
    deep["spec"]["config"] = json!({"list": (0..130).fold(json!([]), |inner, _| json!([inner]))});
    fake.put("luapluginbindings", deep);
    let mut seen = Seen::watch(fake, client, Scope::default());
    seen.until("first batch", |_| true).await;
    let chain = seen.table.get(&Key::Chain(ChainKey::Namespace("n".into())));
    let Some(routing::Value::Chain(chain)) = chain.map(|value| &**value) else { panic!("{:?}", seen.last.malformed) };
    let [used] = &chain.uses[..] else { panic!("{chain:?}") };
    assert!(used.broken.as_ref().is_some_and(|why| !why.is_empty()), "{chain:?}");
    assert_eq!(seen.problems("LuaPluginBinding", "b"), ["Malformed"]);
}

#[tokio::test]
async fn roles_alone_suffice_for_single_namespaces() {
    let (fake, client) = cluster(true).await;
    for cluster_wide in
        ["ingressclasses", "namespaces", "clusterluaplugins", "clusterluapluginbindings", "moongateconfigs"]
    {
        fake.refuse(cluster_wide, 403);
    }
    let fallback = Some(("moongate".to_owned(), "moongate.dev/ingress-controller".to_owned()));
    let scope = Scope { namespaces: vec!["n".into()], fallback_class: fallback, ..Scope::default() };
    let mut seen = Seen::watch(fake, client, scope);
    seen.until("first batch", |_| true).await;
    let is_served = |seen: &Seen| seen.table.own_class(&ObjectName::new("n", "a"));
    assert_eq!(is_served(&seen).as_deref(), Some("moongate"));
    assert_eq!(seen.fake.requests("/api/v1/secrets"), 0, "no list of all Secrets");
    assert!(seen.last.versions.contains_key("ingresses@n"));
}
