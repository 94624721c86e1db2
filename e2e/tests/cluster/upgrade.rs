//! Upgrade, rollback and the end of a release, by Helm.

use e2e::cluster::bed::rolled_out;
use e2e::cluster::release::{RELEASE, upgrade};
use e2e::cluster::site::{Site, ingress};

#[test]
fn an_upgrade_and_its_rollback_under_load() {
    let Some(site) = Site::alone("upgrade") else { return };
    site.backend("web", 2);
    site.apply(&ingress("web", "upgrade.test", "web", ""));
    site.await_everywhere("upgrade.test", "/", 200);
    // The Job before an upgrade brings the definitions up to date: here, one without its columns.
    let columns = "/spec/versions/0/additionalPrinterColumns";
    let patch = format!(r#"[{{"op": "remove", "path": "{columns}"}}]"#);
    let name = "luaplugins.moongate.dev";
    site.cluster.kubectl(&["patch", "crd", name, "--type=json", "-p", &patch]).unwrap_or_else(|e| panic!("{e}"));
    let load = site.load("upgrade.test", "/");
    load.await_answers(100);
    let values = ["logFormat=json", "controller.podAnnotations.round=second", "dataplane.podAnnotations.round=second"];
    upgrade(site.cluster, RELEASE, &values).unwrap_or_else(|e| panic!("{e}"));
    load.await_answers(100);
    site.await_object("CustomResourceDefinition", name, "with its columns", |crd| {
        crd["spec"]["versions"][0]["additionalPrinterColumns"].is_array()
    });
    let said = site.cluster.helm(&["rollback", RELEASE, "1", "--namespace", RELEASE, "--wait", "--timeout=230s"]);
    said.unwrap_or_else(|e| panic!("{e}"));
    for name in ["moongate-controller", "moongate-dataplane"] {
        let deployment = site.await_object_in(RELEASE, "Deployment", name, "rolled out", rolled_out);
        assert_eq!(deployment["spec"]["template"]["metadata"]["annotations"]["round"], serde_json::Value::Null);
    }
    load.await_answers(100);
    site.assert_none_failed(load);
    site.apply(&ingress("after", "after.upgrade.test", "web", ""));
    site.await_status("after.upgrade.test", "/", 200);
}
