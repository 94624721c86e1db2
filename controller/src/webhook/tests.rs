//! What is refused, what is warned of, and what is nobody's business.

use serde_json::{Value, json};

use super::{Request, Verdict, judge};
use crate::store::{Update, convert};
use crate::table::Translator;
use crate::translate::Options;

fn typed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// A cluster with two classes, a Service, a plugin with a schema, and an Ingress that has shop.example/.
fn cluster() -> Translator {
    let mut table = Translator::new(Options::default());
    let class = |name: &str, controller: &str| {
        convert::ingress_class(typed(json!({"metadata": {"name": name}, "spec": {"controller": controller}})))
    };
    let schema = json!({"type": "object", "properties": {"limit": {"type": "integer"}}});
    let plugin = json!({
        "metadata": {"namespace": "shop", "name": "quota"},
        "spec": {"phases": {"access": "return"}, "configSchema": {"openAPIV3Schema": schema}},
    });
    let service = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let objects = [
        class("moongate", "moongate.dev/ingress-controller"),
        class("nginx", "k8s.io/ingress-nginx"),
        class("migrated", "k8s.io/ingress-nginx"),
        convert::moongate_config(typed(json!({
            "metadata": {"name": "moongate"}, "spec": {"migration": {"ingressClasses": ["migrated"]}},
        }))),
        convert::service(typed(service)),
        convert::lua_plugin(typed(plugin)),
        convert::ingress(typed(ingress("first", "moongate", "web"))),
    ];
    table.change(objects.map(Update::Apply));
    table
}

fn ingress(name: &str, class: &str, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "ingressClassName": class,
            "rules": [{"host": format!("{name}.example"), "http": {"paths": [path]}}],
        },
    })
}

fn ours(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "moongate.dev/v1alpha1", "kind": kind,
        "metadata": {"namespace": "shop", "name": "new"}, "spec": spec,
    })
}

fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, last) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[last] = value;
    object
}

/// A review as the API server sends it, and what it gets.
fn ask(table: &Translator, operation: &str, object: &Value, old: &Value) -> Verdict {
    let about = if object.is_null() { old } else { object };
    let version = about["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "operation": operation, "namespace": "shop", "dryRun": true,
            "kind": {"group": group, "version": version, "kind": about["kind"]},
            "object": object, "oldObject": old,
        },
    });
    let request = Request::read(review.to_string().as_bytes()).unwrap();
    let before = table.table();
    let verdict = judge(table, &request);
    assert_eq!(table.table(), before, "the table is as it was");
    verdict
}

/// What is expected: a part of the only denial, a part of the only warning.
#[derive(Clone, Copy)]
enum Expected {
    Silent,
    Denied(&'static str),
    Warned(&'static str),
}
use Expected::{Denied, Silent, Warned};

fn check(verdict: Verdict, expected: Expected, what: &str) {
    let is_right = match (expected, verdict.denials.as_slice(), verdict.warnings.as_slice()) {
        (Silent, [], []) => true,
        (Denied(part), [denial], _) => denial.contains(part),
        (Warned(part), [], [warning]) => warning.contains(part),
        _ => false,
    };
    assert!(is_right, "{what}: {verdict:?}");
}

#[test]
fn what_is_wrong_with_an_ingress_is_refused_and_what_others_can_mend_is_told() {
    let new = ingress("new", "moongate", "web");
    let annotated = |name: &str, value: &str| with(new.clone(), "/metadata/annotations", json!({name: value}));
    let cases = [
        ("a good Ingress", new.clone(), Silent),
        ("no such Service", ingress("new", "moongate", "gone"), Warned("there is no Service shop/gone; create it")),
        (
            "a host and path of another",
            with(new.clone(), "/spec/rules/0/host", json!("first.example")),
            Warned("Ingress shop/first comes first by name"),
        ),
        (
            "a Secret that comes later",
            with(new.clone(), "/spec/tls", json!([{"hosts": ["new.example"], "secretName": "s"}])),
            Warned("there is no Secret shop/s"),
        ),
        ("another controller's class", ingress("new", "nginx", "gone"), Silent),
        (
            "another's class, and wrong for us",
            with(ingress("new", "nginx", "web"), "/metadata/annotations", json!({"moongate.dev/plugins": "?"})),
            Silent,
        ),
        ("a class that nobody has", ingress("new", "other", "web"), Silent),
        ("a class that is misspelt", ingress("new", "moongat", "web"), Warned("there is no IngressClass moongat")),
        (
            "an annotation's value",
            annotated("nginx.ingress.kubernetes.io/ssl-redirect", "maybe"),
            Denied("ssl-redirect"),
        ),
        ("a plugin that is no name", annotated("moongate.dev/plugins", "!!"), Denied("names no plugin")),
        (
            "a plugin that comes later",
            annotated("moongate.dev/plugins", "later"),
            Warned("there is no LuaPlugin shop/later"),
        ),
        (
            "a resource as backend",
            with(
                new.clone(),
                "/spec/rules/0/http/paths/0/backend",
                json!({"resource": {"apiGroup": "a.example", "kind": "Bucket", "name": "b"}}),
            ),
            Denied("not supported"),
        ),
    ];
    check_creations(cases);
}

#[test]
fn what_is_wrong_with_our_kinds_is_refused_and_what_others_can_mend_is_told() {
    let binding = |config: Value| {
        let spec = json!({
            "pluginRef": {"name": "quota"}, "targetRefs": [{"kind": "Ingress", "name": "first"}], "config": config,
        });
        ours("LuaPluginBinding", spec)
    };
    let phases = |access: &str| ours("LuaPlugin", json!({"phases": {"access": access}}));
    let modules_from = json!({"modulesFrom": [{"configMapRef": {"name": "lua"}}]});
    let cases = [
        ("good Lua", phases("return 1"), Silent),
        ("Lua that does not compile", phases("return ]"), Denied("spec.phases.access")),
        ("a ConfigMap that comes later", ours("LuaPlugin", modules_from), Warned("there is no ConfigMap shop/lua")),
        ("a field that is not there", ours("LuaPlugin", json!({"phases": {"acces": "return"}})), Denied("acces")),
        (
            "a schema",
            ours("LuaPlugin", json!({"configSchema": {"openAPIV3Schema": {"type": "objekt"}}})),
            Denied("spec.configSchema.openAPIV3Schema.type"),
        ),
        ("a good binding", binding(json!({"limit": 3})), Silent),
        ("a config that its schema refuses", binding(json!({"limit": "three"})), Denied("spec.config.limit")),
        (
            "a plugin that comes later",
            with(binding(json!({})), "/spec/pluginRef/name", json!("later")),
            Warned("there is no LuaPlugin shop/later"),
        ),
        (
            "a target that comes later",
            with(binding(json!({})), "/spec/targetRefs/0/name", json!("later")),
            Warned("there is no Ingress shop/later"),
        ),
        (
            "a good MoongateConfig",
            with(ours("MoongateConfig", json!({"http": {"mergeSlashes": false}})), "/metadata/name", json!("moongate")),
            Silent,
        ),
        (
            "a MoongateConfig's range",
            with(
                ours("MoongateConfig", json!({"http": {"proxyRealIpCidr": ["10.0.0.0/99"]}})),
                "/metadata/name",
                json!("moongate"),
            ),
            Denied("proxyRealIpCidr"),
        ),
        ("a MoongateConfig that nothing uses", ours("MoongateConfig", json!({})), Warned("has no effect")),
        (
            "a kind that is not looked at",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}),
            Silent,
        ),
    ];
    check_creations(cases);
}

fn check_creations<const N: usize>(cases: [(&str, Value, Expected); N]) {
    let table = cluster();
    for (what, object, expected) in cases {
        check(ask(&table, "CREATE", &object, &Value::Null), expected, what);
    }
}

#[test]
fn what_leaves_an_object_as_bad_as_it_was_is_allowed() {
    let mut table = cluster();
    let old = ours("LuaPlugin", json!({"phases": {"access": "return ]"}}));
    table.change([Update::Apply(convert::lua_plugin(typed(old.clone())))]);
    let update = |new: Value| ask(&table, "UPDATE", &new, &old);
    check(update(old.clone()), Silent, "nothing changes");
    check(update(with(old.clone(), "/metadata/finalizers", json!([]))), Silent, "a finalizer");
    let leaving = with(
        with(old.clone(), "/spec/priority", json!(7)),
        "/metadata/deletionTimestamp",
        json!("2026-01-01T00:00:00Z"),
    );
    check(update(leaving), Silent, "it is being deleted");
    check(ask(&table, "DELETE", &Value::Null, &old), Silent, "it is deleted");
    check(update(with(old.clone(), "/spec/priority", json!(7))), Warned("spec.phases.access"), "another field");
    check(
        update(with(old.clone(), "/spec/phases/access", json!("return }"))),
        Denied("spec.phases.access"),
        "another error",
    );
    check(update(with(old.clone(), "/spec/phases/access", json!("return"))), Silent, "mended");
}

#[test]
fn an_ingress_is_asked_about_by_its_annotations_too() {
    let table = cluster();
    let old = ingress("first", "moongate", "web");
    let new = with(old.clone(), "/metadata/annotations", json!({"nginx.ingress.kubernetes.io/ssl-redirect": "maybe"}));
    check(ask(&table, "UPDATE", &new, &old), Denied("ssl-redirect"), "an annotation is added");
    check(ask(&table, "UPDATE", &new, &new), Silent, "it is as it was");
    check(ask(&table, "UPDATE", &with(old.clone(), "/metadata/labels", json!({"a": "b"})), &old), Silent, "a label");
}

#[test]
fn a_name_that_is_still_to_be_made_is_no_problem() {
    let table = cluster();
    let mut object = ingress("new", "moongate", "web");
    object["metadata"] = json!({"generateName": "new-", "namespace": "shop"});
    check(ask(&table, "CREATE", &object, &Value::Null), Silent, "generateName");
}

#[test]
fn the_answer_is_what_the_api_server_and_kubectl_understand() {
    let verdict = |denials: usize, warnings: usize| Verdict {
        object: "LuaPlugin shop/quota".into(),
        denials: (0..denials).map(|n| format!("d{n}")).collect(),
        warnings: (0..warnings).map(|n| format!("{n}{}", "é".repeat(200))).collect(),
    };
    let one = verdict(1, 0).answer("u");
    assert_eq!(one["response"]["status"]["message"], "LuaPlugin shop/quota, d0");
    let good = verdict(0, 0).answer("u");
    let expected = json!({"uid": "u", "allowed": true});
    assert_eq!(good, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": expected}));
    let bad = &verdict(2, 0).answer("u")["response"];
    let status =
        json!({"code": 422, "reason": "Invalid", "message": "LuaPlugin shop/quota has 2 problems:\n- d0\n- d1"});
    assert_eq!((&bad["allowed"], &bad["status"]), (&json!(false), &status));
    let many = verdict(50, 50).answer("u");
    let message = many["response"]["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("LuaPlugin shop/quota has 50 problems:") && message.ends_with("- and 30 more"),
        "{message}"
    );
    let warnings = many["response"]["warnings"].as_array().unwrap();
    assert!(warnings.len() == 11 && warnings.iter().all(|w| w.as_str().unwrap().len() <= 256), "{warnings:?}");
}

#[test]
fn what_is_no_review_says_why() {
    let check = |body: &str, part: &str| {
        let e = Request::read(body.as_bytes()).unwrap_err().to_string();
        assert!(e.contains(part), "{}: {e}", &body[..body.len().min(80)]);
    };
    check("", "no AdmissionReview");
    check("7", "no AdmissionReview");
    check("{}", "not an AdmissionReview");
    check(r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}"#, "v1beta1");
    check(r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#, "no request");
    check(
        r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": 1}}"#,
        "invalid type: integer",
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(&format!(r#"{{"request": {deep}}}"#), "recursion limit");
}
