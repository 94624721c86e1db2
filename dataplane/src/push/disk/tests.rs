use std::os::unix::fs::PermissionsExt;

use routing::key::{BindingKey, PluginKey, PluginKind};
use routing::value::{Binding, Certificate, Host};
use routing::{Hash, ObjectName, PrivateBytes};

use super::*;

fn entry(value: Value) -> Entry {
    Entry { hash: Hash::of(&value), needs: Vec::new(), stand_in: false, value: value.into() }
}

fn binding(secret: Option<&str>) -> (Key, Entry) {
    let name = ObjectName::new("shop", secret.unwrap_or("open"));
    let plugin = PluginKey { kind: PluginKind::LuaPlugin, name: name.clone() };
    let secrets = secret.map(|s| (vec!["password".into()], PrivateBytes::new(s))).into_iter().collect();
    let value = Binding { plugin, config: serde_json::json!({}), secrets };
    (Key::Binding(BindingKey::LuaPluginBinding(name)), entry(Value::Binding(value)))
}

fn certificate() -> (Key, Entry) {
    let value = Certificate {
        chain_pem: "chain".into(),
        key_pem: PrivateBytes::new("hunter1"),
        names: vec![],
        not_before: 0,
        not_after: 1,
    };
    (Key::Certificate(ObjectName::new("shop", "tls")), entry(Value::Certificate(value)))
}

/// A table with secrets and without.
fn held() -> Held {
    let host = Entry { stand_in: true, ..entry(Value::Host(Host::default())) };
    let host = (Key::Host("a.example.com".into()), host);
    let kept = entry(Value::Script("kept".into()));
    Held {
        table: [host, binding(None), binding(Some("hunter2")), certificate()].into_iter().collect(),
        applied: Some((3, 4)),
        versions: BTreeMap::from([("ingresses".into(), "5".into())]),
        kept: BTreeMap::from([(Hash::of_bytes(b"kept"), kept)]),
        ..Held::default()
    }
}

fn text(held: &Held, with_secrets: bool) -> String {
    let mut out = Vec::new();
    write(&mut out, held, "1.0.0", with_secrets).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let held = held();
    let read = read(text(&held, true).as_bytes(), "1.0.0").unwrap();
    assert_eq!((read.applied, &read.versions, read.is_foreign), (held.applied, &held.versions, false));
    let mut expected = held.table.clone();
    expected.extend(held.kept.iter().map(|(hash, entry)| (Key::Script(*hash), entry.clone())));
    assert_eq!(read.table, expected, "with the scripts that a failing plugin still has");
}

#[test]
fn secrets_are_left_out_where_they_would_outlive_the_pod() {
    let text = text(&held(), false);
    assert!(!text.contains("hunter"), "{text}");
    let read = read(text.as_bytes(), "1.0.0").unwrap();
    let kept: Vec<&str> = read.table.keys().map(Key::section).collect();
    assert_eq!(kept, ["host", "binding", "script"]);
    assert!(read.table.contains_key(&binding(None).0));
}

#[test]
fn another_versions_hashes_say_nothing() {
    assert!(read(text(&held(), true).as_bytes(), "1.0.1").unwrap().is_foreign);
}

#[test]
fn a_damaged_file_is_not_used() {
    let whole = text(&held(), true);
    let check = |text: String, why: &str| {
        let error = read(text.as_bytes(), "1.0.0").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(why), "{why}: {error:?}");
    };
    for cut in 0..whole.len() {
        check(whole[..cut].to_owned(), "it is ");
    }
    check(whole.replacen("\"format\":1", "\"format\":2", 1), "format 2");
    check(whole.replacen("\"keys\":5", "\"keys\":6", 1), "keys are missing");
    check(whole.replacen("\"value\"", "\"needs\":[\"telepathy\"],\"value\"", 1), "telepathy");
    check(whole.replacen("{\"set\":", "{\"lead\":", 1), "it is damaged");
}

#[test]
fn a_file_is_replaced_as_one_step_and_is_its_owners() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    std::fs::write(&file, "old").unwrap();
    let store = Store { file: file.clone(), version: "1.0.0".into(), persist_secrets: true };
    store.save(&held()).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.load().unwrap().unwrap().table.len(), 5);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left there");
    let nowhere = Store { file: directory.path().join("no/where"), ..store.clone() };
    assert!(nowhere.save(&held()).is_err());
    assert!(nowhere.load().unwrap().is_none());
}
