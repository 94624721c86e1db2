//! Whatever is wrong with one thing, it is said in the right place and everything else goes on.

#![forbid(unsafe_code)]

use e2e::manifests::{ingress, plugin, secret, service};
use e2e::{Manifests, Moongate, Upstream, certificates, until};

/// A host that nothing here is about; it has to be served all the time.
const OTHER: &str = "other.example.com";

fn start(upstream: &Upstream) -> (Manifests, Moongate) {
    let manifests = Manifests::new();
    manifests.write(
        "0-other.yaml",
        &[service("backend", &[upstream.port]), ingress("other", OTHER, "/", "backend", &[])].join("---\n"),
    );
    let moongate = Moongate::start(&manifests);
    (manifests, moongate)
}

fn goes_on(moongate: &Moongate) {
    assert_eq!(moongate.get(OTHER, "/").text(), "ok", "{}", moongate.process.log());
}

#[test]
fn a_file_that_is_not_yaml_keeps_its_objects() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let text = ingress("shop", "shop.example.com", "/", "backend", &[]);
    manifests.write("shop.yaml", &text);
    moongate.await_answer("shop.example.com", "/", |r| r.status == 200);
    manifests.write("shop.yaml", &format!("{text}  broken: [\n"));
    moongate.await_log("shop.yaml");
    assert_eq!(moongate.metric("moongate_file_errors"), Some(1.0));
    assert_eq!(moongate.get("shop.example.com", "/").status, 200);
    goes_on(&moongate);
    // Repaired, and then gone.
    manifests.write("shop.yaml", &text.replace("shop.example.com", "new.example.com"));
    moongate.await_answer("new.example.com", "/", |r| r.status == 200);
    moongate.await_log("solved: ");
    assert_eq!(moongate.metric("moongate_file_errors"), Some(0.0));
    assert_eq!(moongate.get("shop.example.com", "/").status, 404);
    manifests.remove("shop.yaml");
    moongate.await_answer("new.example.com", "/", |r| r.status == 404);
}

/// A few lines of aliases of aliases stand for more than any machine holds.
#[test]
fn a_file_whose_aliases_stand_for_too_much_is_refused() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let level = |n: usize| format!("  a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","));
    let levels: String = (1..30).map(level).collect();
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: many, namespace: shop}\ndata:\n";
    manifests.write("many.yaml", &format!("{head}  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{levels}"));
    let logged = moongate.await_log("many.yaml").to_string();
    assert!(logged.contains("its aliases (`*name`) stand for more than 100000 nodes"), "{logged}");
    goes_on(&moongate);
    let check = e2e::moongate::command(&["check", &manifests.path().display().to_string()]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("many.yaml:")).expect("the file is named");
    assert!(line.contains("error: is not YAML") && line.contains("write out what they stand for"), "{line}");
}

#[test]
fn an_object_that_is_not_valid_is_said_and_the_others_of_its_file_are_served() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let good = ingress("good", "good.example.com", "/", "backend", &[]);
    let check = |bad: &str, word: &str| {
        manifests.write("more.yaml", &format!("{bad}---\n{good}"));
        moongate.await_log(word);
        moongate.await_answer("good.example.com", "/", |r| r.status == 200);
        goes_on(&moongate);
        manifests.remove("more.yaml");
        moongate.await_answer("good.example.com", "/", |r| r.status == 404);
    };
    check(&ingress("bad", "bad_host!.example.com", "/", "backend", &[]), "bad_host!");
    check(&ingress("bad", "a.example.com", "relative", "backend", &[]), "relative");
    check(&ingress("bad", "a.example.com", "/", "backend", &[]).replace("Prefix", "Sometimes"), "Sometimes");
    check("apiVersion: v1\nkind: Teapot\nmetadata: {name: t, namespace: shop}\n", "Teapot");
    check("just: text\n", "more.yaml");
    check(&plugin("bad", &[("noPhase", "return")], ""), "noPhase");
    check(&plugin("bad", &[("access", "return")], "priority: high"), "priority");
}

#[test]
fn a_script_that_does_not_compile_keeps_its_last_good_version() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let say = |what: &str| plugin("say", &[("content", what)], "");
    let with = |script: &str| {
        [ingress("shop", "shop.example.com", "/", "backend", &[("moongate.dev/plugins", "say")]), say(script)]
            .join("---\n")
    };
    manifests.write("shop.yaml", &with("ngx.say('one')"));
    moongate.await_answer("shop.example.com", "/", |r| r.text() == "one\n");
    manifests.write("shop.yaml", &with("ngx.say('two'"));
    let told = moongate.await_log("spec.phases.content");
    assert_eq!(told["level"], "ERROR", "{told}");
    assert_eq!(moongate.get("shop.example.com", "/").text(), "one\n");
    goes_on(&moongate);
    manifests.write("shop.yaml", &with("ngx.say('three')"));
    moongate.await_answer("shop.example.com", "/", |r| r.text() == "three\n");
}

#[test]
fn a_script_that_was_never_good_closes_its_route() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let with = |plugins: &str, policy: &str| {
        [
            ingress("shop", "shop.example.com", "/", "backend", &[("moongate.dev/plugins", plugins)]),
            plugin("broken", &[("access", "this is not Lua")], &format!("failurePolicy: {policy}")),
        ]
        .join("---\n")
    };
    manifests.write("shop.yaml", &with("broken", "Fail"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 503);
    goes_on(&moongate);
    manifests.write("shop.yaml", &with("broken", "Ignore"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 200);
    manifests.write("shop.yaml", &with("no-such-plugin", "Fail"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 503);
    moongate.await_log("no-such-plugin");
    goes_on(&moongate);
}

#[test]
fn a_script_that_fails_ends_its_own_request() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let script = "if ngx.var.arg_fail then local t = nil; t.x = 1 end\n\
                  if ngx.var.arg_loop then while true do end end\n\
                  if ngx.var.arg_memory then local t = {}; for i = 1, 1e9 do t[i] = ('x'):rep(1e5) .. i end end";
    let annotations = [("moongate.dev/plugins", "wild")];
    let documents =
        [ingress("shop", "shop.example.com", "/", "backend", &annotations), plugin("wild", &[("access", script)], "")];
    manifests.write("shop.yaml", &documents.join("---\n"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 200);
    for what in ["fail", "loop", "memory"] {
        for _ in 0..3 {
            assert_eq!(
                moongate.get("shop.example.com", &format!("/?{what}=1")).status,
                500,
                "{what}\n{}",
                moongate.process.log()
            );
            assert_eq!(moongate.get("shop.example.com", "/").status, 200, "after {what}\n{}", moongate.process.log());
            goes_on(&moongate);
        }
    }
    // OpenResty's words: the phase is the chunk's name.
    moongate.await_log("access:1: ");
}

#[test]
fn a_config_that_does_not_fit_its_schema_closes_the_route_until_it_does() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let schema = "configSchema:\n  openAPIV3Schema:\n    type: object\n    required: [limit]\n    properties:\n      \
                  limit: {type: integer, minimum: 1}\n      word: {type: string, default: none}";
    let script = "local config = ...\nngx.say(config.limit, ' ', config.word)";
    let with = |config: &str| {
        format!(
            "{}---\n{}---\napiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: b, namespace: shop}}\n\
             spec:\n  pluginRef: {{name: limited}}\n  targetRefs: [{{group: networking.k8s.io, kind: Ingress, name: shop}}]\n  \
             config: {config}\n",
            ingress("shop", "shop.example.com", "/", "backend", &[]),
            plugin("limited", &[("content", script)], schema)
        )
    };
    manifests.write("shop.yaml", &with("{limit: many}"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 503);
    moongate.await_log("limit");
    goes_on(&moongate);
    manifests.write("shop.yaml", &with("{limit: 7}"));
    moongate.await_answer("shop.example.com", "/", |r| r.text() == "7 none\n");
    manifests.write("shop.yaml", &with("{limit: 0}"));
    until("the refusal of the new config", || {
        let told = moongate.log().iter().filter(|l| l["level"] == "ERROR").count();
        if told >= 2 { Ok(()) } else { Err(moongate.process.log()) }
    });
    assert_eq!(moongate.get("shop.example.com", "/").text(), "7 none\n", "the last good config stays");
    goes_on(&moongate);
}

#[test]
fn a_binding_that_could_never_be_read_closes_its_targets_unless_it_may_fail() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let with = |policy: &str, field: &str| {
        [
            ingress("shop", "shop.example.com", "/", "backend", &[]),
            ingress("beside", "beside.example.com", "/", "backend", &[]),
            plugin("auth", &[("access", "ngx.exit(401)")], policy),
            format!(
                "apiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: b, namespace: shop}}\n\
                 spec:\n  pluginRef: {{name: auth}}\n  targetRefs: [{{group: networking.k8s.io, kind: Ingress, \
                 name: shop}}]\n  {field}: {{}}\n"
            ),
        ]
        .join("---\n")
    };
    let answers = |text: &str, status: u16| {
        manifests.write("shop.yaml", text);
        moongate.await_answer("beside.example.com", "/", |r| r.status == 200);
        moongate.await_answer("shop.example.com", "/", |r| r.status == status);
    };
    answers(&with("", "confg"), 503);
    moongate.await_log("what it is for answers 503");
    manifests.remove("shop.yaml");
    moongate.await_answer("shop.example.com", "/", |r| r.status == 404);
    answers(&with("failurePolicy: Ignore", "confg"), 200);
    answers(&with("", "config"), 401);
    // It has a last version now.
    answers(&with("", "confg").replace("401", "402"), 402);
    goes_on(&moongate);
}

#[test]
fn a_binding_that_moves_to_another_plugin_takes_no_config_of_the_first_with_it() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let schema = |limit: &str| {
        format!(
            "configSchema:\n  openAPIV3Schema:\n    type: object\n    required: [limit]\n    properties:\n      \
             limit: {{type: {limit}}}"
        )
    };
    let says = |who: &str| format!("local config = ...\nngx.say('{who} ', config.limit)");
    let with = |plugin_name: &str, limit: &str| {
        [
            ingress("shop", "shop.example.com", "/", "backend", &[]),
            plugin("first", &[("content", &says("first"))], &schema("integer")),
            plugin("second", &[("content", &says("second"))], &schema("string")),
            format!(
                "apiVersion: moongate.dev/v1alpha1\nkind: LuaPluginBinding\nmetadata: {{name: b, namespace: shop}}\n\
                 spec:\n  pluginRef: {{name: {plugin_name}}}\n  targetRefs: [{{group: networking.k8s.io, kind: Ingress, \
                 name: shop}}]\n  config: {{limit: {limit}}}\n"
            ),
        ]
        .join("---\n")
    };
    manifests.write("shop.yaml", &with("first", "1"));
    moongate.await_answer("shop.example.com", "/", |r| r.text() == "first 1\n");
    manifests.write("shop.yaml", &with("second", "1"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 503);
    goes_on(&moongate);
    // Back where the last good config is from, and what fits the other.
    manifests.write("shop.yaml", &with("first", "none"));
    moongate.await_answer("shop.example.com", "/", |r| r.text() == "first 1\n");
    manifests.write("shop.yaml", &with("second", "many"));
    moongate.await_answer("shop.example.com", "/", |r| r.text() == "second many\n");
}

#[test]
fn a_certificate_that_is_none_leaves_the_last_good_one() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let one = certificates::make(manifests.logs(), &["shop.example.com"]);
    let host = e2e::manifests::ingress_tls("shop", "shop.example.com", "backend", "tls");
    manifests.write("shop.yaml", &host);
    manifests.write("secret.yaml", &secret("tls", &one.certificate, &one.key));
    let verified = || {
        let file = one.file.display().to_string();
        let said = certificates::s_client(moongate.https, "shop.example.com", &["-CAfile", &file]);
        if said.contains("Verify return code: 0 (ok)") { Ok(()) } else { Err(said) }
    };
    until("the certificate", verified);
    let other = certificates::make(manifests.logs(), &["shop.example.com"]);
    for (certificate, key) in
        [("not PEM", one.key.as_str()), (&one.certificate, "not PEM"), (&one.certificate, &other.key)]
    {
        let before = moongate.log().len();
        manifests.write("secret.yaml", &secret("tls", certificate, key));
        until("a word about the Secret", || {
            let told = moongate.log()[before..].iter().any(|l| l["level"] == "ERROR");
            if told { Ok(()) } else { Err(moongate.process.log()) }
        });
        verified().unwrap();
        goes_on(&moongate);
    }
    let log = moongate.process.log();
    let secret_part = one.key.lines().nth(1).unwrap();
    assert!(!log.contains(secret_part), "a private key was logged");
}

#[test]
fn an_access_restriction_that_is_not_supported_closes_the_route() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let with = |key: &str, value: &str| ingress("shop", "shop.example.com", "/", "backend", &[(key, value)]);
    manifests.write("shop.yaml", &with("nginx.ingress.kubernetes.io/auth-url", "http://auth.example.com/"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 503);
    moongate.await_log("auth-url");
    goes_on(&moongate);
    // Another that is not supported is said, and the rest works.
    manifests.write("shop.yaml", &with("nginx.ingress.kubernetes.io/mirror-target", "http://m.example.com/"));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 200);
    moongate.await_log("mirror-target");
}

#[test]
fn init_code_that_fails_names_its_plugin_and_is_not_run_for_each_request() {
    let upstream = Upstream::answering("ok");
    let (manifests, moongate) = start(&upstream);
    let phases = [("init", "ngx.log(ngx.ERR, 'init runs') error('not today')"), ("access", "ngx.ctx.a = 1")];
    let shop = ingress("shop", "shop.example.com", "/", "backend", &[("moongate.dev/plugins", "bad")]);
    manifests.write("shop.yaml", &format!("{}---\n{shop}", plugin("bad", &phases, "")));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 500);
    const REQUESTS: usize = 40;
    for _ in 0..REQUESTS {
        assert_eq!(moongate.get("shop.example.com", "/").status, 500);
    }
    moongate.await_log("init of LuaPlugin shop/bad fails");
    let runs = moongate.process.log().matches("init runs").count();
    assert!((1..REQUESTS / 2).contains(&runs), "{runs} runs of init for {REQUESTS} requests");
    goes_on(&moongate);
    // Mended, it is tried at once.
    manifests.write("shop.yaml", &format!("{}---\n{shop}", plugin("bad", &phases[1..], "")));
    moongate.await_answer("shop.example.com", "/", |r| r.status == 200);
}
