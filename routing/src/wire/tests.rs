use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Applied, Broken, CommitFrame, Decoder, FRAME_MAX, FromPlane, HELD_MAX, Held, Hello, Keep, Known, Lead,
    PLANE_FRAME_MAX, Protocols, Received, Set, ToPlane, Welcome, closed, decode_from_plane, decode_to_plane, encode,
    encode_set,
};
use crate::key::{ObjectName, PathKind, RouteKey};
use crate::value::{Action, Endpoints};
use crate::{Hash, Key, KeyProblem, Value};

/// Feeds bytes in pieces of this size and collects the lines.
fn lines(bytes: &[u8], piece: usize, max: usize) -> Result<Vec<String>, Broken> {
    let mut decoder = Decoder::new(max);
    let mut lines = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(line) = decoder.line()? {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
    }
    Ok(lines)
}

#[test]
fn lines_do_not_depend_on_how_bytes_arrive() {
    for piece in 1..=12 {
        assert_eq!(lines(b"one\ntwo\n\nthree\nhal", piece, 6).unwrap(), ["one", "two", "", "three"], "{piece}");
    }
}

#[test]
fn a_line_beyond_the_bound_is_refused_whole_or_not() {
    let check = |text: &str, max, ok| {
        for piece in [1, 3, 100] {
            assert_eq!(lines(text.as_bytes(), piece, max).is_ok(), ok, "{text:?} {max} {piece}");
        }
    };
    check("12345\n", 6, true);
    check("12345\n", 5, false);
    check("12345", 6, true);
    check("123456", 6, false);
    check("1\n123456\n", 6, false);
    assert_eq!(lines(b"123456", 100, 6), Err(Broken::TooLong(6)));
}

#[test]
fn frames_are_read_as_they_were_written() {
    let key = Key::Host("a.example.com".into());
    let versions = BTreeMap::from([("ingresses".to_owned(), "7".to_owned())]);
    let hash = Hash::of_bytes(b"a");
    let value = Arc::new(Value::Script("return 1".into()));
    let set = Set { key: key.clone(), hash, needs: vec!["x".into()], stand_in: true, value };
    let commit = CommitFrame { term: 1, counter: 2, versions: versions.clone(), whole: true };
    let to_plane = [
        ToPlane::Welcome(Welcome { protocol: 1, version: "0.1.0".into() }),
        ToPlane::Lead(Lead { term: 3, stale: true }),
        ToPlane::StandBy {},
        ToPlane::Set(set),
        ToPlane::Keep(Keep { key: key.clone(), hash }),
        ToPlane::Delete { key: key.clone() },
        ToPlane::Commit(commit),
        ToPlane::KeepAlive {},
        ToPlane::Bye { reason: "why".into() },
    ];
    for frame in to_plane {
        let line = encode(&frame).unwrap();
        assert_eq!(decode_to_plane(line.strip_suffix(b"\n").unwrap()), Ok(Received::Frame(frame)));
    }
    let held = Held { applied: Some((1, 2)), versions, pairs: vec![(Known::Yes(key.clone()), hash)], last: true };
    let failed = vec![Known::Yes(KeyProblem { key, message: "m".into() })];
    let from_plane = [
        FromPlane::Hello(Hello { protocols: super::PROTOCOLS, version: "0.1.0".into(), features: vec!["x".into()] }),
        FromPlane::Held(held),
        FromPlane::Applied(Applied { term: 1, counter: 2, failed, failed_total: 1, lua: Vec::new() }),
        FromPlane::Token { token: "t".into() },
        FromPlane::KeepAlive {},
    ];
    for frame in from_plane {
        let line = encode(&frame).unwrap();
        assert_eq!(decode_from_plane(line.strip_suffix(b"\n").unwrap()), Ok(Received::Frame(frame)));
    }
}

#[test]
fn a_set_is_encoded_as_its_frame_is() {
    let key = Key::Script(Hash::of_bytes(b"a"));
    let value = Arc::new(Value::Script("a\nb".into()));
    for (needs, stand_in) in [(vec![], false), (vec!["x".to_owned()], false), (vec![], true)] {
        let (hash, line) = encode_set(&key, &value, &needs, stand_in).unwrap();
        assert_eq!(hash == Hash::of(&*value), !stand_in, "who has the one is sent the other");
        let frame = ToPlane::Set(Set { key: key.clone(), hash, needs, stand_in, value: value.clone() });
        assert_eq!(line, encode(&frame).unwrap());
    }
}

#[test]
fn a_value_that_no_frame_can_hold_is_refused() {
    let key = Key::Script(Hash::of_bytes(b"a"));
    assert!(encode_set(&key, &Value::Script("x".repeat(FRAME_MAX - 200)), &[], false).is_ok());
    let error = encode_set(&key, &Value::Script("x".repeat(FRAME_MAX)), &[], false).unwrap_err();
    assert_eq!(error.max, FRAME_MAX);
    assert!(error.to_string().contains("16777216"), "{error}");
}

#[test]
fn the_longest_names_fit_the_frames_that_list_them() {
    // A host has at most 253 characters, and a path that is kept in etcd may have more than most have; 500 bytes a key
    // leave half of a frame.
    let route = RouteKey { host: "a".repeat(253), kind: PathKind::ImplementationSpecific, path: "/".repeat(247) };
    let pairs = vec![(Known::Yes(Key::Route(route)), Hash::of_bytes(b"a")); HELD_MAX];
    let line = encode(&FromPlane::Held(Held { pairs, ..Held::default() })).unwrap();
    assert!(line.len() < PLANE_FRAME_MAX, "{}", line.len());
}

/// What a controller of a newer version may send: every change that this version must survive.
#[test]
fn a_newer_controllers_frames_are_read_or_skipped() {
    let read = |line: &str| decode_to_plane(line.as_bytes());
    let hash = Hash::of_bytes(b"");
    // Fields that are not known.
    let commit = read(r#"{"commit":{"term":1,"counter":2,"versions":{},"mood":"good"}}"#);
    assert!(matches!(commit, Ok(Received::Frame(ToPlane::Commit(_)))), "{commit:?}");
    let set = read(&format!(
        r#"{{"set":{{"key":{{"Endpoints":"a"}},"hash":"{hash}","tag":1,"value":{{"Endpoints":{{"addresses":[],"new":true}}}}}}}}"#
    ));
    assert!(matches!(set, Ok(Received::Frame(ToPlane::Set(_)))), "{set:?}");
    // Frames, sections and kinds of keys that are not known.
    for line in [
        r#"{"greet":{}}"#,
        r#"{"delete":{"key":{"Gateway":"a"}}}"#,
        &format!(r#"{{"keep":{{"key":{{"Gateway":"a"}},"hash":"{hash}"}}}}"#),
        &format!(r#"{{"set":{{"key":{{"Gateway":"a"}},"hash":"{hash}","value":{{"Gateway":{{}}}}}}}}"#),
        &format!(
            r#"{{"set":{{"key":{{"Chain":{{"Gateway":"a"}}}},"hash":"{hash}","value":{{"Chain":{{"uses":[]}}}}}}}}"#
        ),
    ] {
        assert!(matches!(read(line), Ok(Received::Unknown(_))), "{line}");
    }
    // Values of another form are a problem of their key.
    let key = r#"{"Upstream":"a"}"#;
    let value = r#"{"Upstream":{"endpoints":"a","service":{"namespace":"n","name":"s"},"port":80,"protocol":"Quic","balance":"RoundRobin"}}"#;
    let line = format!(r#"{{"set":{{"key":{key},"hash":"{hash}","value":{value}}}}}"#);
    match read(&line) {
        Ok(Received::Unreadable { key, message, .. }) => {
            assert_eq!(key, Key::Upstream("a".into()));
            assert!(message.contains("Quic") && message.contains("older than the controller"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// What a data plane of a newer version may send.
#[test]
fn a_newer_data_planes_frames_are_read_or_skipped() {
    let read = |line: &str| decode_from_plane(line.as_bytes());
    let hello = read(r#"{"hello":{"protocols":{"min":1,"max":2},"version":"9","features":["x"],"cpu":4}}"#);
    assert!(matches!(hello, Ok(Received::Frame(FromPlane::Hello(_)))), "{hello:?}");
    assert!(matches!(read(r#"{"greet":{}}"#), Ok(Received::Unknown(_))));
    let hash = Hash::of_bytes(b"");
    let held =
        read(&format!(r#"{{"held":{{"pairs":[[{{"Gateway":"a"}},"{hash}"],["Settings","{hash}"]],"last":true}}}}"#));
    match held {
        Ok(Received::Frame(FromPlane::Held(held))) => {
            assert!(matches!(held.pairs[0].0, Known::No(_)), "{held:?}");
            assert_eq!(held.pairs[1].0, Known::Yes(Key::Settings));
        }
        other => panic!("{other:?}"),
    }
    let applied = read(r#"{"applied":{"term":1,"counter":2,"failed":[{"key":{"Gateway":"a"},"message":"m"}]}}"#);
    assert!(matches!(applied, Ok(Received::Frame(FromPlane::Applied(_)))), "{applied:?}");
}

/// What an older peer does not send has a default.
#[test]
fn an_older_peers_frames_are_read() {
    for line in [r#"{"hello":{"protocols":{"min":1,"max":1}}}"#, r#"{"held":{}}"#, r#"{"applied":{}}"#] {
        assert!(matches!(decode_from_plane(line.as_bytes()), Ok(Received::Frame(_))), "{line}");
    }
    for line in [r#"{"welcome":{"protocol":1}}"#, r#"{"lead":{"term":1}}"#, r#"{"commit":{"term":1,"counter":1}}"#] {
        assert!(matches!(decode_to_plane(line.as_bytes()), Ok(Received::Frame(_))), "{line}");
    }
}

/// Values of the protocol's first version are read by every later one. The file only ever grows.
#[test]
fn values_of_the_first_version_are_read() {
    let file = include_str!("first_version.jsonl");
    let mut sections = std::collections::BTreeSet::new();
    for line in file.lines() {
        match decode_to_plane(line.as_bytes()) {
            Ok(Received::Frame(ToPlane::Set(set))) => drop(sections.insert(set.key.section())),
            other => panic!("{line}\n{other:?}"),
        }
    }
    assert_eq!(sections.len(), 11, "{sections:?}");
}

#[test]
fn what_is_no_frame_is_broken() {
    let hash = Hash::of_bytes(b"");
    for line in [
        "",
        "x",
        "1",
        "{}",
        r#"{"commit":{}}"#,
        r#"{"lead":{"term":-1}}"#,
        r#"{"set":{}}"#,
        r#"{"delete":{}}"#,
        r#"{"keep":{"key":"Settings"}}"#,
        r#"{"stand_by":{},"keep_alive":{}}"#,
        r#"{"set":{"key":"Settings","hash":"nonsense","value":{"Script":""}}}"#,
        &format!(r#"{{"set":{{"key":"Settings","hash":"{hash}"}}}}"#),
        r#"{"keep_alive":{}} {"keep_alive":{}}"#,
        r#"{"bye":{"reason":"a"#,
    ] {
        assert!(matches!(decode_to_plane(line.as_bytes()), Err(Broken::NoFrame(_))), "{line}");
    }
    for line in ["", "[]", r#"{"hello":{}}"#, r#"{"token":{}}"#, r#"{"held":{"pairs":[1]}}"#] {
        assert!(matches!(decode_from_plane(line.as_bytes()), Err(Broken::NoFrame(_))), "{line}");
    }
}

#[test]
fn an_unreadable_secret_is_not_shown() {
    let hash = Hash::of_bytes(b"");
    let line = format!(
        r#"{{"set":{{"key":{{"Certificate":{{"namespace":"n","name":"s"}}}},"hash":"{hash}","value":{{"Certificate":{{"chain_pem":1,"key_pem":"hunter2","names":"hunter2"}}}}}}}}"#
    );
    let read = decode_to_plane(line.as_bytes());
    assert!(matches!(read, Ok(Received::Unreadable { .. })), "{read:?}");
    assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
}

#[test]
fn the_newest_common_protocol_is_spoken() {
    let check = |a: (u32, u32), b: (u32, u32), common| {
        let range = |(min, max)| Protocols { min, max };
        assert_eq!(range(a).common(range(b)), common, "{a:?} {b:?}");
        assert_eq!(range(b).common(range(a)), common, "{b:?} {a:?}");
    };
    check((1, 1), (1, 1), Some(1));
    check((1, 2), (1, 1), Some(1));
    check((2, 3), (1, 2), Some(2));
    check((1, 3), (2, 4), Some(3));
    check((3, 4), (1, 2), None);
    check((2, 1), (1, 2), None);
}

#[test]
fn what_stands_in_for_a_value_closes_its_routes() {
    let route = Key::Route(RouteKey { host: "a".into(), kind: PathKind::Exact, path: "/".into() });
    match closed(&route, None, "why") {
        Some(Value::Route(route)) => {
            assert_eq!(route.action, Action::Refuse { status: 503, reason: "why".into() });
        }
        other => panic!("{other:?}"),
    }
    let chain = Key::Chain(crate::key::ChainKey::Ingress(ObjectName::new("n", "i")));
    match closed(&chain, None, "why") {
        Some(Value::Chain(chain)) => assert_eq!(chain.uses[0].broken.as_deref(), Some("why")),
        other => panic!("{other:?}"),
    }
    assert_eq!(closed(&Key::Endpoints("a".into()), Some(&Value::Endpoints(Endpoints::default())), "why"), None);
}
