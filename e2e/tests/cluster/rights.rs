//! What Moongate and its tenants may do, and may not.

use std::collections::BTreeSet;

use e2e::cluster::bed::{PATIENCE, rolled_out};
use e2e::cluster::release::{Own, RELEASE};
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;

/// Lines of `kubectl auth can-i --list`: resource and verbs. What every account may do is left out.
pub(crate) fn rights(site: &Site, account: &str, namespace: &str) -> BTreeSet<(String, String)> {
    let account = format!("--as=system:serviceaccount:{account}");
    let groups = ["--as-group=system:serviceaccounts", "--as-group=system:authenticated"];
    let said = site.cluster.kubectl(&["auth", "can-i", "--list", "-n", namespace, &account, groups[0], groups[1]]);
    let said = said.unwrap_or_else(|e| panic!("{e}"));
    let lines = said.lines().skip(1).filter_map(|line| {
        let resource = line.split_whitespace().next()?.to_owned();
        let verbs = line.rsplit('[').next()?.trim_end_matches(']').to_owned();
        (!resource.starts_with('[') && !resource.starts_with("self")).then_some((resource, verbs))
    });
    lines.collect()
}

#[test]
fn a_data_plane_may_do_nothing() {
    let Some(site) = Site::new("rights-dataplane") else { return };
    for namespace in [RELEASE, "kube-system", &site.namespace] {
        assert_eq!(rights(&site, "moongate:moongate-dataplane", namespace), BTreeSet::new(), "in {namespace}");
    }
}

#[test]
fn a_controller_writes_no_more_than_what_it_owns() {
    let Some(site) = Site::new("rights-controller") else { return };
    /// What it may change outside of its own namespace.
    const WRITES: [&str; 9] = [
        "ingresses.networking.k8s.io/status",
        "luaplugins.moongate.dev/status",
        "luapluginbindings.moongate.dev/status",
        "clusterluaplugins.moongate.dev/status",
        "clusterluapluginbindings.moongate.dev/status",
        "moongateconfigs.moongate.dev/status",
        "events.events.k8s.io",
        "tokenreviews.authentication.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    ];
    let reads = ["get", "list", "watch", ""];
    for (resource, verbs) in rights(&site, "moongate:moongate-controller", "rights-controller") {
        let writes: Vec<&str> = verbs.split(' ').filter(|verb| !reads.contains(verb)).collect();
        assert!(!verbs.contains('*') && !resource.contains('*'), "{resource}: {verbs}");
        assert!(writes.is_empty() || WRITES.contains(&resource.as_str()), "{resource}: {writes:?}");
        for never in ["delete", "deletecollection", "impersonate", "escalate", "bind"] {
            assert!(!writes.contains(&never), "{resource}: {never}");
        }
    }
    for (verb, what) in [
        ("create", "pods"),
        ("get", "pods/exec"),
        ("create", "serviceaccounts/token"),
        ("update", "secrets"),
        ("patch", "deployments.apps"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("update", "luaplugins.moongate.dev"),
    ] {
        let account = format!("--as=system:serviceaccount:{RELEASE}:moongate-controller");
        let said = site.cluster.kubectl(&["auth", "can-i", verb, what, "-n", "kube-system", &account]);
        assert!(said.is_err_and(|e| e.to_string().contains("exit status: 1")), "{verb} {what}");
    }
    for role in ["edit", "admin", "view"] {
        let role = site.get("ClusterRole", role).unwrap();
        assert!(!role["rules"].to_string().contains("moongate.dev"), "no role of tenants gains rights: {role}");
    }
}

#[test]
fn roles_of_two_namespaces_are_all_that_a_scoped_release_needs() {
    const OWN: &str = "scoped-moongate";
    const VALUES: [&str; 10] = [
        "controller.scope.enabled=true",
        "controller.scope.namespaces={scoped}",
        "controller.ingressClassResource.enabled=false",
        "controller.ingressClassResource.name=scoped",
        "controller.admissionWebhooks.enabled=false",
        "controller.replicaCount=1",
        "dataplane.replicaCount=1",
        "rbac.scope=true",
        "plugins.install=false",
        "crds.upgrade.enabled=false",
    ];
    let Some(site) = Site::new("scoped") else { return };
    let release = Own::new(site.cluster, OWN);
    release.begin(&VALUES);
    let controller = format!("{OWN}-controller");
    site.await_object_in(OWN, "Deployment", &controller, "ready", rolled_out);
    let account = format!("{OWN}:{controller}");
    for nothing in ["kube-system", RELEASE] {
        assert_eq!(rights(&site, &account, nothing), BTreeSet::new(), "in {nothing}");
    }
    assert!(rights(&site, &account, "scoped").iter().any(|(resource, _)| resource == "secrets"));
    // Who a data plane is only the cluster's administrator can let it ask, as the README says.
    let binding = format!("--serviceaccount={account}");
    site.kubectl(&["create", "clusterrolebinding", OWN, "--clusterrole=system:auth-delegator", &binding]);
    site.await_object_in(OWN, "Deployment", &format!("{OWN}-dataplane"), "ready", rolled_out);
    let at = e2e::cluster::release::address(site.cluster, OWN).unwrap();
    let of_class = |host: &str| ingress("web", host, "web", "").replace("Name: moongate", "Name: scoped");
    let outside = site.beside("unscoped");
    for (site, host) in [(&outside, "unscoped.test"), (&site, "scoped.test")] {
        site.backend("web", 1);
        site.apply(&of_class(host));
    }
    site.await_status_at(at, "scoped.test", "/", 200);
    site.await_object("Ingress", "web", "with an address", |i| {
        i["status"]["loadBalancer"]["ingress"][0]["ip"] == at.ip().to_string()
    });
    site.await_status_at(at, "unscoped.test", "/", 404);
    site.delete("ClusterRoleBinding", OWN);
}

#[test]
fn a_pod_with_a_token_of_its_own_gets_no_table() {
    let Some(site) = Site::new("rights-push") else { return };
    // Any pod may have a token with any audience: the account is what counts.
    site.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: thief}}
spec:
  restartPolicy: Never
  containers:
  - name: thief
    image: {image}
    args: [dataplane, --controller=moongate-controller-headless.{RELEASE}.svc:8444, --ca=/ca/ca.crt, --token=/token/token, --admin=0.0.0.0:9090, --http=0.0.0.0:8080, --https=0.0.0.0:8443]
    volumeMounts: [{{name: token, mountPath: /token}}, {{name: ca, mountPath: /ca}}]
  volumes:
  - name: token
    projected: {{sources: [{{serviceAccountToken: {{path: token, audience: moongate-controller}}}}]}}
  - name: ca
    configMap: {{name: stolen}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: stolen}}
data: {{ca.crt: {ca}}}
",
        image = e2e::cluster::MOONGATE,
        ca = site.look(RELEASE, "ConfigMap", "moongate-push-ca").unwrap().unwrap()["data"]["ca.crt"],
    ));
    let why = "it is of system:serviceaccount:rights-push:default, which is not a data planes' ServiceAccount";
    let log = until_slowly(PATIENCE, "a refusal in the pod's log", || {
        let log = site.cluster.kubectl(&["-n", &site.namespace, "logs", "thief"]).map_err(|e| e.to_string())?;
        let refused = format!("the controller answers 401 Unauthorized: the token is refused: {why}");
        if log.contains(&refused) { Ok(log) } else { Err(log) }
    });
    assert!(!log.contains("a controller leads"), "{log}");
    let controllers = ["-n", RELEASE, "logs", "-l", "app.kubernetes.io/component=controller", "--tail=-1"];
    let log = site.cluster.kubectl(&controllers).unwrap_or_else(|e| panic!("{e}"));
    assert!(log.contains(&format!("the token is refused: {why}")), "{log}");
    let pod = site.get("Pod", "thief").unwrap();
    let address = pod["status"]["podIP"].as_str().unwrap();
    let ready = e2e::curl(&[&format!("http://{address}:9090/ready")]);
    assert_eq!(ready.status, 503, "it has no table: {ready:?}");
}
