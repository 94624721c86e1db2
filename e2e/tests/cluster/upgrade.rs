//! Upgrade, rollback and the end of a release, by Helm.

use std::process::Command;

use e2e::cluster::bed::rolled_out;
use e2e::cluster::image;
use e2e::cluster::release::{Own, RELEASE, upgrade};
use e2e::cluster::site::{Site, ingress};
use e2e::process::run;
use e2e::{Load, moongate, tidy};

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

/// The release as it is by default, when this is dropped.
struct Autoscaled<'a>(&'a Site);

impl Drop for Autoscaled<'_> {
    fn drop(&mut self) {
        let _ = upgrade(self.0.cluster, RELEASE, &[]);
    }
}

#[test]
fn switching_autoscaling_on_ends_no_data_plane() {
    let Some(site) = Site::alone("autoscaled") else { return };
    let before = site.pods("dataplane");
    let _autoscaled = Autoscaled(&site);
    // One would be enough for it, and it knows no load here: it is not what keeps the number.
    let values = ["dataplane.autoscaling.enabled=true", "dataplane.autoscaling.minReplicas=1"];
    upgrade(site.cluster, RELEASE, &values).unwrap_or_else(|e| panic!("{e}"));
    let scaler = site.look(RELEASE, "HorizontalPodAutoscaler", "moongate-dataplane").unwrap().unwrap();
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "moongate-dataplane");
    let deployment = site.look(RELEASE, "Deployment", "moongate-dataplane").unwrap().unwrap();
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(site.pods("dataplane"), before);
}

/// What an earlier version did not have: a field of a LuaPlugin.
const LATER: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/variables";
const OLDER: &str = "moongate.test/moongate:0";
const VALUES: [&str; 5] = [
    "controller.ingressClassResource.name=older",
    "controller.ingressClassResource.controllerValue=moongate.test/older",
    "controller.admissionWebhooks.enabled=false",
    "plugins.install=false",
    "controller.replicaCount=1",
];

/// The chart under an earlier number, which its image has as its tag.
fn older_chart(site: &Site) -> String {
    let folder = site.cluster.sandbox.state.join("older-chart");
    let copied = run(Command::new("cp").args(["-rL", "charts/moongate"]).arg(&folder).current_dir(tidy::root()));
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    // Helm 4 would apply them again, and meet others' changes of them.
    std::fs::remove_dir_all(folder.join("crds")).unwrap();
    let file = folder.join("Chart.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let older = text.replace(&format!("ersion: {version}"), "ersion: 0.0.9");
    assert_ne!(older, text, "Chart.yaml has the version {version}");
    std::fs::write(&file, older).unwrap();
    let image = image::moongate(&site.cluster.sandbox.state, moongate::binary(), OLDER).unwrap();
    site.cluster.load(&image).unwrap();
    folder.display().to_string()
}

/// The version that a label of the data planes' Deployment tells.
fn version(site: &Site, release: &str) -> String {
    let name = format!("{release}-dataplane");
    let deployment = site.await_object_in(release, "Deployment", &name, "rolled out", rolled_out);
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    let chart = deployment["metadata"]["labels"]["helm.sh/chart"].as_str().unwrap();
    format!("{chart} {}", image.rsplit_once(':').unwrap().1)
}

#[test]
fn an_older_version_is_upgraded_and_rolled_back_under_load() {
    let Some(site) = Site::alone("older") else { return };
    let definition = "luaplugins.moongate.dev";
    let patch = format!(r#"[{{"op": "remove", "path": "{LATER}"}}]"#);
    site.cluster.kubectl(&["patch", "crd", definition, "--type=json", "-p", &patch]).unwrap_or_else(|e| panic!("{e}"));
    let release = Own::new(site.cluster, "older-moongate");
    let at = release.install_chart(&older_chart(&site), OLDER, &VALUES);
    assert_eq!(version(&site, release.name), "moongate-0.0.9 0");

    site.backend("web", 2);
    let host = "older.test";
    let annotated = ingress("web", host, "web", ", annotations: {moongate.dev/plugins: tells}");
    let plugin = |more: &str| {
        let header = "headerFilter: \"ngx.header['X-Tier'] = ngx.var.tier\"";
        format!(
            "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: tells}}\nspec: {{phases: {{{header}}}{more}}}"
        )
    };
    site.apply(&plugin(""));
    site.apply(&annotated.replace("Name: moongate", "Name: older"));
    site.await_status_at(at, host, "/", 200);
    let load = Load::start(at, host, "/", 200);
    load.await_answers(100);
    let refused = site.try_apply(&plugin(", variables: {tier: gold}")).unwrap_err();
    assert!(refused.contains("variables"), "{refused}");

    // The Job before the upgrade brings the definitions up to date, so that what the new version has can be used.
    upgrade(site.cluster, release.name, &VALUES).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(version(&site, release.name), format!("moongate-{} 1", env!("CARGO_PKG_VERSION")));
    load.await_answers(100);
    site.apply(&plugin(", variables: {tier: gold}"));
    let has_tier = |answer: &e2e::Response| answer.header("x-tier") == "gold";
    site.await_answer_at(at, host, "/", "the new field's value", has_tier);

    let arguments = ["rollback", release.name, "1", "--namespace", release.name, "--wait", "--timeout=230s"];
    site.cluster.helm(&arguments).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(version(&site, release.name), "moongate-0.0.9 0");
    load.await_answers(100);
    // Definitions are never taken back: what is stored by them would be lost.
    let field = LATER.rsplit('/').next().unwrap();
    let crd = site.look("", "CustomResourceDefinition", definition).unwrap().unwrap();
    assert!(crd.pointer(LATER).is_some(), "{field} is gone");
    site.assert_none_failed(load);
    release.uninstall();
}
