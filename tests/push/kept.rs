//! An object is broken while controllers come and go: what data planes have of it stays.

use std::path::Path;
use std::time::Duration;

use controller::Translator;
use controller::files::read_text;
use controller::store::{self, Kind, ObjectId, Update};
use controller::translate::Options;
use routing::ObjectName;

use super::controller::Controller;
use super::plane::DataPlane;

const HOST: &str = "a.example.com";

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {moongate.dev/plugins: 'auth, last'}}
spec:
  ingressClassName: moongate
  rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: moongate.dev/v1alpha1
kind: LuaPlugin
metadata: {name: last}
spec: {priority: -1, phases: {access: ngx.exit(418)}}
";

/// A controller with what it watches.
struct Watching {
    controller: Controller,
    translator: Translator,
}

impl Watching {
    /// One that starts when the cluster is like this.
    fn start(objects: &[&str]) -> Self {
        let mut this = Self { controller: Controller::start(), translator: Translator::new(Options::standalone()) };
        this.change(apply(INGRESS).into_iter().chain(objects.iter().flat_map(|text| apply(text))).collect());
        this
    }

    fn change(&mut self, updates: Vec<Update>) -> u64 {
        let step = self.translator.change(updates);
        self.controller.commit_with([step.changes, step.retold].concat(), &step.stand_ins)
    }

    /// It takes the lead over, and its first batch is applied by so many data planes.
    fn lead(&self, term: u64, planes: usize) {
        self.controller.publisher.lead(term);
        self.controller.wait_for("the answers", |p| {
            let has = p.planes.values().filter(|plane| plane.applied.is_some_and(|(applied, _)| applied == term));
            has.count() == planes
        });
    }

    fn sent(&self) -> u64 {
        self.controller.metric("moongate_push_sent_bytes_total")
    }
}

fn apply(text: &str) -> Vec<Update> {
    let (objects, problems) = read_text(text);
    assert_eq!(problems, []);
    objects.into_iter().map(Update::Apply).collect()
}

fn plugin(code: &str) -> String {
    format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {{name: auth}}\nspec: {{phases: {{access: '{code}'}}}}"
    )
}

fn plane(controllers: &[&Watching], file: Option<&Path>) -> DataPlane {
    DataPlane::with(controllers.iter().map(|c| c.controller.address.to_string()).collect(), |options| {
        options.table_file = file.map(Path::to_owned);
        if options.controllers.is_empty() {
            options.controllers.push("127.0.0.1:1".into());
            options.times.start_from_disk = Duration::from_millis(50);
        }
    })
}

/// A data plane that serves by the first controller's table, which is gone; the other is to lead next.
fn left_by(first: Watching, late: &Watching) -> DataPlane {
    let old = plane(&[&first, late], None);
    first.lead(1, 1);
    old.serves(HOST, 402);
    drop(first);
    old
}

#[test]
fn a_controller_that_starts_after_a_plugin_broke_takes_nothing_away() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    let mut first = Watching::start(&[&plugin("ngx.exit(402)")]);
    let mut late = Watching::start(&[&plugin("ngx.exit((")]);
    let old = plane(&[&first, &late], Some(&file));
    first.lead(1, 1);
    old.serves(HOST, 402);
    first.change(apply(&plugin("ngx.exit((")));
    drop(first);
    late.lead(2, 1);
    assert_eq!(old.status(HOST), 402);
    let failed = |late: &Watching| late.controller.planes().planes.values().any(|p| p.failed_total > 0);
    assert!(!failed(&late), "{:?}", late.controller.planes());
    // Both agree: it is said once.
    let before = late.sent();
    late.controller.publisher.stand_by();
    late.lead(3, 1);
    let sent = late.sent() - before;
    assert!(sent < 200, "{sent} bytes");
    assert_eq!(old.status(HOST), 402);
    // Its last table is on disk.
    old.wait_for("the file", |_| std::fs::read_to_string(&file).is_ok_and(|table| table.contains("\"applied\":[3,")));
    drop(old);
    plane(&[], Some(&file)).serves(HOST, 402);
    let old = plane(&[&late], Some(&file));
    late.lead(4, 1);
    assert_eq!(old.status(HOST), 402);
    // One that never had it refuses.
    let new = plane(&[&late], None);
    late.lead(5, 2);
    new.serves(HOST, 503);
    assert!(!failed(&late), "{:?}", late.controller.planes());
    late.change(apply(&plugin("ngx.exit(403)")));
    old.serves(HOST, 403);
    new.serves(HOST, 403);
    let counter = late.change(apply(&plugin("ngx.exit((")));
    late.controller.wait_for("the answers", |p| p.having(counter) == (2, 2));
    assert_eq!((old.status(HOST), new.status(HOST)), (403, 403));
    late.change(vec![Update::Delete(ObjectId::new(Kind::LuaPlugin, ObjectName::new("default", "auth")))]);
    old.serves(HOST, 503);
    new.serves(HOST, 503);
}

#[test]
fn a_deletion_takes_effect_where_the_broken_object_was_all_that_was_known() {
    let first = Watching::start(&[&plugin("ngx.exit(402)")]);
    let mut late = Watching::start(&[&plugin("ngx.exit((")]);
    let old = left_by(first, &late);
    late.lead(2, 1);
    assert_eq!(old.status(HOST), 402);
    let ingress = INGRESS.split("---").next().unwrap().replace("auth, last", "last");
    late.change(apply(&ingress));
    old.serves(HOST, 418);
}

#[test]
fn a_standby_that_was_there_has_the_last_good_version_itself() {
    let mut both = [Watching::start(&[&plugin("ngx.exit(402)")]), Watching::start(&[&plugin("ngx.exit(402)")])];
    let old = plane(&[&both[0], &both[1]], None);
    both[0].lead(1, 1);
    old.serves(HOST, 402);
    for controller in &mut both {
        controller.change(apply(&plugin("ngx.exit((")));
    }
    let [first, second] = both;
    drop(first);
    second.lead(2, 1);
    assert_eq!(old.status(HOST), 402);
    let sent = second.sent();
    assert!(sent < 200, "{sent} bytes");
    // So has one that joins.
    let new = plane(&[&second], None);
    second.lead(3, 2);
    assert_eq!(new.status(HOST), 402);
}

#[test]
fn a_plugin_that_may_fail_is_kept_and_left_out_where_it_never_was() {
    let with = |code: &str| plugin(code).replace("spec: {", "spec: {failurePolicy: Ignore, ");
    let first = Watching::start(&[&with("ngx.exit(402)")]);
    let late = Watching::start(&[&with("ngx.exit((")]);
    let old = left_by(first, &late);
    let new = plane(&[&late], None);
    late.lead(2, 2);
    assert_eq!((old.status(HOST), new.status(HOST)), (402, 418));
}

#[test]
fn a_binding_keeps_its_config_and_no_secret_that_is_taken_away() {
    let schema = "{type: object, required: [code], properties: {code: {type: string}, limit: {type: integer}}}";
    let schema = format!("spec: {{configSchema: {{openAPIV3Schema: {schema}}}, ");
    let plugin = |code: &str| plugin(code).replace("spec: {", &schema);
    let good = plugin("local config = ... ngx.exit(tonumber(config.code))");
    let binding = |limit: &str| {
        format!(
            "
apiVersion: moongate.dev/v1alpha1
kind: LuaPluginBinding
metadata: {{name: bound}}
spec:
  pluginRef: {{name: auth}}
  targetRefs: [{{group: networking.k8s.io, kind: Ingress, name: shop}}]
  config: {{limit: {limit}}}
  secretRefs: [{{path: code, name: secret, key: code}}]
"
        )
    };
    let secret = "
apiVersion: v1
kind: Secret
metadata: {name: secret, labels: {moongate.dev/lua-readable: 'true'}}
stringData: {code: '402'}
";
    let ingress = INGRESS.split("---").next().unwrap().replace("auth, last", "last");
    // What is broken is the config, or the plugin.
    for (broken_plugin, broken_binding) in [(good.clone(), binding("none")), (plugin("this is not Lua"), binding("1"))]
    {
        let first = Watching::start(&[&good, &binding("1"), secret, &ingress]);
        let mut late = Watching::start(&[&broken_plugin, &broken_binding, secret, &ingress]);
        let old = left_by(first, &late);
        let new = plane(&[&late], None);
        late.lead(2, 2);
        new.serves(HOST, 503);
        assert_eq!(old.status(HOST), 402);
        late.change(vec![Update::Delete(ObjectId::new(Kind::Secret, ObjectName::new("default", "secret")))]);
        old.serves(HOST, 503);
        late.change(apply(secret));
        late.change(apply(&good));
        late.change(apply(&binding("1")));
        old.serves(HOST, 402);
        new.serves(HOST, 402);
    }
}

#[test]
fn a_binding_that_cannot_be_read_goes_on_where_it_is_for_and_nowhere_if_that_cannot_be_told() {
    let target = "{group: networking.k8s.io, kind: Ingress, name: shop}";
    let good = format!(
        "apiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: bound}}\nspec: {{pluginRef: {{name: auth}}, targetRefs: [{target}]}}\n"
    );
    let ingress = INGRESS.split("---").next().unwrap().replace("auth, last", "last");
    let auth = plugin("ngx.exit(402)");
    let bad = |targets: serde_json::Value| {
        let id = ObjectId::new(Kind::LuaPluginBinding, ObjectName::new("default", "bound"));
        let json = serde_json::json!({"spec": {"pluginRef": {"name": "auth"}, "targetRefs": targets, "config": 1}});
        vec![Update::Apply(store::unreadable(&id, &json).unwrap())]
    };
    let shop = serde_json::json!([{"group": "networking.k8s.io", "kind": "Ingress", "name": "shop"}]);
    for (targets, status) in [(shop, 402), (serde_json::json!("shop"), 503)] {
        let first = Watching::start(&[&auth, &good, &ingress]);
        let mut late = Watching::start(&[&auth, &ingress]);
        late.change(bad(targets.clone()));
        let old = left_by(first, &late);
        let new = plane(&[&late], None);
        late.lead(2, 2);
        assert_eq!((old.status(HOST), new.status(HOST)), (status, 503), "{targets}");
        late.change(apply(&good));
        old.serves(HOST, 402);
        new.serves(HOST, 402);
    }
}

#[test]
fn a_plugin_that_is_kept_runs_for_no_namespace_that_may_use_it_no_more() {
    let with = |code: &str, from: &str| {
        format!(
            "apiVersion: moongate.dev/v1alpha1\nkind: ClusterLuaPlugin\nmetadata: {{name: auth}}\nspec: {{allowedNamespaces: {{from: {from}}}, phases: {{access: '{code}'}}}}"
        )
    };
    let ingress = INGRESS.split("---").next().unwrap().replace("auth, last", "cluster/auth, last");
    let first = Watching::start(&[&with("ngx.exit(402)", "All"), &ingress]);
    let mut late = Watching::start(&[&with("ngx.exit((", "All"), &ingress]);
    let old = left_by(first, &late);
    late.lead(2, 1);
    assert_eq!(old.status(HOST), 402);
    late.change(apply(&with("ngx.exit((", "None")));
    old.serves(HOST, 503);
}

#[test]
fn routes_whose_class_cannot_be_read_stay_with_all_that_they_take() {
    let class = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: moongate}
spec: {controller: moongate.dev/ingress-controller}
";
    let start = |class: Vec<Update>| {
        let mut this = Watching { controller: Controller::start(), translator: Translator::new(Options::default()) };
        this.change([class, apply(INGRESS), apply(&plugin("ngx.exit(402)"))].concat());
        this
    };
    let id = ObjectId::new(Kind::IngressClass, ObjectName::cluster("moongate"));
    let (first, mut late) = (start(apply(class)), start(vec![Update::Unknown(id.clone())]));
    let old = plane(&[&first, &late], None);
    first.lead(1, 1);
    old.serves(HOST, 402);
    let keys = old.metric("moongate_push_keys");
    drop(first);
    late.lead(2, 1);
    assert_eq!((old.status(HOST), old.metric("moongate_push_keys")), (402, keys));
    let before = late.sent();
    late.controller.publisher.stand_by();
    late.lead(3, 1);
    let sent = late.sent() - before;
    assert!(sent < 200, "{sent} bytes");
    late.change(apply(class));
    late.change(apply(&plugin("ngx.exit(403)")));
    old.serves(HOST, 403);
    late.change(vec![Update::Delete(id)]);
    old.serves(HOST, 404);
}
