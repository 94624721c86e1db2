//! The admission webhook: refuses what cannot work, warns of what is missing, and never stands in the way otherwise.

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;
use serde_json::json;

fn plugin(code: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: checked}}\nspec: {{phases: {{access: \"{code}\"}}}}"
    )
}

/// kubectl's answer with its warnings, which it prints on stderr.
fn ask(site: &Site, arguments: &[&str]) -> (bool, String) {
    let mut command = site.cluster.command(&site.cluster.tools.path("kubectl"));
    let output = command.args(["-n", &site.namespace]).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn file(site: &Site, yaml: &str) -> String {
    let file = site.cluster.sandbox.state.join(format!("{}.yaml", site.namespace));
    std::fs::write(&file, yaml).unwrap();
    file.display().to_string()
}

fn apply(site: &Site, yaml: &str) -> (bool, String) {
    ask(site, &["apply", "-f", &file(site, yaml)])
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

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: moongate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}")
}

/// A plugin whose config has a limit of this type.
fn limited(kind: &str) -> String {
    let properties = format!("{{limit: {{type: {kind}}}, per: {{type: string}}}}");
    let schema = format!("{{openAPIV3Schema: {{type: object, properties: {properties}}}}}");
    object("LuaPlugin", "limited", &format!("{{phases: {{access: return}}, configSchema: {schema}}}"))
}

fn limit(name: &str, limit: &str) -> String {
    let targets = "[{kind: Ingress, name: web}]";
    let spec = format!("{{pluginRef: {{name: limited}}, targetRefs: {targets}, config: {{limit: {limit}}}}}");
    object("LuaPluginBinding", name, &spec)
}

const MAYBE: &str = ", annotations: {nginx.ingress.kubernetes.io/ssl-redirect: maybe}";

/// Waits until both controllers know what was stored before, whichever is asked: nothing is stored meanwhile.
fn await_said(site: &Site, command: &[&str], succeeds: bool, parts: &[&str]) {
    let arguments = [command, &["--dry-run=server"]].concat();
    until_slowly(PATIENCE, &format!("{parts:?}, ten times in a row"), || {
        (0..10).try_for_each(|_| match ask(site, &arguments) {
            (is_taken, said) if is_taken == succeeds && parts.iter().all(|part| said.contains(part)) => Ok(()),
            (_, said) => Err(said),
        })
    });
}

fn await_refusal(site: &Site, yaml: &str, why: &str) {
    await_said(site, &["apply", "-f", &file(site, yaml)], false, &["denied the request", why]);
}

fn await_warning(site: &Site, yaml: &str, part: &str) {
    await_said(site, &["apply", "-f", &file(site, yaml)], true, &["Warning", part]);
}

#[test]
fn it_refuses_what_is_wrong_with_an_object_of_each_kind() {
    let Some(site) = Site::new("webhook-kinds") else { return };
    site.apply(&limited("integer"));
    let web = |more: &str| ingress("web", "kinds.webhook.test", "web", more);
    await_refusal(&site, &web(MAYBE), "ssl-redirect");
    await_refusal(&site, &web(", annotations: {moongate.dev/plugins: '!!'}"), "names no plugin");
    await_refusal(&site, &limit("b", "three"), "spec.config.limit");
    // Only one that is used is looked at as a whole: the release's.
    let range = r#"{"spec": {"http": {"proxyRealIpCidr": ["10.0.0.0/99"]}}}"#;
    let patch = ["patch", "moongateconfig", "moongate", "--type=merge", "-p", range];
    await_said(&site, &patch, false, &["denied the request", "proxyRealIpCidr"]);
    let everywhere = |code: &str| object("ClusterLuaPlugin", "webhook", &format!("{{phases: {{log: '{code}'}}}}"));
    await_refusal(&site, &everywhere("return ]"), "spec.phases.log");
    // Each without its mistake, and for good.
    for good in [web(""), limit("b", "3"), everywhere("return")] {
        let (applied, said) = apply(&site, &good);
        assert!(applied, "{said}");
    }
    site.delete("ClusterLuaPlugin", "webhook");
}

#[test]
fn what_was_let_in_may_be_labelled_and_deleted() {
    let Some(site) = Site::new("webhook-stays") else { return };
    let odd = |name: &str| {
        let host = format!("{name}.stays.webhook.test");
        ingress(name, &host, "web", MAYBE).replace("Name: moongate", "Name: webhook-stays")
    };
    // Wrong since the plugin has another schema, and since the class is ours.
    for object in [limited("string"), limit("first", "three"), limited("integer"), odd("first")] {
        site.apply(&object);
    }
    site.apply("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: webhook-stays}\nspec: {controller: moongate.dev/ingress-controller}");
    await_refusal(&site, &limit("second", "three"), "spec.config.limit");
    await_refusal(&site, &odd("second"), "ssl-redirect");
    let worse = [
        ("LuaPluginBinding", r#"{"spec": {"config": {"per": 7}}}"#, "spec.config.per"),
        ("Ingress", r#"{"metadata": {"annotations": {"moongate.dev/plugins": "!!"}}}"#, "names no plugin"),
    ];
    for (kind, worse, why) in worse {
        let patch = ["patch", kind, "first", "--type=merge", "-p", worse];
        await_said(&site, &patch, false, &["denied the request", why]);
        site.patch(kind, "first", &json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["moongate.test/held"]}}));
        site.delete(kind, "first");
        // What is going away may lose what holds it.
        site.patch(kind, "first", &json!({"metadata": {"finalizers": null}}));
        until_slowly(PATIENCE, &format!("the end of the {kind}"), || match site.get(kind, "first") {
            None => Ok(()),
            Some(there) => Err(there.to_string()),
        });
    }
    site.delete("IngressClass", "webhook-stays");
}

#[test]
fn it_warns_of_what_is_anothers() {
    let Some(site) = Site::new("webhook-others") else { return };
    site.apply(&ingress("aa-first", "others.webhook.test", "web", ""));
    await_warning(&site, &ingress("second", "others.webhook.test", "web", ""), "Ingress webhook-others/aa-first");
    let misspelt = ingress("web", "web.others.webhook.test", "web", "").replace("Name: moongate", "Name: moongat");
    await_warning(&site, &misspelt, "there is no IngressClass moongat");
    let config = object("MoongateConfig", "webhook-others", "{}");
    await_warning(&site, &config, "has no effect");
    site.apply(&limited("integer"));
    let target = limit("b", "3").replace("name: web", "name: absent");
    await_warning(&site, &target, "there is no Ingress webhook-others/absent");
    let modules = object("LuaPlugin", "uses", "{modulesFrom: [{configMapRef: {name: absent}}], phases: {log: return}}");
    await_warning(&site, &modules, "there is no ConfigMap webhook-others/absent");
    let tls = ingress("tls", "tls.others.webhook.test", "web", "")
        .replace("  rules:", "  tls: [{hosts: [tls.others.webhook.test], secretName: absent}]\n  rules:");
    await_warning(&site, &tls, "there is no Secret webhook-others/absent");
}
