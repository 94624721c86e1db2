//! What in the chart is written from elsewhere: the README's table of values from the comments of `values.yaml`, and
//! the schema of `controller.config` from the definition of MoongateConfig.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A value that `values.yaml` describes.
#[derive(Debug, PartialEq)]
pub struct Described {
    /// Its path, such as `controller.replicaCount`.
    pub path: String,
    /// The comment that begins with `# --`.
    pub text: String,
}

/// The values that a `values.yaml` describes, in its order. It has to be indented by two spaces.
pub fn described(values: &str) -> Vec<Described> {
    let mut path: Vec<&str> = Vec::new();
    let mut comment: Option<&str> = None;
    let mut found = Vec::new();
    for line in values.lines() {
        let trimmed = line.trim_start();
        if let Some(text) = trimmed.strip_prefix("# -- ") {
            comment = Some(text);
            continue;
        }
        let Some((key, _)) = trimmed.split_once(':').filter(|(key, _)| !key.starts_with(['#', '-', '"'])) else {
            continue;
        };
        path.truncate((line.len() - trimmed.len()) / 2);
        path.push(key);
        if let Some(text) = comment.take() {
            found.push(Described { path: path.join("."), text: text.to_owned() });
        }
    }
    found
}

/// The value at a path.
pub fn at<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, key| value.get(key))
}

/// Paths of `values` that nothing describes, neither themselves nor something that they are in.
pub fn undescribed(values: &Value, described: &[Described]) -> Vec<String> {
    fn walk(value: &Value, path: &str, described: &[Described], found: &mut Vec<String>) {
        if described.iter().any(|d| d.path == path) {
            return;
        }
        match value.as_object().filter(|map| !map.is_empty()) {
            None => found.push(path.to_owned()),
            Some(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(value, &path, described, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(values, "", described, &mut found);
    found
}

/// The README's table.
pub fn table(values: &Value, described: &[Described]) -> String {
    let mut table = "| value | default | |\n|---|---|---|\n".to_owned();
    for Described { path, text } in described {
        let default = at(values, path).unwrap_or(&Value::Null).to_string().replace('|', "\\|");
        table.push_str(&format!("| `{path}` | `{default}` | {} |\n", text.replace('|', "\\|")));
    }
    table
}

/// `text` with what stands between two marks replaced.
pub fn between(text: &str, begin: &str, end: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{new}{end}{after}"))
}

/// Keywords that mean the same in both.
const KEPT: [&str; 14] = [
    "description",
    "enum",
    "pattern",
    "required",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "type",
];

/// A structural schema of a definition as a JSON schema that refuses unknown fields.
pub fn json_schema(structural: &Value) -> Value {
    let mut schema: Map<String, Value> = Map::new();
    for keyword in KEPT {
        if let Some(value) = structural.get(keyword) {
            schema.insert(keyword.into(), value.clone());
        }
    }
    if let Some(properties) = structural.get("properties").and_then(Value::as_object) {
        let properties: BTreeMap<&String, Value> = properties.iter().map(|(k, v)| (k, json_schema(v))).collect();
        schema.insert("properties".into(), json!(properties));
        schema.insert("additionalProperties".into(), false.into());
    }
    if let Some(values) = structural.get("additionalProperties") {
        schema.insert("additionalProperties".into(), json_schema(values));
    }
    if let Some(items) = structural.get("items") {
        schema.insert("items".into(), json_schema(items));
    }
    if structural.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        schema.insert("type".into(), json!(["integer", "string"]));
    }
    Value::Object(schema)
}

/// The spec of a definition's only version.
pub fn spec_of(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
}

/// Follows `$ref` of a JSON schema with definitions.
pub fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).expect("a $ref leads to a definition"),
        None => schema,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{between, described, json_schema, table, undescribed};

    const VALUES: &str = "# -- A.\na: 1\nb:\n  # -- C | D.\n  c: {x: 1}\n  # not this\n  d: [1]\n# -- E.\ne:\n  f: 1\n";

    #[test]
    fn comments_describe_values() {
        let values = json!({"a": 1, "b": {"c": {"x": 1}, "d": [1]}, "e": {"f": 1}});
        let described = described(VALUES);
        assert_eq!(described.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(), ["a", "b.c", "e"]);
        assert_eq!(undescribed(&values, &described), ["b.d"]);
        assert!(table(&values, &described).contains("| `b.c` | `{\"x\":1}` | C \\| D. |\n"));
    }

    #[test]
    fn what_stands_between_marks_is_replaced() {
        assert_eq!(between("a<x>b</x>c", "<x>", "</x>", "new\n"), Some("a<x>\nnew\n</x>c".into()));
        assert_eq!(between("a<x>b", "<x>", "</x>", "new"), None);
    }

    #[test]
    fn a_structural_schema_becomes_a_strict_one() {
        let structural = json!({"type": "object", "properties": {
            "size": {"x-kubernetes-int-or-string": true, "default": 1, "nullable": true},
            "map": {"type": "object", "additionalProperties": {"type": "string", "format": "x"}},
        }, "x-kubernetes-validations": []});
        let strict = json!({"type": "object", "additionalProperties": false, "properties": {
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "size": {"type": ["integer", "string"]},
        }});
        assert_eq!(json_schema(&structural), strict);
    }
}
