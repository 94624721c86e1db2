//! Certificates by cert-manager: issued, trusted by data planes and the API server, and rotated with their CA.

use std::net::SocketAddr;
use std::process::Command;

use e2e::Manifests;
use e2e::certificates::s_client;
use e2e::cluster::bed::{PATIENCE, rolled_out};
use e2e::cluster::release::Own;
use e2e::cluster::site::{Site, ingress};
use e2e::process::Process;
use e2e::wait::until_slowly;
use serde_json::{Value, json};

const OWN: &str = "certified-moongate";
const VALUES: [&str; 8] = [
    "certManager.enabled=true",
    "controller.ingressClassResource.name=certified",
    "controller.ingressClassResource.controllerValue=moongate.test/certified",
    // Nothing is let in unless the API server trusts the webhook.
    "controller.admissionWebhooks.failurePolicy=Fail",
    r"controller.admissionWebhooks.namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=certified",
    "controller.replicaCount=1",
    "dataplane.replicaCount=1",
    "plugins.install=false",
];

/// cert-manager as a process beside the cluster; a test that fails tells what it logged.
struct CertManager {
    process: Process,
    _logs: Manifests,
}

impl Drop for CertManager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.process.log());
        }
    }
}

/// cert-manager, and the kinds that it knows.
fn start(site: &Site) -> CertManager {
    let logs = Manifests::new();
    let definitions = site.cluster.tools.path("cert-manager.yaml").display().to_string();
    site.kubectl(&["apply", "--server-side", "-f", &definitions]);
    site.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", &definitions]);
    let mut command = Command::new(site.cluster.tools.path("cert-manager"));
    let process = Process::start(command.arg(site.cluster.kubeconfig()), logs.logs(), "cert-manager");
    CertManager { process, _logs: logs }
}

/// What kubectl makes of an object by a Go template; never nothing.
fn told(site: &Site, object: &[&str], template: &str) -> Result<String, String> {
    let output = format!("go-template={{{{{template} | base64decode}}}}");
    let said = site.cluster.kubectl(&[&["-n", OWN, "get"], object, &["-o", &output]].concat());
    said.map_err(|e| e.to_string()).and_then(|said| if said.is_empty() { Err("it is empty".into()) } else { Ok(said) })
}

/// A field of the Secret that a Certificate's key pair is in.
fn issued(site: &Site, name: &str, field: &str) -> Result<String, String> {
    told(site, &["secret", &format!("{OWN}-{name}")], &format!("index .data \"{field}\""))
}

/// What `cmctl renew` does, and a wait for what comes of it.
fn renew(site: &Site, certificate: &str, secret: &str) {
    let before = issued(site, secret, "tls.crt").unwrap();
    let name = format!("{OWN}-{certificate}");
    let seen = site.look(OWN, "Certificate", &name).unwrap().unwrap();
    let mut conditions = seen["status"]["conditions"].as_array().unwrap().clone();
    conditions.push(json!({
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "",
        "lastTransitionTime": seen["metadata"]["creationTimestamp"], "observedGeneration": seen["metadata"]["generation"],
    }));
    let patch = json!({"status": {"conditions": conditions}}).to_string();
    let arguments = ["-n", OWN, "patch", "certificate", &name, "--subresource=status", "--type=merge", "-p", &patch];
    site.cluster.kubectl(&arguments).unwrap_or_else(|e| panic!("{e}"));
    until_slowly(PATIENCE, &format!("a new {certificate}"), || match issued(site, secret, "tls.crt")? {
        same if same == before => Err("it is the old one".into()),
        _ => Ok(()),
    });
}

/// Waits until the API server trusts the webhook by the CA that is in the Secret now.
fn await_trusted_webhook(site: &Site, plugin: &str) {
    until_slowly(PATIENCE, "the CA in the webhook's configuration", || {
        let bundle = told(site, &["validatingwebhookconfiguration", OWN], "(index .webhooks 0).clientConfig.caBundle")?;
        let wished = issued(site, "serving-tls", "ca.crt")?;
        // cert-manager leaves CAs that were there before beside it, as long as they are valid.
        if bundle.contains(wished.trim()) { Ok(()) } else { Err(format!("{wished} is not in {bundle}")) }
    });
    until_slowly(PATIENCE, "what the webhook lets in", || {
        site.try_apply(&format!(
            "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: {plugin}}}\nspec: {{phases: {{log: return}}}}"
        ))
    });
}

fn controller(site: &Site) -> Result<Value, String> {
    let pods = site.list(OWN, "Pod", "app.kubernetes.io/component=controller");
    let running = pods.into_iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    running.ok_or("no controller".into())
}

/// Waits until the controller serves the push with the certificate that is in the Secret now.
fn await_served(site: &Site) {
    until_slowly(PATIENCE, "the new certificate at the push", || {
        let address = controller(site)?["status"]["podIP"].as_str().ok_or("no address")?.to_owned();
        let address: SocketAddr = format!("{address}:8444").parse().map_err(|e| format!("{e}"))?;
        let served = s_client(address, "moongate-controller.push.moongate.dev", &["-showcerts"]);
        let wished = issued(site, "serving-tls", "tls.crt")?;
        let line = wished.lines().nth(3).ok_or("no certificate")?;
        if served.contains(line) { Ok(()) } else { Err(served) }
    });
}

#[test]
fn cert_manager_issues_and_rotates_what_a_release_serves() {
    let Some(site) = Site::new("certified") else { return };
    let _cert_manager = start(&site);
    let release = Own::new(site.cluster, OWN);
    let at = release.install(&VALUES);
    site.backend("web", 1);
    let serve = |name: &str| {
        let host = format!("{name}.certified.test");
        let object = ingress(name, &host, "web", "").replace("Name: moongate", "Name: certified");
        until_slowly(PATIENCE, "what the webhook lets in", || site.try_apply(&object));
        site.await_status_at(at, &host, "/", 200);
    };
    await_trusted_webhook(&site, "first");
    serve("first");
    let no_own = ["Secret", "ConfigMap"]
        .map(|kind| site.list(OWN, kind, "").into_iter().map(|o| o["metadata"]["name"].to_string()));
    let no_own: Vec<String> = no_own.into_iter().flatten().filter(|name| name.contains("push")).collect();
    assert!(no_own.is_empty(), "the controller makes no CA of its own: {no_own:?}");

    renew(&site, "ca", "ca");
    let old = issued(&site, "serving-tls", "ca.crt").unwrap();
    renew(&site, "serving", "serving-tls");
    assert_ne!(issued(&site, "serving-tls", "ca.crt").unwrap(), old, "it is of the new CA");
    await_served(&site);
    await_trusted_webhook(&site, "second");
    // A new controller: the data plane has to trust what it shows.
    let pod = controller(&site).unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
    site.delete_in(OWN, "Pod", &pod);
    site.await_object_in(OWN, "Deployment", &format!("{OWN}-controller"), "ready", rolled_out);
    serve("second");
}
