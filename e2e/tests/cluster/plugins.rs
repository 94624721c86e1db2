//! Lua plugins by custom resources: created, changed, broken and repaired while requests go on.

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::site::{Site, ingress, is};
use e2e::wait::until_slowly;

fn plugin(phases: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: says}}\nspec:\n  configSchema: {{openAPIV3Schema: {{type: object, properties: {{what: {{type: string, default: default}}}}}}}}\n  phases:\n{phases}"
    )
}

/// A content script; `code` is one line.
fn content(code: &str) -> String {
    plugin(&format!("    content: |\n      local config = ...\n      {code}\n"))
}

fn binding(config: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: says}}\nspec: {{pluginRef: {{name: says}}, targetRefs: [{{group: networking.k8s.io, kind: Ingress, name: web}}], config: {config}}}"
    )
}

#[test]
fn a_plugin_is_created_changed_broken_and_repaired_under_load() {
    let Some(site) = Site::new("plugins") else { return };
    site.backend("web", 2);
    site.apply(&ingress("web", "plugins.test", "web", ""));
    site.await_everywhere("plugins.test", "/", 200);
    let load = site.load("plugins.test", "/");
    load.await_answers(50);

    site.apply(&content("ngx.say('one ', config.what)"));
    site.apply(&binding("{what: said}"));
    load.await_body("one said");
    let object = site.await_object("LuaPlugin", "says", "programmed", |o| is(o, "Programmed", "True"));
    assert_eq!(object["status"]["dataPlanes"], "2/2");
    let first = object["status"]["codeHash"].clone();
    assert!(first.is_string(), "{object}");
    site.await_object("LuaPluginBinding", "says", "accepted", |o| {
        is(o, "Accepted", "True") && is(o, "ResolvedRefs", "True")
    });

    site.apply(&binding("{what: again}"));
    load.await_body("one again");
    site.apply(&binding("{}"));
    load.await_body("one default");
    site.apply(&content("ngx.say('two ', config.what)"));
    load.await_body("two default");
    let object = site.await_object("LuaPlugin", "says", "with another hash", |o| o["status"]["codeHash"] != first);
    let second = object["status"]["codeHash"].clone();

    // What does not parse is let in by the definition (the webhook, if it is asked, refuses it) and told by status.
    if site.try_apply(&content("ngx.say('three'")).is_ok() {
        let object = site.await_object("LuaPlugin", "says", "refused", |o| is(o, "Accepted", "False"));
        assert!(object["status"]["conditions"].to_string().contains("content"), "{object}");
        assert_eq!(object["status"]["codeHash"], second, "the last good code goes on");
        load.await_answers(100);
    }
    site.apply(&content("ngx.say('four ', config.what)"));
    load.await_body("four default");
    site.delete("LuaPluginBinding", "says");
    let bodies = load.report().bodies;
    let by_pods = |bodies: &std::collections::BTreeMap<String, u64>| -> u64 {
        bodies.iter().filter(|(body, _)| body.starts_with("web-")).map(|(_, count)| count).sum()
    };
    until_slowly(PATIENCE, "answers by the pods again", || {
        let now = load.report().bodies;
        if by_pods(&now) > by_pods(&bodies) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    site.assert_none_failed(load);
}

#[test]
fn an_error_of_a_script_is_told_with_its_line_and_hurts_no_other_route() {
    let Some(site) = Site::new("errors") else { return };
    site.backend("web", 1);
    site.apply(&content("ngx.say('fine')"));
    site.apply(&binding("{}"));
    site.apply(&ingress("web", "errors.test", "web", ""));
    // A route of the same namespace, and so of the same VM, with a script of its own.
    site.apply(&plugin("    headerFilter: \"ngx.header['X-Other'] = 'fine'\"\n").replace("name: says", "name: other"));
    site.apply(&ingress("other", "other.errors.test", "web", ", annotations: {moongate.dev/plugins: other}"));
    for host in ["errors.test", "other.errors.test"] {
        site.await_everywhere(host, "/", 200);
    }
    let (load, other) = (site.load("errors.test", "/"), site.load("other.errors.test", "/"));
    load.await_body("fine");

    site.apply(&content("local none = nil; ngx.say(none.field)"));
    let failed = |count: u64| {
        until_slowly(PATIENCE, "requests that fail", || match load.report().failed {
            enough if enough >= count => Ok(enough),
            other => Err(other.to_string()),
        })
    };
    failed(50);
    other.await_answers(50);
    let object = site.await_object("LuaPlugin", "says", "with its error", |o| o["status"]["lastError"].is_string());
    let error = object["status"]["lastError"].as_str().unwrap();
    assert!(error.contains("content:2"), "the phase and the line: {error}");
    assert!(error.contains("index local 'none'"), "what happened: {error}");

    // In a module, told by its file.
    let module = "\n  modules: {shop.util: \"local M = {}\\nfunction M.f()\\n  return M.none.field\\nend\\nreturn M\"}";
    site.apply(&(content("ngx.say(require('shop.util').f())") + module));
    site.await_object("LuaPlugin", "says", "with the module's error", |o| {
        o["status"]["lastError"].as_str().is_some_and(|error| error.contains("shop.util") && error.contains(":3:"))
    });
    failed(load.report().failed + 50);
    assert_eq!(site.try_get("other.errors.test", "/").unwrap().header("x-other"), "fine");

    site.apply(&content("ngx.say('repaired')"));
    load.await_body("repaired");
    site.await_object("LuaPlugin", "says", "without the error", |o| !o["status"]["lastError"].is_string());
    site.await_everywhere("errors.test", "/", 200);
    let before = load.report().failed;
    load.await_answers(100);
    assert_eq!(load.report().failed, before, "nothing fails any more");
    other.await_answers(50);
    site.assert_none_failed(other);
}

#[test]
fn what_a_binding_names_may_come_later() {
    let Some(site) = Site::new("later") else { return };
    site.backend("web", 1);
    site.apply(&binding("{}"));
    site.apply(&ingress("web", "later.test", "web", ""));
    // Its access rule may be missing too: the route stays closed.
    site.await_status("later.test", "/", 503);
    site.await_object("LuaPluginBinding", "says", "unresolved", |o| is(o, "ResolvedRefs", "False"));
    site.apply(&content("ngx.say('came')"));
    site.await_answer("later.test", "/", "the plugin that came", |a| a.text() == "came\n");
    site.await_object("LuaPluginBinding", "says", "resolved", |o| is(o, "ResolvedRefs", "True"));
    // A config that the schema refuses: told by the webhook, or, where it was not asked, by the status.
    match site.try_apply(&binding("{what: 3}")) {
        Err(refused) => assert!(refused.contains("spec.config.what: must be a string"), "{refused}"),
        Ok(()) => drop(site.await_object("LuaPluginBinding", "says", "refused", |o| is(o, "Accepted", "False"))),
    }
}

#[test]
fn bundled_plugins_and_modules_of_config_maps_work() {
    let Some(site) = Site::new("bundled") else { return };
    site.backend("web", 1);
    site.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lib}\ndata: {shop.util: \"return {word = 'first'}\"}",
    );
    site.apply("apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: uses}\nspec:\n  modulesFrom: [{configMapRef: {name: lib}}]\n  phases: {headerFilter: \"ngx.header['X-Word'] = require('shop.util').word\"}");
    let annotations = ", annotations: {moongate.dev/plugins: 'uses, cluster/cors'}";
    site.apply(&ingress("web", "bundled.test", "web", annotations));
    site.await_answer("bundled.test", "/", "the module's word", |a| a.status == 200 && a.header("x-word") == "first");
    site.patch("ConfigMap", "lib", &serde_json::json!({"data": {"shop.util": "return {word = 'second'}"}}));
    site.await_answer("bundled.test", "/", "the changed module's word", |a| a.header("x-word") == "second");
    let request = "GET / HTTP/1.1\r\nHost: bundled.test\r\nOrigin: https://a.test\r\nConnection: close\r\n\r\n";
    let answer = site.try_send(request).unwrap();
    assert!(answer.has("access-control-allow-origin"), "{answer:?}");
}
