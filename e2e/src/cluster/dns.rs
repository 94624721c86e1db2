//! The cluster's DNS: CoreDNS on the first node, behind the Service that pods are told to ask.

use std::path::Path;

use super::part::Part;
use super::pki::Pki;
use super::sandbox::Holder;
use super::tools::Tools;
use super::{DNS, NODE_ADDRESS};

/// Starts CoreDNS; the API server is there.
pub fn start(node: &'static Holder, tools: &Tools, pki: &Pki, state: &Path) -> anyhow::Result<Part> {
    let corefile = state.join("Corefile");
    std::fs::write(
        &corefile,
        format!(
            ".:53 {{
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {}
        ttl 1
    }}
}}
",
            pki.file("coredns.kubeconfig")
        ),
    )?;
    let program = tools.path("coredns");
    Part::start("coredns", state, move || {
        let mut command = node.command(&program);
        command.arg("-conf").arg(&corefile);
        command
    })
}

/// The Service that leads to it.
pub fn objects() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {DNS}
  ports:
  - {{name: dns, port: 53, protocol: UDP}}
  - {{name: dns-tcp, port: 53, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: [{}]}}]
ports:
- {{name: dns, port: 53, protocol: UDP}}
- {{name: dns-tcp, port: 53, protocol: TCP}}
",
        NODE_ADDRESS[0]
    )
}
