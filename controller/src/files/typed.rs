//! From a tree to a typed object, with errors that say which field on which line is wrong.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::tree::{Node, Yaml};

/// Why a node is not what its kind asks for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Mismatch {
    /// The path of the field, from the object.
    pub(super) field: String,
    /// Its line, from 1.
    pub(super) line: u32,
    /// What is wrong.
    pub(super) message: String,
}

/// Reads a node as a `T`.
pub(super) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Mismatch> {
    T::deserialize(Reading(node)).map_err(|e| Mismatch {
        line: e.line.unwrap_or(node.line),
        field: e.field(),
        message: e.message,
    })
}

/// An error on its way up: each container that it passes puts its step in front.
#[derive(Debug)]
struct Rising {
    message: String,
    line: Option<u32>,
    /// Innermost first.
    steps: Vec<String>,
}

impl Rising {
    fn inside(mut self, line: u32, step: impl FnOnce() -> String) -> Self {
        self.line.get_or_insert(line);
        self.steps.push(step());
        self
    }

    fn field(&self) -> String {
        let joined: String = self.steps.iter().rev().map(String::as_str).collect();
        joined.strip_prefix('.').map_or(joined.clone(), str::to_owned)
    }
}

impl std::fmt::Display for Rising {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Rising {}

impl serde::de::Error for Rising {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), line: None, steps: Vec::new() }
    }
}

/// A node as serde sees it.
#[derive(Clone, Copy)]
struct Reading<'a>(&'a Node);

impl<'de> Deserializer<'de> for Reading<'de> {
    type Error = Rising;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rising> {
        match &self.0.value {
            Yaml::Null => visitor.visit_unit(),
            Yaml::Bool(b) => visitor.visit_bool(*b),
            Yaml::Int(i) => visitor.visit_i64(*i),
            Yaml::UInt(u) => visitor.visit_u64(*u),
            Yaml::Float(f) => visitor.visit_f64(*f),
            Yaml::String(s) => visitor.visit_borrowed_str(s),
            Yaml::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Yaml::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rising> {
        match self.0.value {
            Yaml::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rising> {
        let unquoted = match &self.0.value {
            Yaml::Bool(b) => b.to_string(),
            Yaml::Int(i) => i.to_string(),
            Yaml::UInt(u) => u.to_string(),
            Yaml::Float(f) => f.to_string(),
            Yaml::Null => return Err(Rising::invalid_type(Unexpected::Unit, &"a string")),
            _ => return self.deserialize_any(visitor),
        };
        // The API server refuses these too. A Lua plugin that counts on "on" must not get "true".
        Err(Rising::custom(format!("must be a string; put it in quotes: \"{unquoted}\"")))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rising> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Rising> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rising> {
        match &self.0.value {
            Yaml::String(name) => visitor.visit_enum(serde::de::value::BorrowedStrDeserializer::new(name)),
            Yaml::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            _ => Err(Rising::custom(format!(
                "must be one of the names that its documentation lists, not {}",
                self.0.kind()
            ))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The items of a list.
struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Rising;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Rising> {
        let index = self.next;
        let Some(item) = self.items.get(index) else { return Ok(None) };
        self.next += 1;
        seed.deserialize(Reading(item)).map(Some).map_err(|e| e.inside(item.line, || format!("[{index}]")))
    }
}

/// The entries of a mapping.
struct Entries<'a> {
    entries: &'a [(String, Node)],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Rising;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Rising> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Rising> {
        // serde calls this only after a key was there.
        let (key, node) = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(Reading(node))
            .map_err(|e| e.inside(node.line, || if plain(key) { format!(".{key}") } else { format!("[\"{key}\"]") }))
    }
}

/// Whether a key can stand in a path without quotes.
pub(super) fn plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `{variant: value}`.
struct Variant<'a>(&'a (String, Node));

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Rising;
    type Variant = Reading<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Reading<'de>), Rising> {
        let (name, value) = self.0;
        Ok((seed.deserialize(StrDeserializer::new(name))?, Reading(value)))
    }
}

impl<'de> VariantAccess<'de> for Reading<'de> {
    type Error = Rising;

    fn unit_variant(self) -> Result<(), Rising> {
        Err(Rising::custom("takes no value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Rising> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Rising> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Rising> {
        self.deserialize_any(visitor)
    }
}

/// The paths of the fields of `node` that are not in `known`, its typed object written back as JSON: the fields that
/// no one reads. At most 20 are told, as a document of another shape would list all of itself.
pub(super) fn unknown_fields(node: &Node, known: &serde_json::Value) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    collect_unknown(node, known, &mut String::new(), &mut found);
    found.truncate(20);
    found
}

fn collect_unknown(node: &Node, known: &serde_json::Value, path: &mut String, found: &mut Vec<(String, u32)>) {
    let length = path.len();
    match (&node.value, known) {
        (Yaml::Map(entries), serde_json::Value::Object(fields)) => {
            for (key, child) in entries {
                match (plain(key), length) {
                    (true, 0) => path.push_str(key),
                    (true, _) => path.extend([".", key]),
                    (false, _) => path.extend(["[\"", key, "\"]"]),
                }
                match fields.get(key) {
                    Some(known) => collect_unknown(child, known, path, found),
                    // Written back, empty fields may be left out.
                    None if child.is_empty() => {}
                    None => found.push((path.clone(), child.line)),
                }
                path.truncate(length);
            }
        }
        (Yaml::List(items), serde_json::Value::Array(known)) => {
            for (index, (child, known)) in items.iter().zip(known).enumerate() {
                path.push_str(&format!("[{index}]"));
                collect_unknown(child, known, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        match &self.value {
            Yaml::Null | Yaml::Bool(false) => true,
            Yaml::List(items) => items.is_empty(),
            Yaml::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{read, unknown_fields};
    use crate::files::tree::parse;
    use k8s_openapi::api::networking::v1::Ingress;

    const GOOD: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, annotations: {x/y: \"true\"}}
spec:
  rules:
  - host: a.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}
";

    #[test]
    fn an_ingress_is_read_as_its_type() {
        let ingress: Ingress = read(&parse(GOOD).unwrap()[0]).unwrap();
        let rules = ingress.spec.unwrap().rules.unwrap();
        assert_eq!(rules[0].host.as_deref(), Some("a.example"));
        assert_eq!(rules[0].http.as_ref().unwrap().paths[0].path_type, "Prefix");
    }

    #[test]
    fn a_mismatch_names_field_and_line() {
        let check = |from: &str, to: &str, field: &str, line: u32, message: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            let e = read::<Ingress>(&parse(&text).unwrap()[0]).unwrap_err();
            assert_eq!((e.field.as_str(), e.line), (field, line), "{e}");
            assert!(e.message.contains(message), "{e}");
        };
        check("\"true\"", "true", "metadata.annotations[\"x/y\"]", 4, "put it in quotes: \"true\"");
        check("a.example", "7", "spec.rules[0].host", 7, "put it in quotes: \"7\"");
        let port = "spec.rules[0].http.paths[0].backend.service.port.number";
        check("number: 80", "number: http", port, 8, "invalid type: string");
        check("  rules:", "  rules: 1\n  x:", "spec.rules", 6, "invalid type: integer");
    }

    #[test]
    fn fields_that_no_one_reads_are_found() {
        let text =
            GOOD.replace("host: a.example", "hots: b\n    host: a.example").replace("  rules:", "  tsl: []\n  rules:");
        let node = &parse(&text).unwrap()[0];
        let known = serde_json::to_value(read::<Ingress>(node).unwrap()).unwrap();
        assert_eq!(unknown_fields(node, &known), [("spec.rules[0].hots".to_owned(), 8)]);
    }
}
