//! The plugins that ship with Moongate, as the platform's and as a namespace's own, by their `tests.yaml`.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use e2e::manifests::{NAMESPACE, config, ingress, service};
use e2e::plugin_tests::{Answer, File, Step};
use e2e::{Client, Manifests, Moongate, Upstream, moongate, tidy};

/// Which of the two kinds a plugin is tested as.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Cluster,
    Namespaced,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterLuaPlugin",
            Self::Namespaced => "LuaPlugin",
        }
    }

    /// The plugin's manifest as this kind.
    fn manifest(self, text: &str) -> String {
        match self {
            Self::Cluster => text.to_owned(),
            Self::Namespaced => text
                .replace(
                    "kind: ClusterLuaPlugin\nmetadata:\n",
                    &format!("kind: LuaPlugin\nmetadata:\n  namespace: {NAMESPACE}\n"),
                )
                .replace("  allowedNamespaces:\n    from: All\n", ""),
        }
    }
}

/// An Ingress of a host of its own with a binding of its own.
fn case(number: usize, plugin: &str, kind: Kind, config: &serde_json::Value) -> String {
    format!(
        "{}---\napiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: t{number}, namespace: {NAMESPACE}}}\n\
         spec:\n  pluginRef: {{kind: {}, name: {plugin}}}\n  \
         targetRefs: [{{group: networking.k8s.io, kind: Ingress, name: t{number}}}]\n  config: {config}\n",
        ingress(&format!("t{number}"), &host(number), "/", "backend", &[]),
        kind.name(),
    )
}

fn host(number: usize) -> String {
    format!("t{number}.example.com")
}

/// What the upstream got last, by host.
type Seen = Arc<Mutex<HashMap<String, String>>>;

fn upstream(answers: Vec<Answer>) -> (Upstream, Seen) {
    let seen: Seen = Arc::default();
    let memory = seen.clone();
    let answers: HashMap<String, Answer> = answers.into_iter().enumerate().map(|(n, a)| (host(n), a)).collect();
    let upstream = Upstream::start(move |mut c| {
        while let Some(request) = c.request() {
            let host = request.header("host").to_owned();
            let answer = answers[&host].bytes(request.method());
            memory.lock().expect("no thread panics with it").insert(host, request.head);
            c.send(answer);
        }
    });
    (upstream, seen)
}

fn check(plugin: &str) {
    let read = |file: &str| tidy::read(&format!("lua-plugins/{plugin}/{file}")).expect("a plugin has it");
    let file: File =
        serde_saphyr::from_str(&read("tests.yaml")).expect("tests.yaml has the format of lua-plugins/README.md");
    assert!(!file.tests.is_empty());
    for kind in [Kind::Cluster, Kind::Namespaced] {
        let (upstream, seen) = upstream(file.tests.iter().map(|t| t.upstream.clone()).collect());
        let mut documents = vec![
            // With underscores, since a plugin must not be got round by how a header is spelt.
            config("http: {useForwardedHeaders: true, proxyRealIpCidr: [127.0.0.1/32], underscoresInHeaders: true}"),
            service("backend", &[upstream.port]),
            kind.manifest(&read("plugin.yaml")),
        ];
        documents.extend(file.tests.iter().enumerate().map(|(n, test)| case(n, plugin, kind, &test.config)));
        let manifests = Manifests::of(&documents);
        let moongate = Moongate::start(&manifests);
        let mut wrong = Vec::new();
        for (number, test) in file.tests.iter().enumerate() {
            for (at, step) in test.steps().iter().enumerate() {
                let found = perform(&moongate, &host(number), step, &seen);
                wrong.extend(found.into_iter().map(|what| format!("{}, step {}: {what}", test.name, at + 1)));
            }
        }
        assert!(wrong.is_empty(), "{plugin} as {kind:?}:\n  {}\n{}", wrong.join("\n  "), moongate.process.log());
        refused(plugin, kind, &file, &kind.manifest(&read("plugin.yaml")));
    }
}

/// Sends a step's requests; what is not as expected.
fn perform(moongate: &Moongate, host: &str, step: &Step, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..step.repeat {
        seen.lock().expect("no thread panics with it").remove(host);
        let mut client = Client::connect(moongate.http);
        let response = client.send(step.request.bytes(host)).response(step.request.method());
        let got = seen.lock().expect("no thread panics with it").get(host).cloned();
        found = step.expect.differences(&response, got.as_deref());
    }
    found
}

/// Each config that the schema refuses is told by `moongate check`.
fn refused(plugin: &str, kind: Kind, file: &File, manifest: &str) {
    for wrong in &file.refused {
        let manifests =
            Manifests::of(&[service("backend", &[1]), manifest.to_owned(), case(0, plugin, kind, &wrong.config)]);
        let output = moongate::command(&["check", &manifests.path().display().to_string()]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{plugin}, {}: {said}", wrong.name);
        let told = said.lines().any(|line| line.contains("error: ") && line.contains(&wrong.message));
        assert!(told, "{plugin}, {}: no error with {:?} in\n{said}", wrong.name, wrong.message);
    }
}

#[test]
fn basic_auth() {
    check("basic-auth");
}

#[test]
fn cors() {
    check("cors");
}

#[test]
fn headers() {
    check("headers");
}

#[test]
fn ip_restriction() {
    check("ip-restriction");
}

#[test]
fn key_auth() {
    check("key-auth");
}

#[test]
fn rate_limit() {
    check("rate-limit");
}

#[test]
fn every_plugin_is_tested() {
    let tested = tidy::read("e2e/tests/plugins.rs").unwrap();
    let files = tidy::files().unwrap();
    let plugins: Vec<&str> =
        files.iter().filter_map(|f| f.strip_prefix("lua-plugins/")?.strip_suffix("/plugin.yaml")).collect();
    assert!(!plugins.is_empty());
    for plugin in plugins {
        assert!(tested.contains(&format!("check(\"{plugin}\")")), "{plugin} has no test here");
        assert!(files.contains(&format!("lua-plugins/{plugin}/README.md")), "{plugin} has no README");
    }
}
