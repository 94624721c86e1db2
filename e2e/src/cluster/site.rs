//! What most tests begin with: Moongate installed, a namespace with backends, and a client outside.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Deref;

use serde_json::{Value, json};

use super::bed::{PATIENCE, rolled_out};
use super::release::RELEASE;
use super::{BACKEND, Bed, Cluster, release};
use crate::wait::until_slowly;
use crate::{Client, Load, Response, load};

/// A namespace behind the shared release.
pub struct Site {
    bed: Bed,
    /// Plain HTTP of the data planes' Service.
    pub address: SocketAddr,
}

impl Deref for Site {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.bed
    }
}

impl Site {
    /// `None` where no cluster can be had.
    pub fn new(namespace: &str) -> Option<Self> {
        Bed::new(namespace).map(Self::of)
    }

    /// For a test that ends parts of it all.
    pub fn alone(namespace: &str) -> Option<Self> {
        Bed::alone(namespace).map(Self::of)
    }

    /// [`Site::alone`] in a cluster of the test binary's own, whose release has these values.
    pub fn alone_in(cluster: &'static Cluster, namespace: &str, values: &[&str]) -> Self {
        Self::with(Bed::alone_in(cluster, namespace), values)
    }

    /// A second namespace of the same test.
    pub fn beside(&self, namespace: &str) -> Self {
        Self::of(self.bed.beside(namespace))
    }

    fn of(bed: Bed) -> Self {
        Self::with(bed, &[])
    }

    fn with(bed: Bed, values: &[&str]) -> Self {
        let site = Self { address: release::shared(bed.cluster, values), bed };
        // Whatever ran before.
        site.await_release();
        site
    }

    /// The pods of a component of the release, those that are ending included.
    pub fn pods(&self, component: &str) -> BTreeSet<String> {
        let pods = self.list(RELEASE, "Pod", &format!("app.kubernetes.io/component={component}"));
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The metrics of a pod of a release.
    pub fn scrape(&self, release: &str, pod: &str) -> String {
        self.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{release}/pods/{pod}:9090/proxy/metrics")])
    }

    /// Waits until the release is whole: as many pods as it asks for, all of them as it is now, and no other.
    pub fn await_release(&self) {
        for component in ["controller", "dataplane"] {
            let name = format!("moongate-{component}");
            let deployment = self.await_object_in(RELEASE, "Deployment", &name, "rolled out", rolled_out);
            let replicas = deployment["spec"]["replicas"].as_u64();
            until_slowly(PATIENCE, &format!("the end of other pods of {name}"), || match self.pods(component) {
                pods if Some(pods.len() as u64) == replicas => Ok(()),
                pods => Err(format!("{pods:?}")),
            });
        }
    }

    /// Settings of the release's MoongateConfig, for as long as what is returned lives.
    pub fn configure(&self, settings: &Value) -> Configured<'_> {
        self.patch("MoongateConfig", RELEASE, &json!({"spec": settings}));
        Configured { site: self, fields: settings.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect() }
    }

    /// Runs a Deployment of the backend behind a Service of the same name, and waits until it is ready.
    pub fn backend(&self, name: &str, replicas: usize) {
        self.apply(&backend(name, replicas, ""));
        self.await_rollout(name);
    }

    /// One request on a connection of its own.
    pub fn try_get(&self, host: &str, path: &str) -> Result<Response, String> {
        self.try_send(&request(host, path))
    }

    /// One request as it is given.
    pub fn try_send(&self, request: &str) -> Result<Response, String> {
        send(self.address, request)
    }

    /// Waits for a status of another release.
    pub fn await_status_at(&self, address: SocketAddr, host: &str, path: &str, status: u16) {
        self.await_answer_at(address, host, path, &format!("status {status}"), |answer| answer.status == status);
    }

    /// [`Site::await_answer`] of another release.
    pub fn await_answer_at(
        &self,
        address: SocketAddr,
        host: &str,
        path: &str,
        what: &str,
        wished: impl Fn(&Response) -> bool,
    ) {
        until_slowly(PATIENCE, &format!("{host}{path} at {address}: {what}"), || {
            let response = send(address, &request(host, path))?;
            if wished(&response) { Ok(()) } else { Err(format!("{response:?}")) }
        });
    }

    /// Waits until a GET is answered as wished.
    pub fn await_answer(&self, host: &str, path: &str, what: &str, wished: impl Fn(&Response) -> bool) -> Response {
        until_slowly(PATIENCE, &format!("{host}{path}: {what}"), || {
            let response = self.try_get(host, path)?;
            if wished(&response) { Ok(response) } else { Err(format!("{response:?}")) }
        })
    }

    /// Waits for a status.
    pub fn await_status(&self, host: &str, path: &str, status: u16) -> Response {
        self.await_answer(host, path, &format!("status {status}"), |response| response.status == status)
    }

    /// Waits for a status of every data plane: they take a change over at the same time, but not in the same instant.
    pub fn await_everywhere(&self, host: &str, path: &str, status: u16) {
        until_slowly(PATIENCE, &format!("{host}{path}: status {status} twenty times in a row"), || {
            (0..20).try_for_each(|_| match self.try_get(host, path)? {
                answer if answer.status == status => Ok(()),
                other => Err(format!("{other:?}")),
            })
        });
    }

    /// Waits for an Event about an Ingress that has this reason; all that kubectl shows about it.
    pub fn await_event(&self, ingress: &str, reason: &str) -> String {
        until_slowly(PATIENCE, &format!("an Event {reason} about {ingress}"), || {
            let events = self.kubectl(&["events", "--for", &format!("ingress/{ingress}")]);
            if events.contains(reason) { Ok(events) } else { Err(events) }
        })
    }

    /// A load of 200 requests a second.
    pub fn load(&self, host: &str, path: &str) -> Load {
        Load::start(self.address, host, path, 200)
    }

    /// Ends a load of which no request may have failed.
    pub fn assert_none_failed(&self, load: Load) -> load::Report {
        let report = load.stop();
        assert!(report.failed == 0 && report.answered > 0, "requests failed: {report:#?}");
        report
    }
}

/// Settings that are taken out again.
pub struct Configured<'a> {
    site: &'a Site,
    fields: Vec<String>,
}

impl Drop for Configured<'_> {
    fn drop(&mut self) {
        let none: serde_json::Map<String, Value> = self.fields.iter().map(|f| (f.clone(), Value::Null)).collect();
        self.site.patch("MoongateConfig", RELEASE, &json!({"spec": none}));
    }
}

/// A test that fails tells what the release is doing.
impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", release::state(self.cluster, RELEASE));
        }
    }
}

fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

fn send(address: SocketAddr, request: &str) -> Result<Response, String> {
    let mut client = Client::try_connect(address).map_err(|e| e.to_string())?;
    client.try_send(request.as_bytes()).map_err(|e| e.to_string())?;
    client.try_response("GET")
}

/// The objects of a backend; `variables` are entries of its environment, as YAML.
pub fn backend(name: &str, replicas: usize, variables: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: backend
        image: {BACKEND}
        env: [{variables}]
        # Pods that ask for nothing get nothing while others want the CPU.
        resources: {{requests: {{cpu: 10m}}}}
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1, timeoutSeconds: 5}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
"
    )
}

/// An Ingress of one host, all of whose paths lead to a Service; `more` are further lines of the metadata.
pub fn ingress(name: &str, host: &str, service: &str, more: &str) -> String {
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}{more}}}
spec:
  ingressClassName: moongate
  rules:
  - host: {host}
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}
"
    )
}

/// Whether an object's status says this of a condition, about its present generation.
pub fn is(object: &Value, condition: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter().any(|c| {
            c["type"] == condition
                && c["status"] == status
                && c["observedGeneration"] == object["metadata"]["generation"]
        })
    })
}
