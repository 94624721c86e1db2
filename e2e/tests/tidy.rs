//! The rules of the house. Each test prints everything that breaks its rule, with the place.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use e2e::tidy::{self, graph, licences::Policy, manifests, sizes, text};

fn none(rule: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{rule}\n  {}", problems.join("\n  "));
}

#[test]
fn files_and_functions_are_short_or_say_why_not() {
    let exceptions = sizes::exceptions(&tidy::read("e2e/tidy-exceptions.txt").unwrap()).unwrap();
    let mut unused: BTreeSet<&String> = exceptions.keys().collect();
    let mut problems = Vec::new();
    for file in tidy::files().unwrap() {
        if ![".rs", ".lua", ".py"].iter().any(|e| file.ends_with(e)) {
            continue;
        }
        for (subject, lines) in sizes::too_long(&file, &tidy::read(&file).unwrap()) {
            unused.remove(&subject);
            if !exceptions.contains_key(&subject) {
                problems.push(format!("{subject} has {lines} lines"));
            }
        }
    }
    problems.extend(unused.iter().map(|subject| format!("{subject}: this exception is no longer needed")));
    none("files have at most 600 lines, functions 70; e2e/tidy-exceptions.txt lists exceptions", &problems);
}

#[test]
fn text_is_clean() {
    let files = tidy::files().unwrap();
    let ours = files.iter().filter(|f| text::is_ours(f));
    let problems: Vec<String> = ours.flat_map(|f| text::problems(f, &tidy::read(f).unwrap())).collect();
    none("text files", &problems);
}

#[test]
fn no_module_is_called_mod() {
    let files = tidy::files().unwrap();
    let found: Vec<String> = files.into_iter().filter(|f| f.ends_with("/mod.rs")).collect();
    none("a module `foo` is `foo.rs` and `foo/`, never `mod.rs`", &found);
}

/// Which of the workspace's crates each may name, in tests too. A new edge is a decision: it is made here.
const EDGES: [(&str, &[&str]); 8] = [
    ("routing", &[]),
    ("http1", &[]),
    ("luajit", &[]),
    ("lua-vm", &["luajit"]),
    ("controller", &["routing"]),
    ("dataplane", &["routing", "http1", "lua-vm"]),
    ("moongate", &["routing", "controller", "dataplane"]),
    ("e2e", &[]),
];

#[test]
fn crates_name_each_other_only_as_designed() {
    let members = graph::members().unwrap();
    let designed: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(members.keys().map(String::as_str).collect::<BTreeSet<_>>(), designed, "the workspace's crates");
    for (name, allowed) in EDGES {
        let named: BTreeSet<&str> = members[name].ours.iter().map(String::as_str).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(named.is_subset(&allowed), "{name} names {named:?}, allowed are {allowed:?}");
    }
}

/// What may never end up in a crate, however indirectly, and why.
const WALLS: [(&str, &[&str], &str); 4] = [
    ("routing", &["kube", "k8s-openapi", "tokio", "mlua", "mlua-sys", "luajit"], "the contract is plain types"),
    ("controller", &["mlua", "mlua-sys", "luajit", "lua-vm", "dataplane"], "the control plane never runs Lua"),
    ("dataplane", &["kube", "k8s-openapi", "kube-client", "controller"], "a data plane has no rights on a cluster"),
    ("http1", &["tokio", "hyper", "mlua"], "the codec does no I/O, so that a fuzzer can drive it"),
];

#[test]
fn walls_hold_indirectly_too() {
    let mut problems = Vec::new();
    for (name, forbidden, reason) in WALLS {
        let packages = graph::tree(&["-p", name], "normal,build").unwrap();
        let reached: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
        assert!(reached.contains(name), "cargo tree does not list {name} itself");
        let broken = forbidden.iter().filter(|f| reached.contains(*f));
        problems.extend(broken.map(|f| format!("{name} has {f}, but {reason}")));
    }
    none("dependency walls", &problems);
}

/// Lua's C API is behind these, and nowhere else.
const UNSAFE: [&str; 2] = ["lua-vm", "luajit"];

#[test]
fn unsafe_code_is_forbidden_outside_the_fence() {
    let members = graph::members().unwrap();
    let fenced = members.iter().filter(|(name, _)| !UNSAFE.contains(&name.as_str()));
    let roots = fenced.flat_map(|(_, member)| &member.roots);
    let open = roots.filter(|root| !tidy::read(root).unwrap().contains("#![forbid(unsafe_code)]")).cloned();
    none("each root but lua-vm's says #![forbid(unsafe_code)]", &open.collect::<Vec<_>>());
}

#[test]
fn versions_stand_in_the_workspace_alone() {
    let members = graph::members().unwrap();
    let mut problems = Vec::new();
    for member in members.values().filter(|m| m.manifest != "Cargo.toml") {
        let own = manifests::own_versions(&tidy::read(&member.manifest).unwrap());
        problems.extend(own.iter().map(|name| format!("{}: {name}", member.manifest)));
    }
    none("a crate's manifest says `name.workspace = true`", &problems);
}

#[test]
fn every_dependency_is_used() {
    let members = graph::members().unwrap();
    let root = manifests::sections(&tidy::read("Cargo.toml").unwrap());
    let stated = root["workspace.dependencies"].iter().filter_map(|l| l.split([' ', '.', '=']).next());
    let mut unnamed: BTreeSet<String> = stated.map(str::to_owned).collect();
    let mut problems = Vec::new();
    let files = tidy::files().unwrap();
    for (name, member) in &members {
        let manifest = tidy::read(&member.manifest).unwrap();
        let folder = member.manifest.strip_suffix("Cargo.toml").unwrap();
        let nested =
            |f: &str| members.values().any(|m| m.manifest != member.manifest && is_under(f, &m.manifest, folder));
        let code: String = files
            .iter()
            .filter(|f| f.starts_with(folder) && f.ends_with(".rs") && !nested(f))
            .map(|f| tidy::read(f).unwrap())
            .collect();
        let own = manifests::sections(&manifest).into_iter().filter(|(s, _)| s != "workspace.dependencies");
        let own: String = own.map(|(s, lines)| format!("[{s}]\n{}\n", lines.join("\n"))).collect();
        for dependency in manifests::dependencies(&own).into_keys() {
            unnamed.remove(&dependency);
            if !manifests::is_named(&dependency, &code) && !LINKED_ONLY.contains(&dependency.as_str()) {
                problems.push(format!("{name} does not use {dependency}"));
            }
        }
    }
    problems.extend(unnamed.iter().map(|name| format!("no crate names {name} of the workspace's dependencies")));
    none("dependencies", &problems);
}

/// Named for what they link or for a feature that they turn on, so no code spells them.
const LINKED_ONLY: [&str; 0] = [];

/// Whether `file` belongs to the crate of `manifest`, which lies inside `folder`.
fn is_under(file: &str, manifest: &str, folder: &str) -> bool {
    let inner = manifest.strip_suffix("Cargo.toml").unwrap_or(manifest);
    inner.len() > folder.len() && inner.starts_with(folder) && file.starts_with(inner)
}

#[test]
fn licences_and_bans_are_those_of_deny_toml() {
    let policy = Policy::read(&tidy::read("deny.toml").unwrap());
    assert!(!policy.allowed.is_empty() && !policy.banned.is_empty(), "deny.toml was not understood");
    let mut problems = Vec::new();
    for p in graph::tree(&["--workspace"], "normal,build,dev").unwrap() {
        if !policy.allows(&p.name, &p.licence) {
            problems.push(format!("{}: licence {:?}", p.name, p.licence));
        }
        if policy.banned.contains(&p.name) {
            problems.push(format!("{} is banned", p.name));
        }
    }
    none("deny.toml", &problems);
}
