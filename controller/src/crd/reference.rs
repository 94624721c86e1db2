//! `docs/crds.md`: the fields of the custom resources, written from their definitions.

use std::fmt::Write;

use serde_json::Value;

use super::manifest::{definitions, tidy};

const HEAD: &str = "\
# Custom resources

Everything here is in `moongate.dev/v1alpha1`. The page is written from the definitions in `crds/`, which are written from
the types in `controller/src/crd`; `UPDATE_CRDS=1 cargo test -p controller crd` rewrites both. `kubectl explain
luaplugin.spec` shows the same.

- Durations are numbers with the units h, m, s and ms: `1m30s`, `250ms` (GEP-2257).
- Sizes are whole bytes with an optional suffix: `64Ki`, `10Mi`, `1G`, or a plain number.
- `[]` after a name is an item of a list, `.*` a value of a map.
- A rule in CEL is checked by the API server, and by `moongate check` in its own words.
";

const SCHEMAS: &str = "
## Config schemas

`configSchema.openAPIV3Schema` of a plugin is a structural schema as CustomResourceDefinitions have them. Its root has
`type: object`, and so on for every field: a `type`, `x-kubernetes-int-or-string: true` or
`x-kubernetes-preserve-unknown-fields: true`.

| keywords | |
|---|---|
| `type` | `object`, `array`, `string`, `integer`, `number`, `boolean`; with `nullable: true` null too |
| `properties`, `required`, `additionalProperties`, `minProperties`, `maxProperties` | fields that are not named are refused unless `additionalProperties` is a schema or `true` |
| `items`, `minItems`, `maxItems`, `uniqueItems` | |
| `minLength`, `maxLength`, `pattern`, `format` | patterns are RE2: matched in linear time, without back-references; formats: `int32`, `int64`, `float`, `double`, `byte`, `date-time`, `ipv4`, `ipv6`, `cidr`, `uri`, `uuid`, `password` |
| `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf` | the exclusive ones are `true` or `false`, as in OpenAPI v3.0 |
| `enum`, `default` | a default is filled in where its field is absent, and its object is there; give the object `default: {}` to have its defaults always |
| `allOf`, `anyOf`, `oneOf`, `not` | check values; they declare no fields, defaults or `nullable` |
| `title`, `description`, `example` | for people |

`$ref`, `const`, `patternProperties`, `if` and CEL rules are refused. A schema has at most 2,000 schemas within it, 32 deep;
a config at most 20,000 values. Values from `secretRefs` are checked as if they stood in the config: strings in places that
the schema has.
";

/// The page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for definition in definitions() {
        let mut json = serde_json::to_value(&definition).unwrap_or_default();
        tidy(&mut json);
        let names = &json["spec"]["names"];
        let namespaced = json["spec"]["scope"] == "Namespaced";
        let schema = &json["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        section(&mut page, names, namespaced, schema);
    }
    page.push_str(SCHEMAS);
    page
}

fn section(page: &mut String, names: &Value, namespaced: bool, schema: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scope = if namespaced { "namespaced" } else { "cluster-scoped" };
    let short = text(&names["shortNames"][0]);
    // Writing to a String does not fail.
    let _ = write!(page, "\n## {}\n\n{}\n\n", text(&names["kind"]), text(&schema["description"]));
    let _ = write!(page, "{} (`{short}`), {scope}.\n\n", text(&names["plural"]));
    page.push_str("| field | type | |\n|---|---|---|\n");
    let mut rules = Vec::new();
    for part in ["spec", "status"] {
        fields(page, &mut rules, part, &schema["properties"][part]);
    }
    if !rules.is_empty() {
        page.push_str("\nRules:\n");
        rules.iter().for_each(|rule| {
            let _ = writeln!(page, "- {rule}");
        });
    }
}

/// A row for each field below a schema.
fn fields(page: &mut String, rules: &mut Vec<String>, path: &str, schema: &Value) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.push(format!("`{path}`: {}", rule["message"].as_str().unwrap_or_default()));
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // Conditions have one shape everywhere, and Kubernetes documents it.
    let below = schema["properties"].as_object().filter(|_| !path.ends_with("conditions[]"));
    for (name, field) in below.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let about = field["description"].as_str().unwrap_or_default().replace("\n\n", " ").replace('|', "\\|");
        let needed = if required.contains(&name.as_str()) { "Required. " } else { "" };
        let _ = writeln!(page, "| `{path}` | {} | {needed}{about}{} |", kind(field), default(field));
        fields(page, rules, &path, field);
        if field["items"].is_object() {
            fields(page, rules, &format!("{path}[]"), &field["items"]);
        }
        if field["additionalProperties"].is_object() {
            fields(page, rules, &format!("{path}.*"), &field["additionalProperties"]);
        }
    }
}

/// The default, where the description does not say it.
fn default(field: &Value) -> String {
    let said = field["description"].as_str().is_some_and(|text| text.contains("efault"));
    match field.get("default").filter(|_| !said) {
        Some(Value::Object(_)) | None => String::new(),
        Some(value) => format!(" Default `{}`.", value.as_str().map_or(value.to_string(), str::to_owned)),
    }
}

/// The type, with its bounds.
fn kind(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "size".into();
    }
    if field["pattern"] == super::duration::PATTERN {
        return "duration".into();
    }
    if let Some(values) = field["enum"].as_array() {
        let names: Vec<String> = values.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
        return names.join(", ");
    }
    let bounds = |least: &str, most: &str, what: &str| bounds(field, least, most, what);
    match field["type"].as_str().unwrap_or_default() {
        "string" => format!("string{}", bounds("", "maxLength", "characters")),
        "array" => format!("list of {}{}", plural(&kind(&field["items"])), bounds("", "maxItems", "items")),
        "integer" => format!("integer{}", bounds("minimum", "maximum", "")),
        "object" if field["additionalProperties"].is_object() => {
            format!(
                "map to {}{}",
                plural(&kind(&field["additionalProperties"])),
                bounds("", "maxProperties", "entries")
            )
        }
        other => other.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind.split_once(',') {
        Some((what, bounds)) if !what.contains('`') => format!("{what}s (each{bounds})"),
        _ => format!("{kind}s"),
    }
}

fn bounds(field: &Value, least: &str, most: &str, what: &str) -> String {
    let number = |name: &str| field.get(name).and_then(Value::as_f64);
    let unit = if what.is_empty() { String::new() } else { format!(" {what}") };
    match (number(least), number(most)) {
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (Some(least), None) => format!(", at least {least}{unit}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_definitions_say() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/crds.md");
        let page = markdown();
        if std::env::var_os("UPDATE_CRDS").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(written == page, "docs/crds.md differs from the types: run the tests with UPDATE_CRDS=1");
    }

    /// `kubectl explain` has something to say about every field, and everything has a bound.
    #[test]
    fn every_field_is_described_and_bounded() {
        fn check(path: &str, schema: &Value) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let place = format!("{path}.{name}");
                assert!(field["description"].as_str().is_some_and(|text| text.len() > 5), "{place} has no description");
                check(&place, field);
            }
            let unbounded = |bound: &str| schema[bound].is_null();
            match schema["type"].as_str().unwrap_or_default() {
                "array" => {
                    assert!(!unbounded("maxItems"), "{path} has no maxItems");
                    check(&format!("{path}[]"), &schema["items"]);
                }
                "string" => {
                    let bounded = !unbounded("maxLength") || !unbounded("enum") || schema["format"] == "date-time";
                    assert!(bounded, "{path} has no maxLength");
                }
                "object" if schema["additionalProperties"].is_object() => {
                    assert!(!unbounded("maxProperties"), "{path} has no maxProperties");
                    check(&format!("{path}.*"), &schema["additionalProperties"]);
                }
                _ => {}
            }
        }
        for definition in definitions() {
            let json = serde_json::to_value(&definition).unwrap();
            let schema = &json["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            check(definition.spec.names.kind.as_str(), schema);
        }
    }
}
