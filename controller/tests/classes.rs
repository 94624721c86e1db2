//! Which Ingresses are ours: KEP-1453's rules, what the release sets, and changes while running.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use controller::Translator;
use controller::files::read_text;
use controller::store::{Kind, ObjectId, Update};
use controller::translate::Options;
use routing::value::Value;
use routing::{Key, ObjectName, PathKind, RouteKey};

const OURS: &str = "moongate.dev/ingress-controller";

fn class(name: &str, controller: &str, more: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}{more}}}\n\
         spec: {{controller: {controller}}}\n"
    )
}

fn ingress(class: &str, annotation: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!("ingressClassName: {class}, ") };
    let annotations = match annotation {
        "" => String::new(),
        name => format!(", annotations: {{kubernetes.io/ingress.class: {name}}}"),
    };
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i, namespace: shop{annotations}}}\n\
         spec: {{{class}defaultBackend: {{service: {{name: s, port: {{number: 80}}}}}}}}\n"
    )
}

fn config(spec: &str) -> String {
    format!(
        "---\napiVersion: moongate.dev/v1alpha1\nkind: MoongateConfig\nmetadata: {{name: moongate}}\nspec: {spec}\n"
    )
}

fn namespace(labels: &str) -> String {
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{{labels}}}}}\n")
}

fn apply(table: &mut Translator, yaml: &str) {
    let (objects, problems) = read_text(yaml);
    assert_eq!(problems, [], "{yaml}");
    table.change(objects.into_iter().map(Update::Apply));
}

fn is_served(table: &Translator) -> bool {
    let route = RouteKey { host: "*".into(), kind: PathKind::Default, path: "/".into() };
    table.get(&Key::Route(route)).is_some()
}

/// What a cluster's release sets, unless told otherwise.
fn options() -> Options {
    Options { annotation_class: Some("moongate".into()), ..Options::default() }
}

#[test]
fn the_class_decides() {
    let check = |options: &Options, objects: &[String], served: bool| {
        let mut table = Translator::new(options.clone());
        apply(&mut table, &objects.concat());
        assert_eq!(is_served(&table), served, "{}", objects.concat());
    };
    let (own, other) = (class("a", OURS, ""), class("b", "example.com/other", ""));
    let default = |name, controller| {
        class(name, controller, ", annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}")
    };
    let plain = options();
    let without_class = Options { watch_without_class: true, ..options() };
    // By the controller that the class names, not by its name.
    check(&plain, &[own.clone(), ingress("a", "")], true);
    check(&plain, &[class("moongate", "example.com/other", ""), ingress("moongate", "")], false);
    check(&plain, &[other.clone(), ingress("b", "")], false);
    check(&plain, &[ingress("moongate", "")], false);
    check(&Options { controller: "example.com/other".into(), ..options() }, &[other.clone(), ingress("b", "")], true);
    // The annotation: a class, or without an IngressClass our name. It has priority.
    check(&plain, &[own.clone(), ingress("", "a")], true);
    check(&plain, &[ingress("", "moongate")], true);
    check(&plain, &[class("moongate", "example.com/other", ""), ingress("", "moongate")], false);
    check(&plain, &[ingress("", "nginx")], false);
    // No class at all.
    check(&plain, &[own.clone(), ingress("", "")], false);
    check(&plain, &[default("a", OURS), ingress("", "")], true);
    check(&plain, &[default("b", "example.com/other"), own.clone(), ingress("", "")], false);
    check(&without_class, &[own.clone(), ingress("", "")], true);
    check(&without_class, &[ingress("", "")], true);
    check(&without_class, &[other.clone(), ingress("b", "")], false);
}

#[test]
fn classes_of_another_controller_are_served_while_moving_from_it() {
    let mut table = Translator::new(options());
    let name = ObjectName::new("shop", "i");
    apply(&mut table, &[class("nginx", "k8s.io/ingress-nginx", ""), ingress("nginx", "")].concat());
    assert!(!is_served(&table));
    apply(&mut table, &config("{migration: {ingressClasses: [nginx]}}"));
    assert!(is_served(&table));
    assert_eq!(table.own_class(&name), None, "its status stays the other controller's");
    // Also without the IngressClass, as old installations have it.
    table.change([Update::Delete(ObjectId::new(Kind::IngressClass, ObjectName::cluster("nginx")))]);
    apply(&mut table, &ingress("", "nginx"));
    assert!(is_served(&table) && table.own_class(&name).is_none());
    apply(&mut table, &config("{}"));
    assert!(!is_served(&table));
}

#[test]
fn a_class_may_change_at_any_time() {
    let mut table = Translator::new(options());
    let mut step = |yaml: &str, served: bool| {
        apply(&mut table, yaml);
        assert_eq!(is_served(&table), served, "{yaml}");
    };
    step(&ingress("a", ""), false);
    step(&class("a", OURS, ""), true);
    step(&ingress("b", ""), false);
    step(&class("b", OURS, ""), true);
    step(&ingress("", ""), false);
    step(&class("b", OURS, ", annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}"), true);
    step(&class("b", OURS, ""), false);
}

#[test]
fn a_selector_chooses_namespaces_and_follows_their_labels() {
    let selector = Some("team in (shop, web)".parse().unwrap());
    let mut table = Translator::new(Options { namespace_selector: selector, ..options() });
    let bad = "---\napiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: p, namespace: shop}\n\
               spec: {phases: {access: 'local'}}\n";
    let mut step = |yaml: &str, served: bool| {
        apply(&mut table, yaml);
        assert_eq!(is_served(&table), served, "{yaml}");
        let told = table.problems().iter().any(|problem| problem.object.kind == "LuaPlugin");
        assert_eq!(told, served, "problems of namespaces that are not ours are not ours to tell");
    };
    step(&[&class("a", OURS, ""), &ingress("a", ""), bad].concat(), false);
    step(&namespace("team: shop"), true);
    step(&namespace("team: other"), false);
    step(&namespace("team: web"), true);
}

#[test]
fn a_default_certificate_is_the_config_s_or_the_command_line_s() {
    let default_certificate = Some(ObjectName::new("x", "line"));
    let mut table = Translator::new(Options { default_certificate, ..options() });
    let mut check = |yaml: &str, expected: &str| {
        apply(&mut table, yaml);
        let Some(Value::Settings(settings)) = table.get(&Key::Settings).map(|value| &**value) else { panic!() };
        assert_eq!(settings.default_certificate.as_ref().unwrap().to_string(), expected);
    };
    check(&class("a", OURS, ""), "x/line");
    check(&config("{tls: {defaultCertificate: {namespace: own, name: config}}}"), "own/config");
    check(&config("{}"), "x/line");
}
