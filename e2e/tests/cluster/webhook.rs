//! The admission webhook: refuses what cannot work, warns of what is missing, and never stands in the way otherwise.

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;

fn plugin(code: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: checked}}\nspec: {{phases: {{access: \"{code}\"}}}}"
    )
}

/// kubectl's answer with its warnings, which it prints on stderr.
fn apply(site: &Site, yaml: &str) -> (bool, String) {
    let mut command = site.cluster.command(&site.cluster.tools.path("kubectl"));
    let file = site.cluster.sandbox.state.join(format!("{}.yaml", site.namespace));
    std::fs::write(&file, yaml).unwrap();
    let output = command.args(["-n", &site.namespace, "apply", "-f"]).arg(&file).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn it_refuses_what_cannot_work() {
    let Some(site) = Site::new("webhook") else { return };
    let refused = until_slowly(PATIENCE, "a refusal", || match apply(&site, &plugin("return (")) {
        (false, said) => Ok(said),
        (true, said) => Err(said),
    });
    assert!(refused.contains("denied the request") && refused.contains("access"), "{refused}");
    let (applied, said) = apply(&site, &plugin("return"));
    assert!(applied, "{said}");
    let (applied, said) = apply(&site, &plugin("return 1 +"));
    assert!(!applied && said.contains("denied the request"), "{said}");
    assert_eq!(site.get("LuaPlugin", "checked").unwrap()["spec"]["phases"]["access"], "return");
    site.delete("LuaPlugin", "checked");
}

#[test]
fn it_warns_of_what_is_missing() {
    let Some(site) = Site::new("webhook-warns") else { return };
    let binding = "apiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {name: b}\nspec: {pluginRef: {name: absent}, targetRefs: [{kind: Ingress, name: nothing}]}";
    let said = until_slowly(PATIENCE, "a warning", || match apply(&site, binding) {
        (true, said) if said.contains("Warning") => Ok(said),
        (_, said) => {
            site.delete("LuaPluginBinding", "b");
            Err(said)
        }
    });
    assert!(said.contains("absent"), "{said}");
    let (applied, said) = apply(&site, &ingress("web", "webhook.test", "nothing", ""));
    assert!(applied && said.contains("Warning") && said.contains("nothing"), "{said}");
    site.apply(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: webhook-other}\nspec: {controller: example.com/other}",
    );
    let other = ingress("other", "webhook.test", "nothing", "").replace("Name: moongate", "Name: webhook-other");
    let (applied, said) = apply(&site, &other);
    assert!(applied && !said.contains("Warning"), "another class is none of ours: {said}");
    site.delete("IngressClass", "webhook-other");
}
