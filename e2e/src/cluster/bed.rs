//! A test's own namespace in the cluster, and its client of the API server.

use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{BUSYBOX, Cluster};
use crate::wait::until_slowly;

/// Nothing that works takes this long: pods start, on a machine that builds something else at the same time too.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Kinds that tests use: kind, group, version, plural, whether objects are in a namespace.
const KINDS: [(&str, &str, &str, &str, bool); 30] = [
    ("Namespace", "", "v1", "namespaces", false),
    ("Node", "", "v1", "nodes", false),
    ("Pod", "", "v1", "pods", true),
    ("Service", "", "v1", "services", true),
    ("Secret", "", "v1", "secrets", true),
    ("ConfigMap", "", "v1", "configmaps", true),
    ("ServiceAccount", "", "v1", "serviceaccounts", true),
    ("Event", "", "v1", "events", true),
    ("Deployment", "apps", "v1", "deployments", true),
    ("DaemonSet", "apps", "v1", "daemonsets", true),
    ("Job", "batch", "v1", "jobs", true),
    ("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices", true),
    ("Ingress", "networking.k8s.io", "v1", "ingresses", true),
    ("IngressClass", "networking.k8s.io", "v1", "ingressclasses", false),
    ("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", true),
    ("Lease", "coordination.k8s.io", "v1", "leases", true),
    ("Role", "rbac.authorization.k8s.io", "v1", "roles", true),
    ("RoleBinding", "rbac.authorization.k8s.io", "v1", "rolebindings", true),
    ("ClusterRole", "rbac.authorization.k8s.io", "v1", "clusterroles", false),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io", "v1", "clusterrolebindings", false),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", false),
    ("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions", false),
    ("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", true),
    ("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers", true),
    ("Certificate", "cert-manager.io", "v1", "certificates", true),
    ("LuaPlugin", "moongate.dev", "v1alpha1", "luaplugins", true),
    ("LuaPluginBinding", "moongate.dev", "v1alpha1", "luapluginbindings", true),
    ("ClusterLuaPlugin", "moongate.dev", "v1alpha1", "clusterluaplugins", false),
    ("ClusterLuaPluginBinding", "moongate.dev", "v1alpha1", "clusterluapluginbindings", false),
    ("MoongateConfig", "moongate.dev", "v1alpha1", "moongateconfigs", false),
];

/// A namespace of a test, removed with it; the test's thread is in the network of the client outside of the cluster.
pub struct Bed {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// The namespace.
    pub namespace: String,
    /// A client of the API server, as an administrator; for use within [`Bed::block`].
    pub client: Client,
    runtime: tokio::runtime::Runtime,
    _turn: Turn,
}

/// Tests run at the same time, but for those that end parts of the cluster: each has it for itself.
static USE: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "held, never looked at")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
    /// As long as another bed of the same test.
    Beside,
}

impl Bed {
    /// Makes a namespace in the shared cluster; `None` where no cluster can be had, which is then said.
    pub fn new(namespace: &str) -> Option<Self> {
        let turn = || Turn::Shared(USE.read().unwrap_or_else(PoisonError::into_inner));
        super::shared().map(|cluster| Self::of(cluster, namespace, turn()))
    }

    /// [`Bed::new`] for a test that ends parts of the cluster or of Moongate: no other runs meanwhile.
    pub fn alone(namespace: &str) -> Option<Self> {
        super::shared().map(|cluster| Self::alone_in(cluster, namespace))
    }

    /// [`Bed::alone`] in a cluster of the test binary's own.
    pub fn alone_in(cluster: &'static Cluster, namespace: &str) -> Self {
        Self::of(cluster, namespace, Turn::Alone(USE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// A second namespace of the same test; it has to be dropped first.
    pub fn beside(&self, namespace: &str) -> Self {
        Self::of(self.cluster, namespace, Turn::Beside)
    }

    fn of(cluster: &'static Cluster, namespace: &str, turn: Turn) -> Self {
        cluster.client.enter().unwrap_or_else(|e| panic!("{e:?}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = runtime.block_on(client(&cluster.kubeconfig())).unwrap_or_else(|e| panic!("{e:?}"));
        let bed = Self { cluster, namespace: namespace.to_owned(), client, runtime, _turn: turn };
        bed.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}"));
        bed
    }

    /// Runs a future to its end.
    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The API of a kind in the test's namespace, or of the cluster's objects.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        self.api_in(&self.namespace, kind)
    }

    /// The API of a kind in a namespace.
    pub fn api_in(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        let known = KINDS.iter().find(|(name, ..)| *name == kind);
        let (_, group, version, plural, namespaced) = *known.unwrap_or_else(|| panic!("KINDS lacks {kind}"));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        match namespaced {
            true => Api::namespaced_with(self.client.clone(), namespace, &resource),
            false => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Applies objects, server-side; an object without a namespace is the test's.
    pub fn try_apply(&self, yaml: &str) -> Result<(), String> {
        for value in documents(yaml) {
            let object: DynamicObject = serde_json::from_value(value).map_err(|e| format!("{e}: {yaml}"))?;
            let kind = object.types.as_ref().map(|t| t.kind.clone()).unwrap_or_default();
            let name = object.metadata.name.clone().unwrap_or_default();
            let api = self.api_in(object.metadata.namespace.as_ref().unwrap_or(&self.namespace), &kind);
            let parameters = PatchParams::apply("e2e").force();
            let applied = self.block(api.patch(&name, &parameters, &Patch::Apply(&object)));
            applied.map_err(|e| format!("{kind} {name}: {e}"))?;
        }
        Ok(())
    }

    /// [`Bed::try_apply`] of what must be accepted.
    pub fn apply(&self, yaml: &str) {
        self.try_apply(yaml).unwrap_or_else(|e| panic!("{e}"));
    }

    /// An object, if it is there.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.look(&self.namespace, kind, name).unwrap_or_else(|e| panic!("{kind} {name}: {e}"))
    }

    /// An object of some namespace, if it is there, or why nobody can tell.
    pub fn look(&self, namespace: &str, kind: &str, name: &str) -> Result<Option<Value>, String> {
        let found = self.block(self.api_in(namespace, kind).get_opt(name)).map_err(|e| e.to_string())?;
        Ok(found.map(|object| serde_json::to_value(object).expect("an object is JSON")))
    }

    /// All objects of a kind, of the namespace or of the cluster, with these labels (`a=b,c=d`).
    pub fn list(&self, namespace: &str, kind: &str, labels: &str) -> Vec<Value> {
        let listed = self.block(self.api_in(namespace, kind).list(&ListParams::default().labels(labels)));
        let listed = listed.unwrap_or_else(|e| panic!("{kind}: {e}"));
        listed.items.into_iter().map(|object| serde_json::to_value(object).expect("an object is JSON")).collect()
    }

    /// Deletes an object, which may be gone already.
    pub fn delete(&self, kind: &str, name: &str) {
        self.delete_in(&self.namespace, kind, name);
    }

    /// Deletes an object of some namespace.
    pub fn delete_in(&self, namespace: &str, kind: &str, name: &str) {
        match self.block(self.api_in(namespace, kind).delete(name, &DeleteParams::default())) {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other.unwrap_or_else(|e| panic!("{kind} {name}: {e}"))),
        }
    }

    /// Merges a patch into an object.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let patched = self.block(self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)));
        patched.unwrap_or_else(|e| panic!("{kind} {name}: {e}"));
    }

    /// Waits until an object is as wished.
    pub fn await_object(&self, kind: &str, name: &str, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        self.await_object_in(&self.namespace, kind, name, what, wished)
    }

    /// [`Bed::await_object`] in some namespace.
    pub fn await_object_in(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        what: &str,
        wished: impl Fn(&Value) -> bool,
    ) -> Value {
        until_slowly(PATIENCE, &format!("{kind} {name}: {what}"), || {
            let object = self.look(namespace, kind, name)?.ok_or("it is not there")?;
            if wished(&object) { Ok(object) } else { Err(object["status"].to_string()) }
        })
    }

    /// Waits until a Deployment has rolled out what it says now.
    pub fn await_rollout(&self, name: &str) {
        self.await_object("Deployment", name, "rolled out", rolled_out);
    }

    /// Runs a command in a pod with a shell and its tools, to its end; what it printed.
    pub fn run(&self, name: &str, command: &[&str]) -> String {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": BUSYBOX, "command": command}]},
        });
        self.apply(&pod.to_string());
        let ended = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        self.await_object("Pod", name, "ended", ended);
        let said = self.kubectl(&["logs", name]);
        self.delete("Pod", name);
        said
    }

    /// kubectl in the test's namespace; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let arguments = [&["-n", &self.namespace], arguments].concat();
        self.cluster.kubectl(&arguments).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Its pods would cost the tests that follow; nobody waits for the end, and the API server may be away.
        let api = self.api("Namespace");
        let deleted = async {
            tokio::time::timeout(Duration::from_secs(5), api.delete(&self.namespace, &DeleteParams::default())).await
        };
        let _ = self.block(deleted);
    }
}

/// Whether a Deployment's pods are all of its present template and ready.
pub fn rolled_out(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let wished = &deployment["spec"]["replicas"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].iter().all(|f| status[f] == *wished)
}

/// A client by a kubeconfig.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap_or_else(|e| panic!("{e}:\n{yaml}"))
}
