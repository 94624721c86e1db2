//! The subcommands that print and end.

#![forbid(unsafe_code)]

use e2e::manifests::{ingress, plugin, service};
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
    let quickstart = root.join("examples/quickstart").display().to_string();
    let plugins =
        tidy::files().unwrap().into_iter().filter(|f| f.starts_with("lua-plugins/") && f.ends_with("/plugin.yaml"));
    let plugins: Vec<String> = plugins.map(|f| root.join(f).display().to_string()).collect();
    assert!(!plugins.is_empty(), "no plugin ships");
    let arguments: Vec<&str> = ["check", &quickstart].into_iter().chain(plugins.iter().map(String::as_str)).collect();
    assert_eq!(run(&arguments), (0, "0 errors, 0 warnings\n".into()));
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
