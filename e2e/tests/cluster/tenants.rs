//! What a tenant, who may write Ingresses, plugins and bindings in one namespace, cannot do to others.

use e2e::cluster::release::RELEASE;
use e2e::cluster::site::{Site, backend, ingress, is};

use crate::rights::rights;

/// A plugin of the tenant's, before all others as far as a priority can bring it; `phases` are lines of YAML.
fn plugin(name: &str, phases: &str) -> String {
    format!(
        "
apiVersion: moongate.dev/v1alpha1
kind: LuaPlugin
metadata: {{name: {name}}}
spec:
  priority: 1000000
  configSchema: {{openAPIV3Schema: {{type: object, properties: {{key: {{type: string}}}}}}}}
  phases:
{phases}
"
    )
}

/// `spec` has the fields beside the plugin.
fn binding(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: moongate.dev/v1alpha1
kind: LuaPluginBinding
metadata: {{name: {name}}}
spec: {{pluginRef: {{name: {name}}}, {spec}}}
"
    )
}

/// Everything of the Ingress `web`.
const WEB: &str = "targetRefs: [{group: networking.k8s.io, kind: Ingress, name: web}]";

fn pod(site: &Site, app: &str) -> (String, String) {
    let pod = &site.list(&site.namespace, "Pod", &format!("app={app}"))[0];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&pod["metadata"]["name"]), text(&pod["status"]["podIP"]))
}

fn service(site: &Site, namespace: &str, name: &str) -> String {
    let service = site.look(namespace, "Service", name).unwrap().unwrap();
    service["spec"]["clusterIP"].as_str().unwrap().to_owned()
}

#[test]
fn a_tenants_lua_connects_to_nothing_of_others() {
    let Some(victim) = Site::new("net-victim") else { return };
    victim.apply(&backend("web", 1, "{name: LOG, value: 'true'}"));
    victim.await_rollout("web");
    victim.apply(&ingress("web", "net-victim.test", "web", ""));
    victim.await_status("net-victim.test", "/seen", 200);
    let tenant = victim.beside("net-tenant");
    tenant.backend("web", 1);
    tenant.backend("other", 1);
    // Where it is refused, the request goes the usual way: to an endpoint of `web`.
    tenant.apply(&plugin(
        "reach",
        "    balancer: |
      local _, refused = require('ngx.balancer').set_current_peer(ngx.var.arg_to, ngx.var.arg_port)
      ngx.ctx.refused = refused
    headerFilter: ngx.header['X-Refused'] = ngx.ctx.refused",
    ));
    tenant.apply(&binding("reach", WEB));
    tenant.apply(&ingress("web", "net-tenant.test", "web", ""));
    let path = |to: &str, port: u16| format!("/reach?to={to}&port={port}");
    let (web, _) = pod(&tenant, "web");
    let (other, other_pod) = pod(&tenant, "other");
    for own in [path(&other_pod, 8080), path(&service(&tenant, "net-tenant", "other"), 80)] {
        let by_other = tenant.await_answer("net-tenant.test", &own, "by its own", |a| a.text().trim() == other);
        assert!(!by_other.has("x-refused"), "{by_other:?}");
    }
    for (to, port) in [
        (service(&victim, "net-victim", "web").as_str(), 80),
        (&pod(&victim, "web").1, 8080),
        (&format!("::ffff:{}", pod(&victim, "web").1), 8080),
        (&service(&victim, "default", "kubernetes"), 443),
        ("169.254.169.254", 80),
        ("127.0.0.1", 9090),
    ] {
        let answer = tenant.try_get("net-tenant.test", &path(to, port)).unwrap();
        let refused = answer.header("x-refused");
        assert_eq!(refused, "the address is not reachable for the Lua of a namespace", "{to}: {answer:?}");
        assert_eq!(answer.text().trim(), web, "{to}: {answer:?}");
    }
    let got = victim.kubectl(&["logs", "-l", "app=web", "--tail=-1"]);
    assert!(got.contains("GET /seen ") && !got.contains("/reach"), "{got}");
}

#[test]
fn a_tenant_reads_no_secret_that_is_not_given_to_it() {
    let Some(victim) = Site::new("secret-victim") else { return };
    victim.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: key, labels: {moongate.dev/lua-readable: 'true'}}\nstringData: {key: hidden}");
    let tenant = victim.beside("secret-tenant");
    tenant.backend("web", 1);
    tenant.apply(&plugin("tells", "    content: |\n      local config = ...\n      ngx.say(config.key)"));
    let of = |more: &str| binding("tells", &format!("{WEB}, secretRefs: [{{path: key, name: key, key: key{more}}}]"));
    let refused = tenant.try_apply(&of(", namespace: secret-victim")).unwrap_err();
    assert!(refused.contains("takes Secrets of its own namespace"), "{refused}");
    tenant.apply(&of(""));
    tenant.apply(&ingress("web", "secret-tenant.test", "web", ""));
    let await_unresolved = |why: &str| {
        tenant.await_object("LuaPluginBinding", "tells", why, |o| {
            is(o, "ResolvedRefs", "False") && o["status"]["conditions"].to_string().contains(why)
        });
        tenant.await_everywhere("secret-tenant.test", "/", 503);
    };
    await_unresolved("SecretNotFound");
    tenant.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {key: own}");
    await_unresolved("SecretNotReadable");
    let label = serde_json::json!({"metadata": {"labels": {"moongate.dev/lua-readable": "true"}}});
    tenant.patch("Secret", "key", &label);
    tenant.await_answer("secret-tenant.test", "/", "its own Secret's value", |a| a.text() == "own\n");
    for others in [RELEASE, "secret-victim"] {
        let account = "secret-tenant:default";
        assert_eq!(rights(&tenant, account, others), std::collections::BTreeSet::new(), "in {others}");
    }
}

#[test]
fn a_tenant_takes_no_path_of_others() {
    let Some(victim) = Site::new("path-victim") else { return };
    victim.backend("web", 1);
    victim.apply(&ingress("web", "path-victim.test", "web", ""));
    victim.await_everywhere("path-victim.test", "/", 200);
    let tenant = victim.beside("path-tenant");
    tenant.backend("web", 1);
    tenant.apply(&plugin("marks", "    headerFilter: ngx.header['X-Tenant'] = 'here'"));
    let marks = ", annotations: {moongate.dev/plugins: marks}";
    tenant.apply(&ingress("steals", "path-victim.test", "web", marks));
    let events = tenant.await_event("steals", "PathConflict");
    assert!(events.contains("Ingress path-victim/web is older"), "{events}");
    // What came after it is there, so it is there itself.
    tenant.apply(&ingress("own", "path-tenant.test", "web", marks));
    tenant.await_everywhere("path-tenant.test", "/", 200);
    assert!(tenant.try_get("path-tenant.test", "/").unwrap().has("x-tenant"));
    for _ in 0..20 {
        let answer = victim.try_get("path-victim.test", "/").unwrap();
        assert_eq!((answer.text().trim(), answer.has("x-tenant")), (pod(&victim, "web").0.as_str(), false));
    }
}

/// Takes away what is in no namespace, also when its test fails.
struct Gone<'a>(&'a Site, &'static str);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        for kind in ["clusterluapluginbinding", "clusterluaplugin"] {
            let _ = self.0.cluster.kubectl(&["delete", kind, self.1, "--ignore-not-found"]);
        }
    }
}

#[test]
fn the_platforms_plugins_are_the_platforms_and_run_first() {
    let Some(tenant) = Site::new("platform-tenant") else { return };
    let _gone = Gone(&tenant, "denies");
    tenant.backend("web", 1);
    tenant.apply(
        "
apiVersion: moongate.dev/v1alpha1
kind: ClusterLuaPlugin
metadata: {name: denies}
spec: {phases: {access: ngx.exit(403)}}
---
apiVersion: moongate.dev/v1alpha1
kind: LuaPluginBinding
metadata: {name: takes}
spec: {pluginRef: {kind: ClusterLuaPlugin, name: denies}, targetRefs: [{kind: Namespace, name: platform-tenant}]}
",
    );
    tenant.apply(&ingress("web", "platform-tenant.test", "web", ""));
    // It may not use what is not given to it, and by that its route stays closed.
    tenant.await_object("LuaPluginBinding", "takes", "refused", |o| {
        is(o, "Accepted", "False") || is(o, "ResolvedRefs", "False")
    });
    tenant.await_everywhere("platform-tenant.test", "/", 503);
    tenant.delete("LuaPluginBinding", "takes");
    tenant.apply(&plugin("lets-in", "    access: |\n      ngx.say('let in')\n      ngx.exit(200)"));
    tenant.apply(&binding("lets-in", "targetRefs: [{kind: Namespace, name: platform-tenant}]"));
    tenant.await_answer("platform-tenant.test", "/", "by the tenant's plugin", |a| a.text() == "let in\n");
    tenant.apply(
        "
apiVersion: moongate.dev/v1alpha1
kind: ClusterLuaPluginBinding
metadata: {name: denies}
spec: {pluginRef: {name: denies}, targetRefs: [{kind: Namespace, name: platform-tenant}]}
",
    );
    tenant.await_everywhere("platform-tenant.test", "/", 403);
    let answer = tenant.try_get("platform-tenant.test", "/").unwrap();
    assert!(!answer.text().contains("let in"), "{answer:?}");
}
