//! `moongate controller` as a process beside the cluster: what it reads, who leads, what it keeps, and with which rights.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use e2e::cluster::Bed;
use e2e::process::Process;
use e2e::wait::until_slowly;
use e2e::{Client, moongate};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A Lease that its holder left without a word is free after 15 s.
const TAKEOVER: Duration = Duration::from_secs(40);

/// A controller for the test's namespace, in the network of the outside client.
pub(crate) struct Controller {
    pub(crate) process: Process,
    admin: SocketAddr,
    _logs: TempDir,
}

impl Controller {
    pub(crate) fn start(bed: &Bed, pod: &str, arguments: &[&str]) -> Self {
        let kubeconfig = bed.cluster.kubeconfig();
        Self::start_as(bed, pod, &kubeconfig, arguments)
    }

    fn start_as(bed: &Bed, pod: &str, kubeconfig: &std::path::Path, arguments: &[&str]) -> Self {
        let logs = tempfile::tempdir().expect("a directory of ours");
        let namespace = bed.namespace.as_str();
        let mut command = Command::new(moongate::binary());
        command.env("KUBECONFIG", kubeconfig).args(["controller", "--log-format=json", "--pod", pod]);
        command.args(["--namespace", namespace, "--watch-namespace", namespace, "--config", namespace]);
        command.args(["--ingress-class", namespace, "--controller-class", &class_controller(bed)]);
        command.args(["--admin=127.0.0.1:0", "--push=127.0.0.1:0"]).args(arguments);
        let mut process = Process::start(&mut command, logs.path(), pod);
        let listening = e2e::until("the line that says where it listens", || {
            assert!(process.ended().is_none(), "it ended:\n{}", process.log());
            let lines = process.log();
            let mut parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            parsed.find(|line| line["message"] == "listening").ok_or(lines)
        });
        let admin = listening["admin"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { process, admin, _logs: logs }
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let response = Client::connect(self.admin).get("admin", path);
        format!("{} {}", response.status, response.text())
    }

    fn await_ready(&self) {
        self.await_ready_within(e2e::cluster::bed::PATIENCE);
    }

    pub(crate) fn await_ready_within(&self, limit: Duration) {
        until_slowly(limit, "readiness", || match self.get("/ready") {
            ready if ready.starts_with("200") => Ok(()),
            other => Err(format!("{other}\n{}", self.process.log())),
        });
    }

    /// Waits until a line of the table's dump has all of these texts.
    fn await_table(&self, texts: &[&str]) {
        let has = |dump: &str| dump.lines().any(|line| texts.iter().all(|text| line.contains(text)));
        self.until(&format!("{texts:?} in the table"), |this| has(&this.get("/debug/table")));
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        until_slowly(e2e::cluster::bed::PATIENCE, what, || match holds(self) {
            true => Ok(()),
            false => Err(format!("{}\n{}\n{}", self.get("/ready"), self.get("/debug/table"), self.process.log())),
        });
    }
}

pub(crate) fn class_controller(bed: &Bed) -> String {
    format!("moongate.test/{}", bed.namespace)
}

pub(crate) fn install_definitions(bed: &Bed) {
    let mut apply = Command::new(moongate::binary());
    apply.args(["crds", "--apply"]).env("KUBECONFIG", bed.cluster.kubeconfig());
    let done = e2e::process::run(&mut apply);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

pub(crate) fn class(bed: &Bed, controller: &str) {
    let name = &bed.namespace;
    bed.apply(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: {controller}}}"
    ));
}

fn ingress(bed: &Bed, class: &str) {
    bed.apply(&format!(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop}}
spec:
  ingressClassName: {class}
  tls: [{{hosts: [shop.example.com], secretName: shop-tls}}]
  rules:
  - host: shop.example.com
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: shop, port: {{number: 80}}}}}}}}]}}
"
    ));
}

#[test]
fn what_changes_in_the_cluster_changes_in_the_table() {
    let Some(bed) = Bed::new("controller-table") else { return };
    install_definitions(&bed);
    class(&bed, &class_controller(&bed));
    ingress(&bed, &bed.namespace);
    let controller = Controller::start(&bed, "one", &["--publish-address=192.0.2.7"]);
    controller.await_ready();
    controller.await_table(&["route shop.example.com/", "503"]);
    bed.apply("apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{port: 80, name: http}]}");
    bed.apply(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.202.7.7]}]
",
    );
    controller.await_table(&["endpoints controller-table/shop:80", "10.202.7.7:8080"]);
    bed.await_object("Ingress", "shop", "with an address", |ingress| {
        ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.7"
    });
    // A certificate that comes late, in a Secret of any type; then it is renewed, then it is gone.
    let directory = tempfile::tempdir().unwrap();
    let pair = e2e::certificates::make(directory.path(), &["shop.example.com"]);
    let secret = |pair: &e2e::certificates::Certificate| {
        let data = json!({"tls.crt": pair.certificate, "tls.key": pair.key});
        let meta = json!({"name": "shop-tls"});
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta, "stringData": data})
            .to_string()
    };
    bed.apply(&secret(&pair));
    controller.await_table(&["certificate controller-table/shop-tls", "redacted"]);
    assert!(!controller.get("/debug/table").contains("PRIVATE KEY"), "a dump shows no key");
    let first_line = |pair: &e2e::certificates::Certificate| pair.certificate.lines().nth(3).unwrap().to_owned();
    controller.await_table(&["certificate", &first_line(&pair)]);
    let renewed = e2e::certificates::make(directory.path(), &["shop.example.com"]);
    bed.apply(&secret(&renewed));
    controller.await_table(&["certificate", &first_line(&renewed)]);
    // The class becomes another controller's, and ours again.
    bed.delete("IngressClass", &bed.namespace);
    controller.until("no route", |this| !this.get("/debug/table").contains("route shop"));
    class(&bed, &class_controller(&bed));
    controller.await_table(&["route shop.example.com/"]);
    bed.delete("IngressClass", &bed.namespace);
}

#[test]
fn lists_come_as_streams() {
    let Some(bed) = Bed::new("controller-streams") else { return };
    install_definitions(&bed);
    let server = || bed.kubectl(&["get", "--raw", "/metrics"]);
    // As the API server counts them: only controllers of these tests list within a namespace.
    let of_secrets = |metrics: &str| {
        let labels = ["resource=\"secrets\"", "scope=\"namespace\""];
        e2e::metrics::sum(metrics, "apiserver_watch_list_duration_seconds_count", &labels)
    };
    let before = of_secrets(&server());
    let controller = Controller::start(&bed, "one", &[]);
    controller.await_ready();
    let metrics = controller.get("/metrics");
    let lists =
        |how: &str| e2e::metrics::sum(&metrics, "moongate_controller_lists_total", &[&format!("how=\"{how}\"")]);
    assert!(lists("streamed") > 10.0 && lists("paged") == 0.0, "{metrics}\n{}", controller.process.log());
    assert!(of_secrets(&server()) >= before + 3.0, "three watches share the Secrets out");
}

#[test]
fn no_address_is_published_unless_it_is_wanted() {
    let Some(bed) = Bed::new("controller-quiet") else { return };
    install_definitions(&bed);
    class(&bed, &class_controller(&bed));
    ingress(&bed, &bed.namespace);
    let theirs = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.55"}]}}}).to_string();
    bed.kubectl(&["patch", "ingress", "shop", "--subresource=status", "--type=merge", "-p", &theirs]);
    let before = bed.get("Ingress", "shop").unwrap();
    let mut quiet = Controller::start(&bed, "quiet", &["--no-publish-status"]);
    quiet.await_ready();
    // Other statuses are written, and this one is due later than the Ingress's would be.
    bed.apply(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: late}\nspec: {phases: {log: return}}",
    );
    bed.await_object("LuaPlugin", "late", "with a status", |plugin| plugin["status"]["conditions"].is_array());
    let object = bed.get("Ingress", "shop").unwrap();
    assert_eq!(object["status"]["loadBalancer"]["ingress"], json!([{"ip": "192.0.2.55"}]));
    assert_eq!(object["metadata"]["managedFields"], before["metadata"]["managedFields"], "nobody wrote anything");
    quiet.process.signal("TERM");
    assert!(quiet.process.wait().success());
    let _loud = Controller::start(&bed, "loud", &["--publish-address=192.0.2.7"]);
    bed.await_object("Ingress", "shop", "with an address", |ingress| {
        ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.7"
    });
    bed.delete("IngressClass", &bed.namespace);
}

#[test]
fn one_leads_and_another_takes_over() {
    let Some(bed) = Bed::new("controller-lead") else { return };
    install_definitions(&bed);
    let holder = |bed: &Bed| -> (String, u64) {
        let lease = bed.get("Lease", "moongate-controller").unwrap_or_default();
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        (holder, lease["spec"]["leaseTransitions"].as_u64().unwrap_or_default())
    };
    let await_holder = |pod: &str, above: u64| {
        until_slowly(TAKEOVER, &format!("{pod} as the leader"), || match holder(&bed) {
            (name, term) if name.starts_with(&format!("{pod}_")) && term > above => Ok(term),
            other => Err(format!("{other:?}")),
        })
    };
    let leads = |controller: &Controller| {
        let metrics = controller.get("/metrics");
        metrics.lines().any(|line| line == "moongate_controller_leading 1")
    };
    let mut one = Controller::start(&bed, "one", &[]);
    let first = await_holder("one", 0);
    let two = Controller::start(&bed, "two", &[]);
    two.await_ready();
    one.until("that it leads", leads);
    assert!(!leads(&two), "only one leads");
    // Given up on the way out.
    one.process.signal("TERM");
    let second = await_holder("two", first);
    assert!(one.process.wait().success());
    two.until("that it leads", leads);
    // A Lease that is deleted goes on from the highest term; the old leader is one no more until it has it again.
    bed.delete("Lease", "moongate-controller");
    let third = await_holder("two", second);
    // Left without a word.
    let three = Controller::start(&bed, "three", &[]);
    two.process.signal("KILL");
    await_holder("three", third);
    three.until("that it leads", leads);
    // Taken away by another: it stops.
    bed.patch("Lease", "moongate-controller", &json!({"spec": {"holderIdentity": "other", "leaseTransitions": 100}}));
    three.until("that it leads no more", |this| !leads(this));
}

#[test]
fn the_ca_of_the_push_is_kept_and_trusted() {
    let Some(bed) = Bed::new("controller-ca") else { return };
    install_definitions(&bed);
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": bed.namespace},
        "webhooks": [{
            "name": "validate.moongate.dev", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore", "clientConfig": {"url": "https://192.0.2.1/validate"},
            "namespaceSelector": {"matchLabels": {"nothing": "has-this"}},
            "rules": [{"apiGroups": ["moongate.dev"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}]
        }]
    });
    bed.apply(&webhook.to_string());
    let controller = Controller::start(&bed, "one", &["--webhook-configuration", &bed.namespace]);
    let bundle = |map: &Value| map["data"]["ca.crt"].as_str().unwrap_or_default().to_owned();
    let map = bed.await_object("ConfigMap", "moongate-push-ca", "with a CA", |map| bundle(map).contains("CERTIFICATE"));
    bed.await_object("ValidatingWebhookConfiguration", &bed.namespace, "with a CA", |found| {
        found["webhooks"][0]["clientConfig"]["caBundle"].is_string()
    });
    controller.await_ready();
    // Another controller reads the same CA, and makes none of its own.
    let second = Controller::start(&bed, "two", &[]);
    second.await_ready();
    assert_eq!(bundle(&bed.get("ConfigMap", "moongate-push-ca").unwrap()), bundle(&map));
    // Emptied by somebody, it becomes what it was: nobody trusts another one.
    let secret = bed.get("Secret", "moongate-push-tls").unwrap();
    let nothing: serde_json::Map<String, Value> =
        secret["data"].as_object().unwrap().keys().map(|key| (key.clone(), json!("bm9uZQ=="))).collect();
    bed.patch("Secret", "moongate-push-tls", &json!({"data": nothing}));
    bed.await_object("Secret", "moongate-push-tls", "as it was", |found| found["data"] == secret["data"]);
    assert_eq!(bundle(&bed.get("ConfigMap", "moongate-push-ca").unwrap()), bundle(&map));
    bed.delete("ValidatingWebhookConfiguration", &bed.namespace);
}

#[test]
fn roles_of_a_namespace_suffice() {
    let Some(bed) = Bed::new("controller-roles") else { return };
    install_definitions(&bed);
    let directory = tempfile::tempdir().unwrap();
    let file = with_role(&bed, &directory, ROLE);
    let controller = Controller::start_as(&bed, "one", &file, &[]);
    controller.await_ready();
    // No IngressClass can be read: the class counts by its name.
    ingress(&bed, &bed.namespace);
    controller.await_table(&["route shop.example.com/"]);
    let log = controller.process.log();
    assert!(log.contains("going on without") && !log.contains("ERROR\",\"message\":\"it may not be read"), "{log}");
}

/// A kubeconfig of an account that has these rights.
fn with_role(bed: &Bed, directory: &TempDir, role: &str) -> PathBuf {
    bed.apply(role);
    let token = bed.kubectl(&["create", "token", "controller", "-n", &bed.namespace]);
    let file = directory.path().join("kubeconfig");
    let admin = std::fs::read_to_string(bed.cluster.kubeconfig()).unwrap();
    let users = admin.find("users:").unwrap();
    let contexts = admin.find("contexts:").unwrap();
    let user = format!("users:\n- name: moongate\n  user: {{token: {:?}}}\n", token.trim());
    std::fs::write(&file, format!("{}{user}{}", &admin[..users], &admin[contexts..])).unwrap();
    file
}

#[test]
fn whoever_cannot_serve_does_not_lead() {
    let Some(bed) = Bed::new("controller-unready") else { return };
    install_definitions(&bed);
    let directory = tempfile::tempdir().unwrap();
    // As after an upgrade without its rights.
    let blind = ROLE.replace("resources: [endpointslices]", "resources: [nothing]");
    assert_ne!(blind, ROLE);
    let file = with_role(&bed, &directory, &blind);
    let first = Controller::start_as(&bed, "blind", &file, &[]);
    first.until("that it waits", |this| this.get("/ready").contains("not everything is listed"));
    let second = Controller::start(&bed, "whole", &[]);
    let leads = |lease: &Value| lease["spec"]["holderIdentity"].as_str().is_some_and(|h| h.starts_with("whole_"));
    bed.await_object("Lease", "moongate-controller", "of the one that can serve", leads);
    assert!(!first.process.log().contains("leading"), "{}", first.process.log());
    drop(second);
    // With its rights it is one like the others.
    bed.apply(ROLE);
    first.await_ready();
    first.until("that it leads", |this| this.process.log().contains("leading"));
}

/// What the chart gives a controller for single namespaces, without its small ClusterRole.
const ROLE: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: controller}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: controller}
rules:
- {apiGroups: [""], resources: [services, secrets, configmaps], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}
- {apiGroups: [moongate.dev], resources: [luaplugins, luapluginbindings], verbs: [get, list, watch]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
- {apiGroups: [""], resources: [secrets, configmaps], verbs: [create, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: controller}
subjects: [{kind: ServiceAccount, name: controller}]
"#;
