//! From JSON to a schema.

use std::collections::HashSet;

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::format::Format;
use super::{Additional, Bound, DEPTH_MAX, Kind, Lists, Node, Numbers, Objects, PATTERN_BYTES_MAX, SCHEMAS_MAX, Texts};

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SchemaProblem {
    /// Within the schema: `properties.limit.pattern`; empty for the whole.
    pub path: String,
    /// For people.
    pub message: String,
}

/// More would not be read.
const PROBLEMS_MAX: usize = 32;
/// Keywords that say something to people only.
const FOR_PEOPLE: [&str; 5] = ["title", "description", "example", "externalDocs", "$schema"];
/// Keywords that people know from elsewhere, and what to do without them.
const REFUSED: [(&str, &str); 7] = [
    ("$ref", "references are not followed: write the schema in place"),
    ("definitions", "references are not followed: write the schemas in place"),
    ("$defs", "references are not followed: write the schemas in place"),
    ("const", "is not in OpenAPI v3: write an enum of one value"),
    ("patternProperties", "is not structural: write additionalProperties"),
    ("if", "is not structural: write anyOf"),
    ("x-kubernetes-validations", "CEL rules are not evaluated here: check in the plugin's init phase"),
];

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It declares fields.
    Structural,
    /// Within `allOf` and its like: it only checks what was declared.
    Check,
}

pub(super) fn root(schema: &Value) -> Result<Node, Vec<SchemaProblem>> {
    let mut parser = Parser { problems: Vec::new(), schemas: 0 };
    let node = parser.node(schema, "", 0, Place::Structural);
    if parser.problems.is_empty() && node.kind != Some(Kind::Object) {
        parser.problem("type", "a config is an object: write `type: object`");
    }
    if parser.problems.is_empty() {
        parser.defaults(&node, "");
    }
    if parser.problems.is_empty() { Ok(node) } else { Err(parser.problems) }
}

struct Parser {
    problems: Vec<SchemaProblem>,
    schemas: usize,
}

/// The JSON of one schema; what was not taken in the end is unknown.
struct Fields<'a> {
    path: String,
    all: &'a Map<String, Value>,
    taken: HashSet<&'static str>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.insert(name);
        self.all.get(name).filter(|value| !value.is_null())
    }

    fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Parser {
    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(SchemaProblem { path: path.into(), message: message.into() });
        }
    }

    fn node(&mut self, schema: &Value, path: &str, depth: usize, place: Place) -> Node {
        self.schemas += 1;
        if depth >= DEPTH_MAX {
            self.problem(path, format!("more than {DEPTH_MAX} schemas within each other: flatten the config"));
            return Node::default();
        }
        if self.schemas > SCHEMAS_MAX {
            if self.schemas == SCHEMAS_MAX + 1 {
                self.problem(path, format!("more than {SCHEMAS_MAX} schemas in one: simplify the config"));
            }
            return Node::default();
        }
        let Value::Object(all) = schema else {
            self.problem(path, "a schema is an object, such as {type: string}");
            return Node::default();
        };
        let mut fields = Fields { path: path.to_owned(), all, taken: HashSet::new() };
        let mut node = Node {
            int_or_string: self.flag(&mut fields, "x-kubernetes-int-or-string"),
            nullable: self.flag(&mut fields, "nullable"),
            preserve_unknown: self.flag(&mut fields, "x-kubernetes-preserve-unknown-fields"),
            default: fields.take("default").cloned(),
            allowed: self.allowed(&mut fields),
            ..Node::default()
        };
        node.kind = self.kind(&mut fields, &node, place);
        node.numbers = self.numbers(&mut fields);
        node.texts = self.texts(&mut fields);
        node.lists = self.lists(&mut fields, depth, place);
        node.objects = self.objects(&mut fields, depth, place);
        node.all_of = self.checks(&mut fields, "allOf", depth);
        node.any_of = self.checks(&mut fields, "anyOf", depth);
        node.one_of = self.checks(&mut fields, "oneOf", depth);
        if let Some(schema) = fields.take("not") {
            node.not = Some(Box::new(self.node(schema, &fields.at("not"), depth + 1, Place::Check)));
        }
        self.leftovers(&fields);
        self.fits(&fields, &node, place);
        node
    }

    fn kind(&mut self, fields: &mut Fields, node: &Node, place: Place) -> Option<Kind> {
        let kind = match fields.take("type").map(|kind| kind.as_str().unwrap_or_default()) {
            Some("object") => Some(Kind::Object),
            Some("array") => Some(Kind::Array),
            Some("string") => Some(Kind::String),
            Some("integer") => Some(Kind::Integer),
            Some("number") => Some(Kind::Number),
            Some("boolean") => Some(Kind::Boolean),
            Some(_) => {
                let message = "write object, array, string, integer, number or boolean; for null, `nullable: true`";
                self.problem(fields.at("type"), message);
                return None;
            }
            None => None,
        };
        let free = node.int_or_string || node.preserve_unknown;
        match (kind, place) {
            (None, Place::Structural) if !free => {
                self.problem(fields.at("type"), "is missing: every field has a type");
            }
            (Some(_), Place::Structural) if node.int_or_string => {
                self.problem(fields.at("type"), "remove it: x-kubernetes-int-or-string says the type");
            }
            _ => {}
        }
        kind
    }

    fn numbers(&mut self, fields: &mut Fields) -> Numbers {
        let multiple_of = self.number(fields, "multipleOf");
        if multiple_of.is_some_and(|number| number <= 0.0) {
            self.problem(fields.at("multipleOf"), "write a number above zero");
        }
        Numbers {
            minimum: self.bound(fields, "minimum", "exclusiveMinimum"),
            maximum: self.bound(fields, "maximum", "exclusiveMaximum"),
            multiple_of,
        }
    }

    fn bound(&mut self, fields: &mut Fields, name: &'static str, exclusive: &'static str) -> Option<Bound> {
        let number = self.number(fields, name);
        let is_exclusive = self.flag(fields, exclusive);
        if is_exclusive && number.is_none() {
            self.problem(fields.at(exclusive), format!("is for use with {name}"));
        }
        number.map(|number| Bound { number, exclusive: is_exclusive })
    }

    fn texts(&mut self, fields: &mut Fields) -> Texts {
        let mut texts = Texts {
            min_length: self.count(fields, "minLength"),
            max_length: self.count(fields, "maxLength"),
            ..Texts::default()
        };
        match fields.take("pattern") {
            Some(Value::String(pattern)) if pattern.len() <= PATTERN_BYTES_MAX => {
                // A program of 256 KiB is what a pattern of some hundred repetitions compiles to.
                match RegexBuilder::new(pattern).size_limit(256 << 10).dfa_size_limit(256 << 10).build() {
                    Ok(regex) => texts.pattern = Some(regex),
                    Err(wrong) => {
                        let reason = wrong.to_string();
                        let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                        let message =
                            format!("is no RE2 pattern ({last}): back-references and look-around are not there");
                        self.problem(fields.at("pattern"), message);
                    }
                }
            }
            Some(Value::String(_)) => {
                self.problem(fields.at("pattern"), format!("is longer than {PATTERN_BYTES_MAX} bytes"));
            }
            Some(_) => self.problem(fields.at("pattern"), "write a string"),
            None => {}
        }
        if let Some(format) = fields.take("format") {
            texts.format = Format::named(format.as_str().unwrap_or_default());
            if texts.format.is_none() {
                let message = format!("is not known: write one of {}, or a pattern", Format::names());
                self.problem(fields.at("format"), message);
            }
        }
        texts
    }

    fn lists(&mut self, fields: &mut Fields, depth: usize, place: Place) -> Lists {
        Lists {
            min_items: self.count(fields, "minItems"),
            max_items: self.count(fields, "maxItems"),
            unique: self.flag(fields, "uniqueItems"),
            items: fields.take("items").map(|items| Box::new(self.node(items, &fields.at("items"), depth + 1, place))),
        }
    }

    fn objects(&mut self, fields: &mut Fields, depth: usize, place: Place) -> Objects {
        let mut objects = Objects {
            min_properties: self.count(fields, "minProperties"),
            max_properties: self.count(fields, "maxProperties"),
            ..Objects::default()
        };
        match fields.take("properties") {
            Some(Value::Object(properties)) => {
                for (name, schema) in properties {
                    let path = join(&fields.at("properties"), name);
                    objects.properties.insert(name.clone(), self.node(schema, &path, depth + 1, place));
                }
            }
            Some(_) => self.problem(fields.at("properties"), "write an object: a schema for each field's name"),
            None => {}
        }
        match fields.take("required") {
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                objects.required = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            }
            Some(_) => self.problem(fields.at("required"), "write a list of the names of fields"),
            None => {}
        }
        objects.additional = match fields.take("additionalProperties") {
            None | Some(Value::Bool(false)) => Additional::Refused,
            Some(Value::Bool(true)) => Additional::Any,
            Some(schema) => {
                Additional::Each(Box::new(self.node(schema, &fields.at("additionalProperties"), depth + 1, place)))
            }
        };
        objects
    }

    fn checks(&mut self, fields: &mut Fields, name: &'static str, depth: usize) -> Vec<Node> {
        let path = fields.at(name);
        match fields.take(name) {
            Some(Value::Array(schemas)) if !schemas.is_empty() => {
                let each = schemas.iter().enumerate();
                each.map(|(n, schema)| self.node(schema, &format!("{path}[{n}]"), depth + 1, Place::Check)).collect()
            }
            Some(_) => {
                self.problem(path, "write a list of schemas");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn allowed(&mut self, fields: &mut Fields) -> Option<Vec<Value>> {
        match fields.take("enum")? {
            Value::Array(values) if !values.is_empty() => Some(values.clone()),
            _ => {
                self.problem(fields.at("enum"), "write a list of the values that are allowed");
                None
            }
        }
    }

    fn flag(&mut self, fields: &mut Fields, name: &'static str) -> bool {
        match fields.take(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.problem(fields.at(name), "write true or false");
                false
            }
            None => false,
        }
    }

    fn number(&mut self, fields: &mut Fields, name: &'static str) -> Option<f64> {
        let number = fields.take(name)?;
        if !number.is_number() {
            self.problem(fields.at(name), "write a number");
        }
        number.as_f64()
    }

    fn count(&mut self, fields: &mut Fields, name: &'static str) -> Option<u64> {
        let number = fields.take(name)?;
        if number.as_u64().is_none() {
            self.problem(fields.at(name), "write a whole number, zero or more");
        }
        number.as_u64()
    }

    /// Keywords that nothing took.
    fn leftovers(&mut self, fields: &Fields) {
        for name in fields.all.keys().filter(|name| !fields.taken.contains(name.as_str())) {
            if FOR_PEOPLE.contains(&name.as_str()) {
                continue;
            }
            let refused = REFUSED.iter().find(|(keyword, _)| keyword == name);
            let message = refused.map_or("is not a keyword of a config schema", |(_, message)| message);
            self.problem(fields.at(name), message);
        }
    }

    /// Keywords that have no effect where they stand are mistakes.
    fn fits(&mut self, fields: &Fields, node: &Node, place: Place) {
        let kinds: &[(Kind, &[&str])] = &[
            (Kind::Object, &["properties", "required", "additionalProperties", "minProperties", "maxProperties"]),
            (Kind::Array, &["items", "minItems", "maxItems", "uniqueItems"]),
            (Kind::String, &["minLength", "maxLength", "pattern"]),
            (Kind::Integer, &["minimum", "maximum", "multipleOf"]),
        ];
        for (kind, names) in kinds {
            let number = *kind == Kind::Integer && node.kind == Some(Kind::Number);
            if node.kind.is_none() || node.kind == Some(*kind) || number {
                continue;
            }
            for name in names.iter().filter(|name| fields.all.contains_key(**name)) {
                self.problem(fields.at(name), "does not fit the type");
            }
        }
        let has_items = node.lists.items.is_some() || node.preserve_unknown;
        if place == Place::Structural && node.kind == Some(Kind::Array) && !has_items {
            self.problem(fields.at("items"), "is missing: say what the list has");
        }
        let declares = ["default", "nullable", "additionalProperties", "x-kubernetes-preserve-unknown-fields"];
        for name in declares.iter().filter(|name| place == Place::Check && fields.all.contains_key(**name)) {
            self.problem(fields.at(name), "is not for allOf, anyOf, oneOf and not: declare it outside of them");
        }
        let named = |name: &&String| node.objects.properties.contains_key(*name);
        let closed = matches!(node.objects.additional, Additional::Refused) && !node.preserve_unknown;
        for name in node.objects.required.iter().filter(|name| place == Place::Structural && closed && !named(name)) {
            self.problem(fields.at("required"), format!("{name:?} is not among the properties"));
        }
    }

    /// Every default must be what its schema allows.
    fn defaults(&mut self, node: &Node, path: &str) {
        if let Some(default) = &node.default {
            let bare = Node { default: None, ..node.clone() };
            for wrong in super::apply::config(&bare, default.clone()).err().unwrap_or_default() {
                let within = if wrong.path.is_empty() { String::new() } else { format!("{}: ", wrong.path) };
                self.problem(join(path, "default"), format!("{within}{}", wrong.message));
            }
        }
        for (name, field) in &node.objects.properties {
            self.defaults(field, &join(&join(path, "properties"), name));
        }
        if let Some(items) = &node.lists.items {
            self.defaults(items, &join(path, "items"));
        }
        if let Additional::Each(each) = &node.objects.additional {
            self.defaults(each, &join(path, "additionalProperties"));
        }
    }
}
