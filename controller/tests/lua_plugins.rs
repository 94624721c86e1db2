//! The plugins that ship: their manifests are what the API server accepts, their Lua compiles, and the configs of their
//! data tests are accepted or refused as the tests say. `e2e` runs the tests themselves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use controller::crd::{ClusterLuaPlugin, check};
use controller::schema::Schema;
use serde_json::{Map, Value};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lua-plugins");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 6, "{folders:?}");
    folders
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(folder: &Path) -> Schema {
    let plugin: ClusterLuaPlugin = serde_json::from_value(yaml(&folder.join("plugin.yaml"))).unwrap();
    let schema = plugin.spec.plugin.config_schema.expect("a shipped plugin has a schema");
    Schema::parse(&schema.open_api_v3_schema).unwrap_or_else(|problems| panic!("{}: {problems:?}", folder.display()))
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value} is no object")).clone()
}

fn keys(value: &Value) -> BTreeSet<String> {
    object(value).keys().cloned().collect()
}

#[test]
fn manifests_are_right() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let manifest = yaml(&folder.join("plugin.yaml"));
        assert_eq!(check::object(&manifest), [], "{name}");
        let plugin: ClusterLuaPlugin = serde_json::from_value(manifest.clone()).unwrap();
        assert_eq!(check::code(&plugin.spec.plugin), [], "{name}");
        assert_eq!(plugin.metadata.name.as_deref(), Some(name));
        assert!(std::fs::read_to_string(folder.join("README.md")).unwrap().starts_with(&format!("# {name}\n")));
        // As a LuaPlugin too.
        let mut local = manifest;
        local["kind"] = "LuaPlugin".into();
        local["spec"].as_object_mut().unwrap().shift_remove("allowedNamespaces");
        assert_eq!(check::object(&local), [], "{name}");
    }
}

#[test]
fn configs_of_the_tests_are_accepted_or_refused_as_they_say() {
    for folder in folders() {
        let (schema, tests) = (schema(&folder), yaml(&folder.join("tests.yaml")));
        for test in tests["tests"].as_array().unwrap() {
            let applied = schema.apply(&object(&test["config"]));
            assert!(applied.is_ok(), "{}: {}: {applied:?}", folder.display(), test["name"]);
        }
        for test in tests["refused"].as_array().unwrap() {
            let (name, message) = (&test["name"], test["message"].as_str().unwrap());
            let problems = schema.apply(&object(&test["config"])).expect_err(&name.to_string());
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(texts.iter().any(|text| text.contains(message)), "{}: {name}: {texts:?}", folder.display());
        }
    }
}

/// A misspelt expectation would expect nothing.
#[test]
fn tests_have_the_documented_shape() {
    const TEST: &[&str] = &["name", "config", "upstream", "request", "repeat", "expect", "steps"];
    const REQUEST: &[&str] = &["method", "path", "headers", "remote_addr"];
    const EXPECT: &[&str] = &[
        "status",
        "headers",
        "no_headers",
        "present",
        "body",
        "upstream_headers",
        "no_upstream_headers",
        "no_upstream",
    ];
    let within = |value: &Value, known: &[&str], place: &str| {
        let unknown: Vec<String> = keys(value).into_iter().filter(|key| !known.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?}");
    };
    for folder in folders() {
        let tests = yaml(&folder.join("tests.yaml"));
        within(&tests, &["tests", "refused"], "tests.yaml");
        let mut names = BTreeSet::new();
        for test in tests["tests"].as_array().unwrap() {
            let place = format!("{}: {}", folder.display(), test["name"]);
            assert!(names.insert(test["name"].as_str().unwrap().to_owned()), "{place} stands twice");
            within(test, TEST, &place);
            let steps = match test.get("steps") {
                Some(steps) => steps.as_array().unwrap().clone(),
                None => vec![test.clone()],
            };
            for step in steps {
                within(&step["request"], REQUEST, &place);
                within(&step["expect"], EXPECT, &place);
                assert!(step["request"]["path"].is_string() && step["expect"]["status"].is_u64(), "{place}");
            }
        }
        assert!(names.len() >= 5, "{}: {} tests", folder.display(), names.len());
    }
}
