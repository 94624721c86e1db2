use serde_json::{Value, json};

use super::{ConfigProblem, Schema, SchemaProblem};

/// An object schema with these fields.
fn fields(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn schemas_that_are_not_understood_say_why_and_where() {
    let check = |schema: Value, path: &str, message: &str| {
        let problems: Vec<SchemaProblem> = Schema::parse(&schema).expect_err(&schema.to_string());
        let found = problems.iter().any(|problem| problem.path == path && problem.message.contains(message));
        assert!(found, "{schema}: {problems:?} has no {path:?}: {message:?}");
    };
    check(json!("object"), "", "a schema is an object");
    check(json!({}), "type", "is missing");
    check(json!({"type": "string"}), "type", "a config is an object");
    check(json!({"type": "Object"}), "type", "write object, array");
    check(json!({"type": ["object", "null"]}), "type", "write object, array");
    check(json!({"type": "object", "$ref": "#/definitions/x"}), "$ref", "references are not followed");
    check(json!({"type": "object", "proprties": {}}), "proprties", "is not a keyword");
    check(json!({"type": "object", "patternProperties": {}}), "patternProperties", "additionalProperties");
    check(json!({"type": "object", "x-kubernetes-validations": []}), "x-kubernetes-validations", "CEL");
    check(json!({"type": "object", "properties": []}), "properties", "write an object");
    check(json!({"type": "object", "required": "x"}), "required", "write a list");
    check(json!({"type": "object", "required": ["x"]}), "required", "\"x\" is not among the properties");
    check(fields(json!({"a": {}})), "properties.a.type", "is missing");
    check(fields(json!({"a": true})), "properties.a", "a schema is an object");
    check(fields(json!({"a": {"type": "array"}})), "properties.a.items", "is missing");
    check(fields(json!({"a": {"type": "array", "items": {}}})), "properties.a.items.type", "is missing");
    check(fields(json!({"a": {"type": "string", "minimum": 1}})), "properties.a.minimum", "does not fit the type");
    check(fields(json!({"a": {"type": "integer", "pattern": "x"}})), "properties.a.pattern", "does not fit");
    check(fields(json!({"a": {"type": "string", "pattern": "(?=x)"}})), "properties.a.pattern", "look-around");
    check(fields(json!({"a": {"type": "string", "pattern": "("}})), "properties.a.pattern", "is no RE2 pattern");
    check(fields(json!({"a": {"type": "string", "pattern": "(a{1000}){1000}"}})), "properties.a.pattern", "");
    check(fields(json!({"a": {"type": "string", "pattern": "x".repeat(2000)}})), "properties.a.pattern", "longer");
    check(fields(json!({"a": {"type": "string", "format": "color"}})), "properties.a.format", "is not known");
    check(fields(json!({"a": {"type": "string", "minLength": -1}})), "properties.a.minLength", "whole number");
    check(fields(json!({"a": {"type": "integer", "minimum": "1"}})), "properties.a.minimum", "write a number");
    check(fields(json!({"a": {"type": "integer", "exclusiveMinimum": 1}})), "properties.a.exclusiveMinimum", "true");
    check(fields(json!({"a": {"type": "integer", "exclusiveMinimum": true}})), "properties.a.exclusiveMinimum", "use");
    check(fields(json!({"a": {"type": "integer", "multipleOf": 0}})), "properties.a.multipleOf", "above zero");
    check(fields(json!({"a": {"type": "string", "enum": []}})), "properties.a.enum", "write a list");
    check(fields(json!({"a": {"type": "integer", "default": "1"}})), "properties.a.default", "must be an integer");
    check(fields(json!({"a": {"type": "integer", "default": 0, "minimum": 1}})), "properties.a.default", "at least 1");
    check(fields(json!({"a": {"type": "string", "nullable": "yes"}})), "properties.a.nullable", "true or false");
    check(json!({"type": "object", "anyOf": [{"nullable": true}]}), "anyOf[0].nullable", "outside of them");
    check(json!({"type": "object", "allOf": []}), "allOf", "write a list of schemas");
    check(
        fields(json!({"a": {"type": "string", "x-kubernetes-int-or-string": true}})),
        "properties.a.type",
        "remove it",
    );
}

#[test]
fn schemas_are_bounded() {
    let mut deep = json!({"type": "string"});
    for _ in 0..100_000 {
        let mut outer = serde_json::Map::new();
        outer.insert("type".into(), "array".into());
        outer.insert("items".into(), deep);
        deep = Value::Object(outer);
    }
    let problems = Schema::parse(&fields(json!({"a": 1}))).err().unwrap_or_default();
    assert_eq!(problems.len(), 1);
    let mut schema = json!({"type": "object", "properties": {}});
    schema["properties"]["a"] = std::mem::take(&mut deep);
    let problems = Schema::parse(&schema).expect_err("too deep");
    assert!(problems[0].message.contains("within each other"), "{problems:?}");
    // Dropping it recurses, which is the test's problem only.
    drop_slowly(schema["properties"]["a"].take());

    let many: serde_json::Map<_, _> = (0..3000).map(|n| (format!("f{n}"), json!({"type": "string"}))).collect();
    let problems = Schema::parse(&fields(Value::Object(many))).expect_err("too many");
    assert!(problems[0].message.contains("more than 2000 schemas"), "{problems:?}");
}

fn drop_slowly(mut value: Value) {
    while let Some(inner) = value.get_mut("items") {
        value = inner.take();
    }
}

/// A schema, a config, and the config that results.
#[test]
fn configs_that_fit_get_their_defaults() {
    let check = |schema: Value, config: Value, result: Value| {
        let parsed = Schema::parse(&schema).unwrap_or_else(|problems| panic!("{schema}: {problems:?}"));
        let applied = parsed.apply(&object(config.clone()));
        assert_eq!(applied, Ok(result), "{schema} {config}");
    };
    let limit = fields(json!({
        "limit": {"type": "integer", "default": 100, "minimum": 1},
        "window": {"type": "string"},
    }));
    check(limit.clone(), json!({}), json!({"limit": 100}));
    check(limit.clone(), json!({"limit": 5, "window": "1m"}), json!({"limit": 5, "window": "1m"}));
    check(limit.clone(), json!({"limit": 5.0}), json!({"limit": 5.0}));
    check(limit, json!({"limit": null}), json!({"limit": 100}));
    let inner = fields(json!({"redis": {
        "type": "object", "default": {}, "properties": {"port": {"type": "integer", "default": 6379}},
    }}));
    check(inner, json!({}), json!({"redis": {"port": 6379}}));
    let absent = fields(json!({"redis": {
        "type": "object", "properties": {"port": {"type": "integer", "default": 6379}},
    }}));
    check(absent.clone(), json!({}), json!({}));
    check(absent, json!({"redis": {}}), json!({"redis": {"port": 6379}}));
    let list = fields(json!({"keys": {
        "type": "array", "items": {"type": "object", "properties": {"hide": {"type": "boolean", "default": true}}},
    }}));
    check(list, json!({"keys": [{}, {"hide": false}]}), json!({"keys": [{"hide": true}, {"hide": false}]}));
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    check(open, json!({"a": {"b": [1, null]}}), json!({"a": {"b": [1, null]}}));
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    check(map, json!({"a": "b"}), json!({"a": "b"}));
    check(json!({"type": "object", "additionalProperties": true}), json!({"a": [1]}), json!({"a": [1]}));
    let nullable = fields(json!({"a": {"type": "string", "nullable": true}}));
    check(nullable, json!({"a": null}), json!({"a": null}));
    let either = fields(json!({"a": {"x-kubernetes-int-or-string": true}, "b": {"x-kubernetes-int-or-string": true}}));
    check(either, json!({"a": 1, "b": "1Mi"}), json!({"a": 1, "b": "1Mi"}));
    let number = fields(json!({"a": {"type": "number", "enum": [1, 2.5]}}));
    check(number, json!({"a": 1.0}), json!({"a": 1.0}));
    check(json!({"type": "object", "title": "t", "description": "d", "example": {}}), json!({}), json!({}));
    assert_eq!(Schema::empty().apply(&object(json!({}))), Ok(json!({})));
}

#[test]
fn configs_that_do_not_fit_say_why_and_where() {
    let schema = json!({
        "type": "object",
        "required": ["limit"],
        "anyOf": [{"required": ["window"]}, {"required": ["key"]}],
        "properties": {
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "exclusiveMaximum": true, "multipleOf": 5},
            "window": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[0-9]+[smh]$"},
            "key": {"type": "string", "enum": ["ip", "header"]},
            "users": {
                "type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true,
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            },
            "map": {
                "type": "object", "minProperties": 1, "maxProperties": 2,
                "additionalProperties": {"type": "boolean"},
            },
            "range": {"type": "string", "format": "cidr"},
            "at": {"type": "string", "format": "date-time"},
            "when": {"type": "string", "not": {"enum": ["never"]}},
            "one": {"type": "integer", "oneOf": [{"minimum": 10}, {"multipleOf": 2}]},
            "all": {"type": "integer", "allOf": [{"minimum": 10}, {"multipleOf": 2}]},
        },
    });
    let parsed = Schema::parse(&schema).unwrap();
    let check = |change: Value, path: &str, message: &str| {
        let mut config = object(json!({"limit": 5, "key": "ip"}));
        config.extend(object(change.clone()));
        let problems: Vec<ConfigProblem> = parsed.apply(&config).expect_err(&change.to_string());
        let found = problems.iter().any(|problem| problem.path == path && problem.message.contains(message));
        assert!(found, "{change}: {problems:?} has no {path:?}: {message:?}");
    };
    check(json!({"limit": "5"}), "limit", "must be an integer, and is a string");
    check(json!({"limit": null}), "limit", "must be an integer, and is nothing");
    check(json!({"limit": 5.5}), "limit", "must be an integer");
    check(json!({"limit": 0}), "limit", "is 0, and must be at least 1");
    check(json!({"limit": 1000}), "limit", "must be less than 1000");
    check(json!({"limit": 7}), "limit", "must be a multiple of 5");
    check(json!({"window": 60}), "window", "must be a string, and is a number: put it into quotes");
    check(json!({"window": "1"}), "window", "has 1 characters, and must have at least 2");
    check(json!({"window": "10000s"}), "window", "at most 4");
    check(json!({"window": "1x"}), "window", "must match the pattern ^[0-9]+[smh]$");
    check(json!({"key": "cookie"}), "key", "must be one of \"ip\", \"header\"");
    check(json!({"limits": 1}), "limits", "is not a field here: did you mean limit?");
    check(json!({"nonsense": 1}), "nonsense", "is not a field here: there are all, at, key");
    check(json!({"users": []}), "users", "has 0 items, and must have at least 1");
    check(json!({"users": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}), "users", "at most 2");
    check(json!({"users": [{"name": "a"}, {"name": "a"}]}), "users", "has item 1 (from 0) twice");
    check(json!({"users": [{"name": "a"}, {}]}), "users[1].name", "is required, and missing");
    check(json!({"users": [{"name": "a", "x": 1}]}), "users[0].x", "is not a field here");
    check(json!({"users": {}}), "users", "must be a list, and is an object");
    check(json!({"map": {}}), "map", "has 0 fields, and must have at least 1");
    check(json!({"map": {"a": true, "b": true, "c": true}}), "map", "at most 2");
    check(json!({"map": {"a": "yes"}}), "map.a", "must be true or false");
    check(json!({"range": "10.0.0.0/33"}), "range", "must be a range such as 10.0.0.0/8");
    check(json!({"at": "yesterday"}), "at", "must be a time such as");
    check(json!({"when": "never"}), "when", "rules out");
    check(json!({"one": 12}), "one", "fits 2 of the alternatives");
    check(json!({"one": 3}), "one", "must be at least 10; or is 3, and must be a multiple of 2");
    check(json!({"all": 11}), "all", "must be a multiple of 2");
    let problems = parsed.apply(&object(json!({}))).unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["limit: is required, and missing", ": window is required, and missing; or key is required, and missing"]
    );
}

#[test]
fn configs_are_bounded() {
    let schema = Schema::parse(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})).unwrap();
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let problems = schema.apply(&object(json!({"a": deep}))).unwrap_err();
    assert!(problems[0].message.contains("within each other"), "{problems:?}");
    let list = Schema::parse(&fields(json!({"a": {"type": "array", "items": {"type": "integer"}}}))).unwrap();
    let problems = list.apply(&object(json!({"a": vec![1; 30_000]}))).unwrap_err();
    assert!(problems[0].message.contains("more than 20000 values"), "{problems:?}");
    let problems = list.apply(&object(json!({"a": vec!["x"; 10_000]}))).unwrap_err();
    assert_eq!(problems.len(), 32);
}

/// Patterns with nested repetition take time in the length of the text only.
#[test]
fn patterns_are_linear() {
    let schema = Schema::parse(&fields(json!({"a": {"type": "string", "pattern": "^(a+)+$"}}))).unwrap();
    let config = object(json!({"a": format!("{}b", "a".repeat(500_000))}));
    assert!(schema.apply(&config).is_err());
}

#[test]
fn secrets_are_checked_in_place_and_taken_out() {
    let schema = Schema::parse(&json!({
        "type": "object",
        "required": ["redis"],
        "properties": {
            "redis": {
                "type": "object",
                "required": ["password"],
                "properties": {"password": {"type": "string", "minLength": 8}, "port": {"type": "integer", "default": 1}},
            },
            "keys": {"type": "array", "items": {
                "type": "object", "required": ["key"],
                "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
            }},
        },
    }))
    .unwrap();
    let check = |config: Value, secrets: &[(&str, &str)], expected: Result<Value, &str>| {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|(path, secret)| (path.split('.').map(str::to_owned).collect(), (*secret).to_owned()))
            .collect();
        let result = schema.apply_with_secrets(&object(config.clone()), &secrets);
        match expected {
            Ok(value) => assert_eq!(result, Ok(value), "{config}"),
            Err(text) => {
                let texts: Vec<String> = result.expect_err(text).iter().map(ToString::to_string).collect();
                assert!(texts.join("; ").contains(text), "{config}: {texts:?}");
                assert!(!texts.join("; ").contains("hunter2"), "{texts:?}");
            }
        }
    };
    check(json!({}), &[("redis.password", "long enough")], Ok(json!({"redis": {"port": 1}})));
    check(json!({}), &[("redis.password", "hunter2")], Err("redis.password: has 7 characters"));
    check(json!({}), &[("redis.pass", "hunter2")], Err("redis.pass: is not a field here"));
    check(json!({}), &[("redis", "hunter2")], Err("redis: must be an object, and is a string"));
    check(json!({"redis": {"password": "x"}}), &[("redis.password", "hunter2")], Err("remove one of them"));
    check(json!({"redis": "x"}), &[("redis.password", "hunter2")], Err("leads into a value that is no object"));
    let config = json!({"redis": {"password": "long enough"}, "keys": [{"name": "a"}]});
    let result = json!({"redis": {"password": "long enough", "port": 1}, "keys": [{"name": "a"}]});
    check(config.clone(), &[("keys.0.key", "hunter2")], Ok(result));
    check(config, &[("keys.1.key", "hunter2")], Err("item of a list that is not there"));
}

#[test]
fn formats_are_checked() {
    let check = |format: &str, value: Value, fits: bool| {
        let kind = if value.is_number() { "number" } else { "string" };
        let schema = Schema::parse(&fields(json!({"a": {"type": kind, "format": format}}))).unwrap();
        assert_eq!(schema.apply(&object(json!({"a": value}))).is_ok(), fits, "{format} {value}");
    };
    check("int32", json!(2_147_483_647), true);
    check("int32", json!(2_147_483_648_i64), false);
    check("int64", json!(i64::MAX), true);
    check("int64", json!(1e19), false);
    check("byte", json!("aGk="), true);
    check("byte", json!("a"), false);
    check("date-time", json!("2026-01-31T12:00:00.5+01:00"), true);
    check("date-time", json!("2026-01-31 12:00"), false);
    check("ipv4", json!("10.0.0.1"), true);
    check("ipv4", json!("::1"), false);
    check("ipv6", json!("::1"), true);
    check("cidr", json!("10.0.0.0/8"), true);
    check("cidr", json!("10.0.0.0"), false);
    check("uri", json!("redis://redis:6379/0"), true);
    check("uri", json!("/path"), false);
    check("uuid", json!("123e4567-e89b-12d3-a456-426614174000"), true);
    check("uuid", json!("123e4567e89b12d3a456426614174000"), false);
    check("password", json!("x"), true);
}

proptest::proptest! {
    /// Whatever the config, defaults are filled in once, and nothing panics.
    #[test]
    fn defaults_are_a_fixed_point(limit in proptest::option::of(-5_i64..5), names in proptest::collection::vec("[a-c]{0,3}", 0..4)) {
        let schema = Schema::parse(&fields(json!({
            "limit": {"type": "integer", "default": 1, "minimum": 0},
            "names": {"type": "array", "uniqueItems": true, "items": {"type": "string", "minLength": 1}},
            "inner": {"type": "object", "default": {}, "properties": {"on": {"type": "boolean", "default": true}}},
        }))).unwrap();
        let mut config = object(json!({"names": names}));
        if let Some(limit) = limit {
            config.insert("limit".into(), limit.into());
        }
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        let fits = limit.is_none_or(|n| n >= 0) && distinct.len() == names.len() && names.iter().all(|n| !n.is_empty());
        match schema.apply(&config) {
            Ok(applied) => {
                proptest::prop_assert!(fits);
                proptest::prop_assert_eq!(&applied["inner"], &json!({"on": true}));
                proptest::prop_assert_eq!(schema.apply(&object(applied.clone())), Ok(applied));
            }
            Err(problems) => proptest::prop_assert!(!fits, "{:?}", problems),
        }
    }
}
