//! What is bad or unknown costs nothing that was good.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use controller::Translator;
use controller::files::read_text;
use controller::store::{self, Kind, Object, ObjectId, Update};
use controller::translate::Options;
use routing::key::{BindingKey, ChainKey, PathKind, PluginKey, PluginKind, RouteKey};
use routing::value::{Action, Value};
use routing::{Change, Key, ObjectName};

const OBJECTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {moongate.dev/plugins: auth}}
spec:
  tls: [{hosts: [shop], secretName: shop}]
  rules: [{host: shop, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
"#;

fn object(text: &str) -> Object {
    let (mut objects, problems) = read_text(text);
    assert_eq!(problems, []);
    objects.remove(0)
}

fn shop() -> Translator {
    let mut translator = Translator::new(Options::standalone());
    let (objects, problems) = read_text(OBJECTS);
    assert_eq!(problems, []);
    translator.change(objects.into_iter().map(Update::Apply));
    translator
}

fn route(path: &str) -> Key {
    Key::Route(RouteKey { host: "shop".into(), kind: PathKind::Prefix, path: path.into() })
}

fn secret(certificate: &str, key: &str) -> Object {
    secret_named("shop", certificate, key)
}

fn secret_named(name: &str, certificate: &str, key: &str) -> Object {
    let indented = |pem: &str| pem.replace('\n', "\n    ");
    object(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(certificate),
        indented(key)
    ))
}

#[test]
fn a_certificate_outlives_a_bad_update_and_not_its_secret() {
    let mut translator = shop();
    let key = Key::Certificate(ObjectName::new("default", "shop"));
    let pair = || rcgen::generate_simple_self_signed(vec!["shop".to_owned()]).unwrap();
    let (one, other) = (pair(), pair());
    let mut check = |update: Update, is_there: bool, reasons: &[&str]| {
        translator.change([update]);
        let found: Vec<_> = translator.problems().iter().map(|p| p.reason).filter(|r| *r != "PluginNotFound").collect();
        assert_eq!((translator.get(&key).is_some(), found.as_slice()), (is_there, reasons));
    };
    check(Update::Apply(secret(&one.cert.pem(), &other.signing_key.serialize_pem())), false, &["InvalidCertificate"]);
    check(Update::Apply(secret(&one.cert.pem(), &one.signing_key.serialize_pem())), true, &[]);
    check(Update::Apply(secret("not PEM", "at all")), true, &["InvalidCertificate"]);
    let id = ObjectId::new(Kind::Secret, ObjectName::new("default", "shop"));
    check(Update::Unknown(id.clone()), true, &["InvalidCertificate"]);
    check(Update::Delete(id), false, &["SecretNotFound"]);
}

#[test]
fn a_host_keeps_the_certificate_of_an_entry_without_hosts_through_a_bad_update() {
    let ingress = |entries: &str| {
        Update::Apply(object(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: shop}}\nspec:\n  tls: [{entries}]\n  rules: [{{host: shop}}, {{host: more}}]\n"
        )))
    };
    let pair = |name: &str, hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let pair = rcgen::generate_simple_self_signed(hosts).unwrap();
        Update::Apply(secret_named(name, &pair.cert.pem(), &pair.signing_key.serialize_pem()))
    };
    let (good, other) = (pair("shop", &["shop"]), pair("other", &["shop", "more"]));
    let bad = Update::Apply(secret("not PEM", "at all"));
    let mut translator = Translator::new(Options::standalone());
    let mut check = |updates: Vec<Update>, expected: [Option<&str>; 2], is_told: bool| {
        translator.change(updates);
        let certificate = |host: &str| match &**translator.get(&Key::Host(host.into())).unwrap() {
            Value::Host(host) => host.certificate.as_ref().map(|name| name.name.clone()),
            other => panic!("{other:?}"),
        };
        let told = translator.problems().iter().any(|p| p.reason == "InvalidCertificate");
        let found = [certificate("shop"), certificate("more")];
        assert_eq!((found, told), (expected.map(|name| name.map(str::to_owned)), is_told));
        for name in expected.iter().flatten() {
            assert!(translator.get(&Key::Certificate(ObjectName::new("default", *name))).is_some(), "{name}");
        }
    };
    check(vec![ingress("{secretName: shop}"), good.clone()], [Some("shop"), None], false);
    check(vec![bad.clone()], [Some("shop"), None], true);
    // The broken one stands before one that is good for both.
    check(vec![ingress("{secretName: shop}, {secretName: other}"), other], [Some("other"), Some("other")], true);
    check(vec![good], [Some("shop"), Some("other")], false);
    check(vec![bad], [Some("other"), Some("other")], true);
    check(vec![ingress("")], [None, None], false);
}

#[test]
fn a_route_to_an_unknown_service_stays_and_a_new_one_refuses() {
    let mut translator = shop();
    let service = ObjectId::new(Kind::Service, ObjectName::new("default", "web"));
    let step = translator.change([Update::Delete(service.clone())]);
    assert!(!step.changes.is_empty(), "an absent Service is no unknown one");
    translator.change([Update::Apply(read_text(OBJECTS).0.remove(1))]);
    let before = translator.table();

    translator.change([Update::Unknown(service.clone()), Update::Unknown(service.clone())]);
    assert_eq!(translator.table(), before);
    let more = OBJECTS.replace("{path: /,", "{path: /new,").replace("name: shop,", "name: more,");
    translator.change([Update::Apply(read_text(&more).0.remove(0))]);
    let action = |translator: &Translator| match &**translator.get(&route("/new")).unwrap() {
        Value::Route(route) => route.action.clone(),
        other => panic!("{other:?}"),
    };
    // The Service's last state is still in the store, so a route that is new goes there.
    assert!(matches!(action(&translator), Action::Forward(_)));
    let never_seen = ObjectId::new(Kind::Service, ObjectName::new("default", "never-seen"));
    let other = more.replace("name: web, port", "name: never-seen, port").replace("/new", "/other");
    translator.change([Update::Unknown(never_seen), Update::Apply(read_text(&other).0.remove(0))]);
    let Value::Route(route) = &**translator.get(&route("/other")).unwrap() else { panic!("no route") };
    assert!(matches!(route.action, Action::Refuse { status: 503, .. }), "{:?}", route.action);
}

#[test]
fn a_plugin_that_was_good_once_goes_on_and_one_that_never_was_closes_its_routes() {
    let mut translator = shop();
    let plugin = |code: &str| {
        let text = format!(
            "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: auth}}\nspec: {{phases: {{access: {code}}}}}\n"
        );
        Update::Apply(object(&text))
    };
    let chain = Key::Chain(ChainKey::Ingress(ObjectName::new("default", "shop")));
    let mut check = |update: Option<Update>, broken: Option<&str>| {
        translator.change(update);
        let Value::Chain(chain) = &**translator.get(&chain).unwrap() else { panic!("no chain") };
        let found = chain.uses[0].broken.as_deref();
        assert_eq!(
            (found.is_some(), found.unwrap_or_default().contains(broken.unwrap_or_default())),
            (broken.is_some(), true),
            "{found:?}"
        );
    };
    check(None, Some("there is no LuaPlugin default/auth"));
    check(Some(plugin("return return")), Some("unexpected symbol"));
    check(Some(plugin("'if'")), Some("<eof>"));
    check(Some(plugin("return")), None);
    check(Some(plugin("return return")), None);
    check(
        Some(Update::Delete(ObjectId::new(Kind::LuaPlugin, ObjectName::new("default", "auth")))),
        Some("there is no"),
    );
    check(Some(plugin("return return")), Some("unexpected symbol"));
}

#[test]
fn what_was_never_known_is_told_as_such() {
    let plugin = |code: &str| {
        let text = format!(
            "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: auth}}\nspec: {{phases: {{access: {code}}}}}\n"
        );
        Update::Apply(object(&text))
    };
    let name = ObjectName::new("default", "auth");
    let key = Key::Plugin(PluginKey { kind: PluginKind::LuaPlugin, name: name.clone() });
    let chain = Key::Chain(ChainKey::Ingress(ObjectName::new("default", "shop")));
    let mut translator = shop();
    // Is the key a stand-in, is its value another, and is that only told; and whether a use may run where it is held.
    let mut check = |update: Update, told: (bool, bool, bool), if_held: bool| {
        let step = translator.change([update]);
        let has = |changes: &[Change]| changes.iter().any(|change| *change.key() == key);
        assert_eq!((step.stand_ins.contains(&key), has(&step.changes), has(&step.retold)), told, "{step:#?}");
        let Value::Chain(chain) = &**translator.get(&chain).unwrap() else { panic!("no chain") };
        assert_eq!(chain.if_held.len(), usize::from(if_held), "{chain:?}");
    };
    check(plugin("return return"), (true, false, true), true);
    check(plugin("'if'"), (false, false, false), true);
    check(Update::Delete(ObjectId::new(Kind::LuaPlugin, name)), (false, false, true), false);
    check(plugin("return return"), (true, false, true), true);
    check(plugin("return"), (false, true, false), false);
    check(plugin("return return"), (false, false, false), false);
    let mut late = shop();
    late.change([plugin("return return")]);
    assert!(late.get(&Key::Namespace("default".into())).is_some(), "an earlier version needs it where it is held");
}

#[test]
fn what_stands_in_follows_what_can_be_told() {
    let mut translator = Translator::new(Options::standalone());
    let objects = read_text(OBJECTS).0.into_iter().filter(|object| object.id().kind == Kind::Ingress);
    let service = |name: &str| Update::Unknown(ObjectId::new(Kind::Service, ObjectName::new("default", name)));
    let key = route("/");
    let step = translator.change(objects.map(Update::Apply).chain([service("web"), service("other")]));
    assert!(step.stand_ins.contains(&key), "{step:#?}");
    let other = OBJECTS.replace("name: web, port", "name: other, port");
    let step = translator.change([Update::Apply(read_text(&other).0.remove(0))]);
    assert!(step.stand_ins.contains(&key), "{step:#?}");
    let Value::Route(value) = &**translator.get(&key).unwrap() else { panic!("no route") };
    assert_eq!(value.service, "other");
    let step = translator.change([Update::Delete(ObjectId::new(Kind::Service, ObjectName::new("default", "other")))]);
    let is_told = step.retold.iter().any(|change| *change.key() == key);
    assert!(is_told && step.stand_ins.is_empty(), "it refuses as before, and for certain: {step:#?}");
}

#[test]
fn a_config_outlives_a_bad_update_and_no_secret_that_is_taken_away() {
    let plugin = "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: auth}\nspec: {phases: {access: return}, configSchema: {openAPIV3Schema: {type: object, properties: {limit: {type: integer}, key: {type: string}}}}}\n";
    let binding = |limit: &str| {
        let text = format!(
            "apiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: bound}}\nspec: {{pluginRef: {{name: auth}}, targetRefs: [{{group: networking.k8s.io, kind: Ingress, name: shop}}], config: {{limit: {limit}}}, secretRefs: [{{path: key, name: keys, key: key}}]}}\n"
        );
        Update::Apply(object(&text))
    };
    let secret = |label: &str, key: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, labels: {{moongate.dev/lua-readable: '{label}'}}}}\nstringData: {{{key}: hidden}}\n"
        );
        Update::Apply(object(&text))
    };
    let id = ObjectId::new(Kind::Secret, ObjectName::new("default", "keys"));
    let mut translator = shop();
    translator.change([Update::Apply(object(plugin))]);
    let name = BindingKey::LuaPluginBinding(ObjectName::new("default", "bound"));
    let (key, chain) = (Key::Binding(name.clone()), Key::Chain(ChainKey::Ingress(ObjectName::new("default", "shop"))));
    let mut check = |updates: Vec<Update>, limit: Option<i64>| {
        translator.change(updates);
        let found = translator.get(&key).map(|value| match &**value {
            Value::Binding(binding) => binding.config["limit"].as_i64().unwrap(),
            other => panic!("{other:?}"),
        });
        let Value::Chain(chain) = &**translator.get(&chain).unwrap() else { panic!("no chain") };
        let is_broken = chain.uses.iter().any(|used| used.binding == name && used.broken.is_some());
        assert_eq!((found, is_broken), (limit, limit.is_none()), "{:?}", translator.problems());
    };
    check(vec![secret("true", "key"), binding("1")], Some(1));
    check(vec![binding("none")], Some(1));
    check(vec![Update::Unknown(id.clone())], Some(1));
    for taken in [Update::Delete(id), secret("false", "key"), secret("true", "other")] {
        check(vec![taken], None);
        check(vec![secret("true", "key"), binding("none")], None);
        check(vec![binding("2")], Some(2));
        check(vec![binding("none")], Some(2));
    }
}

/// A class, and an Ingress of it.
fn class(name: &str) -> Vec<Update> {
    let class = format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: moongate.dev/ingress-controller}}\n"
    );
    let ingress = OBJECTS.replace("spec:\n  tls", &format!("spec:\n  ingressClassName: {name}\n  tls"));
    let ingress =
        ingress.replace("host: shop", &format!("host: {name}")).replace("name: shop,", &format!("name: {name},"));
    vec![Update::Apply(object(&class)), Update::Apply(read_text(&ingress).0.remove(0))]
}

#[test]
fn what_was_for_some_class_that_cannot_be_told_closes_every_class_and_runs_in_none() {
    let plugin = "apiVersion: moongate.dev/v1alpha1\nkind: ClusterLuaPlugin\nmetadata: {name: gate}\nspec: {phases: {serverRewrite: return, content: return}}\n";
    let mut translator = Translator::new(Options::default());
    translator.change([class("edge"), class("inner"), vec![Update::Apply(object(plugin))]].concat());
    let id = ObjectId::new(Kind::ClusterLuaPluginBinding, ObjectName::cluster("gate"));
    // Of each class that has a use: whether it is closed, and whether it runs where an earlier version is held.
    let mut check = |targets: serde_json::Value, expected: [Option<(bool, bool)>; 2]| {
        let json = serde_json::json!({"spec": {"pluginRef": {"name": "gate"}, "targetRefs": targets, "config": 1}});
        translator.change([Update::Apply(store::unreadable(&id, &json).unwrap())]);
        let Value::Settings(settings) = &**translator.get(&Key::Settings).unwrap() else { panic!("no settings") };
        let found = ["edge", "inner"].map(|name| {
            let key = ChainKey::Class(name.into());
            let Value::Chain(chain) = &**translator.get(&Key::Chain(key.clone()))? else { panic!("no chain") };
            assert_eq!(settings.server_chains.contains(&key), !chain.uses.is_empty(), "{settings:?}");
            let is_held = chain.if_held.iter().any(|used| used.broken.is_none());
            chain.uses.first().map(|used| (used.broken.is_some(), is_held))
        });
        assert_eq!(found, expected, "{targets}");
        let told = translator.problems().into_iter().filter(|problem| problem.reason == "Malformed");
        told.map(|problem| problem.message).collect::<String>()
    };
    let edge = serde_json::json!([{"group": "networking.k8s.io", "kind": "IngressClass", "name": "edge"}]);
    for _ in 0..2 {
        let told = check(edge.clone(), [Some((true, true)), None]);
        assert!(told.contains("version: what it is for answers 503"), "{told}");
        let told = check(serde_json::json!("edge"), [Some((true, false)); 2]);
        assert!(told.contains("version: IngressClass (every) answers 503"), "{told}");
    }
}
