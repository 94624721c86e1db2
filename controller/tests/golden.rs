//! Translation as pairs of files: `golden/CASE.in.yaml` is what people write, `golden/CASE.out.yaml` the table and the
//! problems that come of it. `UPDATE_GOLDEN=1` writes the second kind anew: read the difference before committing it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use controller::standalone::Standalone;
use controller::store::{Fact, Kind, ObjectId};
use routing::value::{Settings, Value};
use routing::{Change, Key, names};
use serde_json::{Value as Json, json};

#[test]
fn every_case_gives_its_table_and_problems() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.to_str().unwrap().ends_with(".in.yaml")).collect();
    cases.sort();
    assert!(cases.len() > 5, "the cases are in {}", directory.display());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{}\n(UPDATE_GOLDEN=1 takes what is new)", wrong.join("\n"));
}

fn check(input: &Path) -> Result<(), String> {
    let output = PathBuf::from(input.to_str().unwrap().replace(".in.yaml", ".out.yaml"));
    let found = render(input);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&output, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&output).unwrap_or_default();
    match expected == found {
        true => Ok(()),
        false => Err(format!("{}:\n{}", input.display(), first_difference(&expected, &found))),
    }
}

fn first_difference(expected: &str, found: &str) -> String {
    let mut lines = (1..).zip(expected.lines().chain(std::iter::repeat("")).zip(found.lines().chain(["<end>"])));
    let (line, (expected, found)) = lines.find(|(_, (expected, found))| expected != found).unwrap();
    format!("  line {line}\n  expected {expected}\n  found    {found}")
}

/// In a cluster only those Secrets and ConfigMaps are fetched that `cluster::references` tells of the objects: what else
/// translation reads would never be there.
fn assert_references_are_complete(input: &Path, standalone: &Standalone) {
    let table = standalone.translator();
    let told: BTreeSet<ObjectId> =
        table.store().objects().flat_map(controller::cluster::references).map(|reference| reference.id).collect();
    for fact in table.facts() {
        let id = match fact {
            Fact::Secret(name) => ObjectId::new(Kind::Secret, name.clone()),
            Fact::ConfigMap(name) => ObjectId::new(Kind::ConfigMap, name.clone()),
            _ => continue,
        };
        assert!(told.contains(&id), "{}: cluster::references does not tell of {id:?}", input.display());
    }
}

/// A data plane that keeps a value keeps what `routing::names` tells of it: every key but the roots is told by some value.
fn assert_names_are_complete(input: &Path, standalone: &Standalone) {
    let table = standalone.translator().table().0;
    let is_root = |key: &&Key| matches!(key, Key::Settings | Key::Host(_) | Key::Route(_));
    let mut next: Vec<Key> = table.keys().filter(is_root).cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(key) = next.pop() {
        match (table.get(&key), &key) {
            (Some(value), _) => next.extend(names(&key, value).into_iter().filter(|name| !reached.contains(name))),
            // The plugin is bad, and an earlier version would need it.
            (None, Key::Plugin(plugin)) => next.push(Key::Namespace(plugin.name.namespace.clone())),
            (None, _) => {}
        }
        reached.insert(key);
    }
    let untold: Vec<&Key> = table.keys().filter(|key| !reached.contains(*key)).collect();
    assert!(untold.is_empty(), "{}: routing::names does not tell of {untold:?}", input.display());
}

/// The table without default settings, and the problems with the file's name alone.
fn render(input: &Path) -> String {
    let mut standalone = Standalone::open(&[input.to_owned()]);
    assert_references_are_complete(input, &standalone);
    assert_names_are_complete(input, &standalone);
    let directory = format!("{}/", input.parent().unwrap().display());
    let problems: Vec<String> = standalone.problems().iter().map(|p| p.to_string().replace(&directory, "")).collect();
    let mut table = BTreeMap::new();
    for change in standalone.commit().changes {
        let Change::Set(key, value) = change else { panic!("a first commit deletes nothing") };
        if (&key, &*value) != (&Key::Settings, &Value::Settings(Box::default())) {
            table.insert(key.to_string(), show(&value));
        }
    }
    // A line per key and per problem, so that differences read well. JSON is YAML.
    let table: String = table.iter().map(|(key, value)| format!("  {}: {value}\n", json!(key))).collect();
    let problems: String = problems.iter().map(|problem| format!("- {}\n", json!(problem))).collect();
    format!("table:\n{table}problems:\n{problems}")
}

/// A value without its section's name, and with secrets left out.
fn show(value: &Value) -> Json {
    match value {
        Value::Settings(settings) => different(&serde_json::to_value(settings).unwrap(), &default_settings()),
        Value::Certificate(certificate) => {
            json!({"names": certificate.names, "key": format!("{:?}", certificate.key_pem)})
        }
        Value::Binding(binding) => {
            let secrets = binding.secrets.iter().map(|(path, bytes)| json!([path, format!("{bytes:?}")]));
            json!({"plugin": binding.plugin.to_string(), "config": binding.config, "secrets": secrets.collect::<Vec<_>>()})
        }
        other => match serde_json::to_value(other).unwrap() {
            Json::Object(fields) => fields.into_iter().next().unwrap().1,
            whole => whole,
        },
    }
}

fn default_settings() -> Json {
    serde_json::to_value(Settings::default()).unwrap()
}

/// What of `value` is not as in `default`.
fn different(value: &Json, default: &Json) -> Json {
    match (value, default) {
        (Json::Object(fields), Json::Object(defaults)) => {
            let differ = fields.iter().filter(|(name, value)| defaults.get(*name) != Some(value));
            differ
                .map(|(name, value)| (name.clone(), different(value, defaults.get(name).unwrap_or(&Json::Null))))
                .collect()
        }
        _ => value.clone(),
    }
}
