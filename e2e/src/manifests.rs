//! A directory of manifests, and the objects that tests put into it.

use std::path::Path;

use tempfile::TempDir;

/// The namespace of all objects that this module makes.
pub const NAMESPACE: &str = "shop";

/// A directory that is removed with its handle.
pub struct Manifests {
    directory: TempDir,
    logs: TempDir,
}

impl Default for Manifests {
    fn default() -> Self {
        Self::new()
    }
}

impl Manifests {
    /// An empty directory.
    pub fn new() -> Self {
        let make = || tempfile::Builder::new().prefix("moongate-e2e-").tempdir().expect("a temporary directory");
        Self { directory: make(), logs: make() }
    }

    /// One with a file of these documents.
    pub fn of(documents: &[String]) -> Self {
        let manifests = Self::new();
        manifests.write("all.yaml", &documents.join("---\n"));
        manifests
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where logs and other files of a test go: not among the manifests.
    pub fn logs(&self) -> &Path {
        self.logs.path()
    }

    /// Writes a file as an editor does: beside it first, then in its place.
    pub fn write(&self, name: &str, text: &str) {
        let beside = self.logs.path().join(format!("{name}.new"));
        std::fs::write(&beside, text).expect("the directory is ours");
        // Both are in the system's temporary directory, so it is one file system.
        std::fs::rename(&beside, self.path().join(name)).expect("the directory is ours");
    }

    /// Writes a file in its place, as a shell's `>` does.
    pub fn write_in_place(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("the directory is ours");
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).expect("the file is there");
    }
}

/// A Service `name` with port 80, and a slice with these loopback ports.
pub fn service(name: &str, ports: &[u16]) -> String {
    service_of(name, "", ports)
}

/// The same with an `appProtocol`.
pub fn service_of(name: &str, protocol: &str, ports: &[u16]) -> String {
    let protocol = if protocol.is_empty() { String::new() } else { format!("\n    appProtocol: {protocol}") };
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  ports:
  - name: http
    port: 80{protocol}
"
    );
    // A slice has one port for all of its addresses, so each of ours is a slice.
    for (number, port) in ports.iter().enumerate() {
        text += &format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-{number}
  namespace: {NAMESPACE}
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
endpoints:
- addresses: [127.0.0.1]
ports:
- name: http
  port: {port}
",
        );
    }
    text
}

/// An Ingress `name` with one host and one Prefix path; `extra` is put into `metadata.annotations` (one a line).
pub fn ingress(name: &str, host: &str, path: &str, service: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: String = annotations.iter().map(|(key, value)| format!("    {key}: {value:?}\n")).collect();
    let annotations = if annotations.is_empty() { String::new() } else { format!("  annotations:\n{annotations}") };
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  namespace: {NAMESPACE}
{annotations}spec:
  ingressClassName: moongate
  rules:
  - host: {host}
    http:
      paths:
      - path: {path}
        pathType: Prefix
        backend: {{service: {{name: {service}, port: {{number: 80}}}}}}
"
    )
}

/// An Ingress of [`ingress`] with TLS from a Secret.
pub fn ingress_tls(name: &str, host: &str, service: &str, secret: &str) -> String {
    let plain = ingress(name, host, "/", service, &[("nginx.ingress.kubernetes.io/ssl-redirect", "false")]);
    format!("{plain}  tls:\n  - hosts: [{host}]\n    secretName: {secret}\n")
}

/// A LuaPlugin with these phases; further lines of its spec in `spec`.
pub fn plugin(name: &str, phases: &[(&str, &str)], spec: &str) -> String {
    let mut text = format!(
        "apiVersion: moongate.dev/v1alpha1
kind: LuaPlugin
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
{}  phases:
",
        indent(spec, 2)
    );
    for (phase, script) in phases {
        text += &format!("    {phase}: |\n{}", indent(script, 6));
    }
    text
}

/// A LuaPluginBinding of a LuaPlugin to a target and with a config, both as YAML in flow style.
pub fn binding(name: &str, plugin: &str, target: &str, config: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1
kind: LuaPluginBinding
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec: {{pluginRef: {{name: {plugin}}}, targetRefs: [{target}], config: {config}}}
"
    )
}

/// A plugin of the platform, from one of [`plugin`].
pub fn of_cluster(plugin: &str) -> String {
    plugin.replace("kind: LuaPlugin", "kind: ClusterLuaPlugin").replace(&format!(", namespace: {NAMESPACE}"), "")
}

/// A ClusterLuaPluginBinding of a ClusterLuaPlugin to the class `moongate`, with a config as YAML in flow style.
pub fn class_binding(name: &str, plugin: &str, config: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1
kind: ClusterLuaPluginBinding
metadata: {{name: {name}}}
spec:
  pluginRef: {{kind: ClusterLuaPlugin, name: {plugin}}}
  targetRefs: [{{group: networking.k8s.io, kind: IngressClass, name: moongate}}]
  config: {config}
"
    )
}

/// A MoongateConfig with these lines as its spec.
pub fn config(spec: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: MoongateConfig\nmetadata: {{name: moongate}}\nspec:\n{}",
        indent(spec, 2)
    )
}

/// A TLS Secret with PEM texts.
pub fn secret(name: &str, certificate: &str, key: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {NAMESPACE}}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{}  tls.key: |
{}",
        indent(certificate, 4),
        indent(key, 4)
    )
}

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}
