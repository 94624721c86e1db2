use kube::core::cel::Validator;
use serde_json::{Value, json};

use super::{code, definitions, object, schemas};
use crate::crd::{FieldProblem, PluginSpec};

fn of_kind(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "moongate.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec})
}

/// What the definition's own CEL rules say, evaluated as the API server does it.
fn cel(kind: &str, object: &Value) -> Vec<String> {
    let definition = definitions().into_iter().find(|definition| definition.spec.names.kind == kind).unwrap();
    let json = serde_json::to_value(definition).unwrap();
    let schema = json.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    match Validator::new().validate(schema, object, None) {
        Ok(()) => Vec::new(),
        Err(wrong) => vec![wrong.to_string()],
    }
}

#[test]
fn the_schema_of_every_kind_is_understood() {
    assert_eq!(schemas().len(), 5);
    for definition in definitions() {
        let kind = &definition.spec.names.kind;
        let problems = object(&of_kind(kind, &json!({"nonsense": 1})));
        let unknown = problems.iter().find(|problem| problem.path == "spec.nonsense").map(|problem| &problem.message);
        assert!(unknown.is_some_and(|message| message.contains("there are ")), "{kind}: {problems:?}");
        assert!(unknown.is_some_and(|message| !message.contains("there are none")), "{kind}: {problems:?}");
    }
}

#[test]
fn rules_say_what_the_definitions_rules_say() {
    let check = |kind: &str, spec: Value, path: Option<&str>| {
        let whole = of_kind(kind, &spec);
        let paths: Vec<String> = object(&whole).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths.first().map(String::as_str), path, "{kind} {spec}");
        let evaluated = cel(kind, &whole);
        assert_eq!(evaluated.is_empty(), path.is_none(), "{kind} {spec}: {evaluated:?}");
        let undecided = evaluated.iter().find(|text| text.contains("compil") || text.contains("ndeclared"));
        assert_eq!(undecided, None, "{kind} {spec}");
    };
    let half = "-".repeat(500_000);
    let from = |config_map: Value| json!({"modulesFrom": [{"configMapRef": config_map}]});
    check("LuaPlugin", json!({}), None);
    check("LuaPlugin", from(json!({"name": "a"})), None);
    let namespaced = from(json!({"name": "a", "namespace": "b"}));
    check("LuaPlugin", namespaced.clone(), Some("spec.modulesFrom[0].configMapRef.namespace"));
    check("LuaPlugin", json!({"phases": {"access": "return"}, "modules": {"shop.util-1": "return {}"}}), None);
    check("LuaPlugin", json!({"modules": {"../x": ""}}), Some("spec.modules[../x]"));
    check("LuaPlugin", json!({"modules": {"": ""}}), Some("spec.modules[]"));
    check("LuaPlugin", json!({"sharedDicts": {"quota": "1Mi"}, "variables": {"tier": ""}}), None);
    check("LuaPlugin", json!({"sharedDicts": {"quo-ta": "1Mi"}}), Some("spec.sharedDicts[quo-ta]"));
    check("LuaPlugin", json!({"variables": {"1x": "a"}}), Some("spec.variables[1x]"));
    check("LuaPlugin", json!({"phases": {"access": half, "log": half}}), Some("spec.phases"));
    check("LuaPlugin", json!({"phases": {"access": half}, "modules": {"x": half}}), Some("spec.phases"));
    check("ClusterLuaPlugin", namespaced, None);
    let bare = from(json!({"name": "a"}));
    check("ClusterLuaPlugin", bare, Some("spec.modulesFrom[0].configMapRef.namespace"));
    let allowed = |allowed: Value| json!({"allowedNamespaces": allowed});
    check("ClusterLuaPlugin", allowed(json!({"from": "All"})), None);
    check("ClusterLuaPlugin", allowed(json!({"from": "Selector", "selector": {}})), None);
    check("ClusterLuaPlugin", allowed(json!({"from": "Selector"})), Some("spec.allowedNamespaces"));
    check("ClusterLuaPlugin", allowed(json!({"from": "All", "selector": {}})), Some("spec.allowedNamespaces"));
    let expression = |one: Value| allowed(json!({"from": "Selector", "selector": {"matchExpressions": [one]}}));
    check("ClusterLuaPlugin", expression(json!({"key": "a", "operator": "In", "values": ["b"]})), None);
    check("ClusterLuaPlugin", expression(json!({"key": "a", "operator": "Exists"})), None);
    let place = Some("spec.allowedNamespaces.selector.matchExpressions[0]");
    check("ClusterLuaPlugin", expression(json!({"key": "a", "operator": "In"})), place);
    check("ClusterLuaPlugin", expression(json!({"key": "a", "operator": "Exists", "values": ["b"]})), place);
    let to = |target: Value| json!({"pluginRef": {"name": "a"}, "targetRefs": [target]});
    check("LuaPluginBinding", to(json!({"kind": "Ingress", "name": "a", "sectionName": "/x"})), None);
    check("LuaPluginBinding", to(json!({"group": "networking.k8s.io", "kind": "Ingress", "name": "a"})), None);
    check("LuaPluginBinding", to(json!({"group": "", "kind": "Service", "name": "a"})), None);
    let group = Some("spec.targetRefs[0].group");
    check("LuaPluginBinding", to(json!({"group": "", "kind": "Ingress", "name": "a"})), group);
    check("LuaPluginBinding", to(json!({"group": "apps", "kind": "Namespace", "name": "a"})), group);
    let section = Some("spec.targetRefs[0].sectionName");
    check("LuaPluginBinding", to(json!({"kind": "Service", "name": "a", "sectionName": "/x"})), section);
    let with = |target: Value, secret: Value| json!({"pluginRef": {"name": "a"}, "targetRefs": [target], "secretRefs": [secret]});
    let (service, class) = (json!({"kind": "Service", "name": "a"}), json!({"kind": "IngressClass", "name": "a"}));
    let own = json!({"path": "redis.password", "name": "a", "key": "b"});
    let theirs = json!({"path": "redis.password", "name": "a", "key": "b", "namespace": "c"});
    let namespace = Some("spec.secretRefs[0].namespace");
    check("LuaPluginBinding", with(service.clone(), own.clone()), None);
    check("LuaPluginBinding", with(service, theirs.clone()), namespace);
    check("ClusterLuaPluginBinding", with(class.clone(), theirs), None);
    check("ClusterLuaPluginBinding", with(class, own), namespace);
    check("ClusterLuaPluginBinding", to(json!({"group": "", "kind": "Namespace", "name": "a"})), None);
    check("ClusterLuaPluginBinding", to(json!({"group": "", "kind": "IngressClass", "name": "a"})), group);
    let lua = |lua: Value| json!({"lua": lua});
    let wrong = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    check("MoongateConfig", lua(json!({"namespaces": [{"selector": {}}]})), None);
    let selector = Some("spec.lua.namespaceSelector.matchExpressions[0]");
    check("MoongateConfig", lua(json!({"namespaceSelector": wrong})), selector);
    let selector = Some("spec.lua.namespaces[0].selector.matchExpressions[0]");
    check("MoongateConfig", lua(json!({"namespaces": [{"selector": wrong}]})), selector);
}

#[test]
fn what_the_schema_refuses_is_said_with_its_place() {
    let check = |kind: &str, spec: Value, text: &str| {
        let problems = object(&of_kind(kind, &spec));
        let texts: Vec<String> = problems.iter().map(FieldProblem::to_string).collect();
        assert!(texts.iter().any(|found| found.contains(text)), "{kind} {spec}: {texts:?}");
    };
    check(
        "LuaPlugin",
        json!({"phases": {"acces": ""}}),
        "spec.phases.acces: is not a field here: did you mean access?",
    );
    check("LuaPlugin", json!({"priority": "1"}), "spec.priority: must be an integer, and is a string");
    check("LuaPlugin", json!({"sharedDicts": {"a": "1 MB"}}), "spec.sharedDicts.a: must match the pattern");
    check("LuaPlugin", json!({"limits": {"cpu": "20"}}), "spec.limits.cpu: must match the pattern");
    check("LuaPlugin", json!({"failurePolicy": "Open"}), "must be one of \"Fail\", \"Ignore\"");
    check("LuaPlugin", json!({"allowedNamespaces": {}}), "spec.allowedNamespaces: is not a field here");
    check("LuaPluginBinding", json!({}), "spec.pluginRef: is required, and missing");
    check("LuaPluginBinding", json!({"pluginRef": {"name": "a"}, "targetRefs": []}), "must have at least 1");
    check("ClusterLuaPluginBinding", json!({"pluginRef": {"kind": "LuaPlugin", "name": "a"}}), "must be one of");
    check("MoongateConfig", json!({"http": {"proxyReadTimout": "1s"}}), "did you mean proxyReadTimeout?");
    check("MoongateConfig", json!({"tls": {"redirectPort": 70000}}), "must be at most 65535");
    check("MoongateConfig", json!({"hostOwnership": "None"}), "must be one of \"Shared\", \"Namespace\"");
    check("MoongateConfig", Value::Null, "spec: is required, and missing");
    assert_eq!(object(&json!({"kind": "Ingress", "spec": {"nonsense": 1}})), []);
}

#[test]
fn a_plugins_code_is_checked() {
    let check = |spec: Value, texts: &[&str]| {
        let spec: PluginSpec = serde_json::from_value(spec).unwrap();
        let problems: Vec<String> = code(&spec).iter().map(FieldProblem::to_string).collect();
        assert_eq!(problems.len(), texts.len(), "{problems:?}");
        assert!(problems.iter().zip(texts).all(|(problem, text)| problem.contains(text)), "{problems:?}");
    };
    check(json!({"phases": {"access": "local config, meta = ..."}, "modules": {"a": "return {}"}}), &[]);
    check(
        json!({"phases": {"access": "x =", "log": "y ="}, "modules": {"a": "\u{1b}LJ"}}),
        &[
            "spec.phases.access: line 1, column 4",
            "spec.phases.log: line 1",
            "spec.modules[a]: line 1, column 1: precompiled",
        ],
    );
    check(
        json!({"configSchema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {"$ref": "x"}}}}}),
        &["openAPIV3Schema.properties.a.type", "openAPIV3Schema.properties.a.$ref"],
    );
}
