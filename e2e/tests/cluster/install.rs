//! What `helm install` brings: pods as they should be, a test that passes, and objects that kubectl shows well.

use e2e::cluster::release::RELEASE;
use e2e::cluster::site::Site;
use serde_json::Value;

const COMPONENTS: [&str; 2] = ["controller", "dataplane"];

#[test]
fn pods_have_no_rights_on_their_node() {
    let Some(site) = Site::new("install-pods") else { return };
    for component in COMPONENTS {
        let pods = site.list(RELEASE, "Pod", &format!("app.kubernetes.io/component={component}"));
        assert_eq!(pods.len(), 2, "{component}");
        for pod in pods {
            let spec = &pod["spec"];
            let container = &spec["containers"][0]["securityContext"];
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{component}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{component}");
            assert_eq!(container["readOnlyRootFilesystem"], true, "{component}");
            assert_eq!(container["allowPrivilegeEscalation"], false, "{component}");
            assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]), "{component}");
        }
    }
}

#[test]
fn helm_test_passes() {
    let Some(site) = Site::new("install-test") else { return };
    let said = site.cluster.helm(&["test", RELEASE, "--namespace", RELEASE, "--timeout=100s"]);
    said.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_definitions_are_those_of_the_repository() {
    let Some(site) = Site::new("install-crds") else { return };
    for kind in site.list("", "CustomResourceDefinition", "") {
        let name = kind["metadata"]["name"].as_str().unwrap().to_owned();
        if kind["spec"]["group"] != "moongate.dev" {
            continue;
        }
        let file = format!("crds/{name}.yaml");
        let here: Value = serde_saphyr::from_str(&e2e::tidy::read(&file).unwrap()).unwrap();
        for field in ["scope", "group"] {
            assert_eq!(kind["spec"][field], here["spec"][field], "{name}");
        }
        let shown = |crd: &Value| crd["spec"]["versions"][0]["additionalPrinterColumns"].clone();
        assert_eq!(shown(&kind), shown(&here), "{name}");
        assert_eq!(kind["spec"]["names"]["shortNames"], here["spec"]["names"]["shortNames"], "{name}");
    }
}

#[test]
fn kubectl_explains_and_lists_our_kinds() {
    let Some(site) = Site::new("install-view") else { return };
    let explained = site.kubectl(&["explain", "luaplugin.spec.phases.access"]);
    assert!(explained.contains("decides who is let in"), "{explained}");
    site.apply(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: seen}\nspec: {phases: {log: 'return'}}",
    );
    // What nothing uses is sent to no data plane.
    site.await_object("LuaPlugin", "seen", "not used", |object| e2e::cluster::site::is(object, "Programmed", "False"));
    site.backend("web", 1);
    site.apply(&e2e::cluster::site::ingress("web", "view.test", "web", ", annotations: {moongate.dev/plugins: seen}"));
    site.await_object("LuaPlugin", "seen", "programmed", |object| e2e::cluster::site::is(object, "Programmed", "True"));
    let listed = site.kubectl(&["get", "luap"]);
    let mut lines = listed.lines();
    let words = |line: Option<&str>| line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines.next()), ["NAME", "PRIORITY", "ACCEPTED", "PROGRAMMED", "DATA", "PLANES", "AGE"]);
    let line = words(lines.next());
    assert_eq!(line[..3], ["seen", "0", "True"].map(str::to_owned), "{listed}");
    assert_eq!(line[3..5], ["True", "2/2"].map(str::to_owned), "{listed}");
}
