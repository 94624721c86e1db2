//! The subcommands that print and end.

#![forbid(unsafe_code)]

use e2e::manifests::{binding, class_binding, ingress, of_cluster, plugin, service};
use e2e::{Manifests, moongate, tidy};

/// Exit code and standard output.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = moongate::command(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

fn path(manifests: &Manifests) -> String {
    manifests.path().display().to_string()
}

#[test]
fn the_definitions_are_the_files_in_crds() {
    let (code, printed) = run(&["crds"]);
    assert_eq!(code, 0);
    let mut documents: Vec<&str> = printed.split("---\n").collect();
    let files: Vec<String> = tidy::files().unwrap().into_iter().filter(|f| f.starts_with("crds/")).collect();
    assert_eq!(documents.len(), files.len(), "as many documents as files");
    for file in files {
        let text = tidy::read(&file).unwrap();
        let at = documents.iter().position(|d| *d == text);
        documents.remove(at.unwrap_or_else(|| panic!("{file} is not what `moongate crds` prints")));
    }
}

#[test]
fn check_tells_each_problem_with_its_place() {
    let manifests = Manifests::of(&[
        service("backend", &[1]),
        ingress("shop", "shop.example.com", "/", "missing-service", &[("moongate.dev/plugins", "broken, nowhere")]),
        plugin("broken", &[("access", "local x = = 1")], ""),
    ]);
    manifests.write("not.yaml", "a: [b\n");
    let (code, said) = run(&["check", &path(&manifests)]);
    assert_eq!(code, 1, "{said}");
    let told = |words: &[&str]| {
        let found = said.lines().any(|line| words.iter().all(|w| line.contains(w)));
        assert!(found, "no line with {words:?} in\n{said}");
    };
    told(&["all.yaml:", "error: ", "Ingress shop/shop", "missing-service"]);
    told(&["all.yaml:", "error: ", "Ingress shop/shop", "nowhere"]);
    told(&["all.yaml:", "error: ", "LuaPlugin shop/broken", "spec.phases.access"]);
    told(&["not.yaml:", "error: "]);
    assert!(said.trim_end().lines().last().is_some_and(|sum| sum.contains(" errors, ")), "{said}");
}

#[test]
fn check_passes_what_is_right() {
    let manifests =
        Manifests::of(&[service("backend", &[1]), ingress("shop", "shop.example.com", "/", "backend", &[])]);
    assert_eq!(run(&["check", &path(&manifests)]), (0, "0 errors, 0 warnings\n".into()));
    let missing = manifests.path().join("nowhere").display().to_string();
    assert_eq!(run(&["check", &missing]).0, 1);
}

#[test]
fn the_shipped_examples_and_plugins_are_right() {
    let root = tidy::root();
    let example = |name| root.join("examples").join(name).display().to_string();
    let plugins =
        tidy::files().unwrap().into_iter().filter(|f| f.starts_with("lua-plugins/") && f.ends_with("/plugin.yaml"));
    let plugins: Vec<String> = plugins.map(|f| root.join(f).display().to_string()).collect();
    assert!(!plugins.is_empty(), "no plugin ships");
    // The quickstart is whole by itself.
    for (example, plugins) in [(example("quickstart"), &[][..]), (example("plugins"), &plugins)] {
        let arguments: Vec<&str> = ["check", &example].into_iter().chain(plugins.iter().map(String::as_str)).collect();
        assert_eq!(run(&arguments), (0, "0 errors, 0 warnings\n".into()), "{example}");
    }
}

#[test]
fn explain_tells_the_route_its_plugins_and_its_upstream() {
    let manifests = Manifests::of(&[
        service("backend", &[4711]),
        service("other", &[4712]),
        ingress("shop", "shop.example.com", "/", "backend", &[]),
        ingress("cart", "shop.example.com", "/cart", "other", &[("moongate.dev/plugins", "first, second")]),
        plugin("first", &[("access", "return"), ("log", "return")], ""),
        plugin("second", &[("access", "return")], "priority: 5"),
    ]);
    let (code, said) = run(&["explain", &path(&manifests), "--url", "https://shop.example.com/cart/1"]);
    assert_eq!(code, 0, "{said}");
    for part in ["shop/cart", "/cart", "first", "second", "access", "127.0.0.1:4712", "shop/shop"] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
    assert!(!said.contains("4711"), "an upstream that is not asked:\n{said}");
    // A higher priority runs first.
    let access = said.find("access").unwrap();
    assert!(said[access..].find("second") < said[access..].find("first"), "{said}");
    let (_, said) = run(&["explain", &path(&manifests), "--url", "http://nowhere.example.com/"]);
    assert!(said.contains("404"), "{said}");
    assert_eq!(run(&["explain", &path(&manifests), "--url", "no url"]).0, 1);
}

/// A request as it goes over the wire: the Host header goes before the URL's host.
#[test]
fn explain_takes_a_method_and_headers_and_tells_why() {
    let cart = "{group: networking.k8s.io, kind: Ingress, name: cart, sectionName: shop.example.com/cart}";
    let manifests = Manifests::of(&[
        service("backend", &[4711]),
        service("other", &[4712, 4713]),
        ingress("wild", "\"*.example.com\"", "/", "backend", &[]),
        ingress("shop", "shop.example.com", "/", "backend", &[]),
        ingress("cart", "shop.example.com", "/cart", "other", &[("moongate.dev/plugins", "first, second")]),
        ingress("late", "shop.example.com", "/cart", "backend", &[]),
        plugin("first", &[("access", "return"), ("headerFilter", "return"), ("log", "return")], ""),
        plugin("second", &[("rewrite", "return"), ("access", "return")], "priority: 5"),
        plugin("third", &[("access", "return"), ("headerFilter", "return")], "priority: 9"),
        binding("third", "third", cart, "{}"),
        of_cluster(&plugin("guard", &[("access", "return"), ("headerFilter", "return")], "")),
        class_binding("guard", "guard", "{}"),
    ]);
    let request = ["--url", "http://192.0.2.1/cart/1?x=1", "--method", "DELETE"];
    let headers = ["--header", "Accept: */*", "--header", "Host: SHOP.example.com:8080"];
    let files = path(&manifests);
    let (code, said) = run(&[&["explain", &files], &request[..], &headers].concat());
    let lines: Vec<String> = said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let by_annotation = "attached to Ingress shop/cart, named by its annotation";
    let by_class = "ClusterLuaPlugin guard, attached to IngressClass moongate, by ClusterLuaPluginBinding guard";
    let by_path = "LuaPlugin shop/third, attached to Ingress shop/cart, path shop.example.com/cart, by LuaPluginBinding \
                   shop/third";
    let expected = [
        "DELETE http://192.0.2.1/cart/1?x=1".to_owned(),
        String::new(),
        "host shop.example.com".into(),
        "path /cart/1".into(),
        "route shop.example.com /cart (Prefix), of Ingress shop/cart".into(),
        "not Ingress shop/late, spec.rules[0].http.paths[0]: another rule serves shop.example.com/cart (Prefix): Ingress \
         shop/cart comes first by name; remove one of the two paths"
            .into(),
        "plugins in running order".into(),
        format!("rewrite LuaPlugin shop/second, {by_annotation}"),
        format!("access {by_class}"),
        format!("access LuaPlugin shop/second, {by_annotation}"),
        format!("access LuaPlugin shop/first, {by_annotation}"),
        format!("access {by_path}"),
        format!("header_filter {by_path}"),
        format!("header_filter LuaPlugin shop/first, {by_annotation}"),
        format!("header_filter {by_class}"),
        format!("log LuaPlugin shop/first, {by_annotation}"),
        "upstream Service shop/other, port 80, by HTTP/1.1".into(),
        "endpoints in turn".into(),
        "127.0.0.1:4712".into(),
        "127.0.0.1:4713".into(),
        "considered rules that do not serve it".into(),
        "shop.example.com / (Prefix) of Ingress shop/shop matches less of the path".into(),
        "*.example.com / (Prefix) of Ingress shop/wild belongs to a less specific host".into(),
    ];
    assert_eq!((code, lines), (0, expected.to_vec()), "{said}");
    // What is no header is refused, not left out.
    assert_eq!(run(&[&["explain", &files], &request[..], &["--header", "Host"]].concat()).0, 2);
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let manifests = Manifests::new();
    let (code, said) =
        run(&["run", &path(&manifests), "--http", &address, "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&address), "the address is named: {said}");
}
