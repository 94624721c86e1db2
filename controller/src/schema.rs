//! `spec.configSchema`: what a plugin's config may look like.
//!
//! The structural subset of OpenAPI v3 that CustomResourceDefinitions use, without `$ref` and without anything remote:
//! every field has a `type`, fields that are not named are refused unless `additionalProperties` or
//! `x-kubernetes-preserve-unknown-fields` says otherwise, and defaults are filled in as the API server does it: where a
//! field is absent, and within objects that are there. `allOf`, `anyOf`, `oneOf` and `not` may check values but not
//! declare fields. Patterns are matched in linear time.
//!
//! Work and memory are bounded: by the depth and number of schemas, the depth and size of a config, and their product.
//! No message shows a string of the config, so secrets that are checked do not leak.

mod apply;
mod format;
mod nearest;
mod parse;
mod secrets;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

pub use apply::ConfigProblem;
pub(crate) use nearest::nearest;
pub use parse::SchemaProblem;

/// Schemas within each other, and values of a config within each other. Deeper ones are no configuration.
pub const DEPTH_MAX: usize = 32;
/// Schemas in a schema: as many fields as anyone documents.
pub const SCHEMAS_MAX: usize = 2_000;
/// Values in a config, defaults included: it becomes a Lua table in every worker.
pub const VALUES_MAX: usize = 20_000;
/// A pattern's length, and the compiled program's size: one config checks many strings with it.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// A schema that was understood.
#[derive(Clone, Debug)]
pub struct Schema {
    root: Node,
}

/// What one value may be.
#[derive(Clone, Debug, Default)]
struct Node {
    /// None within `allOf` and its like, for integer-or-string, and for values of any shape.
    kind: Option<Kind>,
    int_or_string: bool,
    nullable: bool,
    /// Fields that are not named are kept unchecked.
    preserve_unknown: bool,
    default: Option<Value>,
    allowed: Option<Vec<Value>>,
    numbers: Numbers,
    texts: Texts,
    lists: Lists,
    objects: Objects,
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

#[derive(Clone, Debug, Default)]
struct Numbers {
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    number: f64,
    exclusive: bool,
}

#[derive(Clone, Debug, Default)]
struct Texts {
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<Regex>,
    format: Option<format::Format>,
}

#[derive(Clone, Debug, Default)]
struct Lists {
    items: Option<Box<Node>>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique: bool,
}

#[derive(Clone, Debug, Default)]
struct Objects {
    properties: BTreeMap<String, Node>,
    additional: Additional,
    required: Vec<String>,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
}

/// What holds for fields that `properties` does not name.
#[derive(Clone, Debug, Default)]
enum Additional {
    #[default]
    Refused,
    Any,
    Each(Box<Node>),
}

impl Schema {
    /// Understands a schema, or says everything that is wrong with it.
    pub fn parse(schema: &Value) -> Result<Self, Vec<SchemaProblem>> {
        parse::root(schema).map(|root| Self { root })
    }

    /// What holds for a plugin without a schema: its config is empty.
    pub fn empty() -> Self {
        Self { root: Node { kind: Some(Kind::Object), ..Node::default() } }
    }

    /// Checks a config and fills in the defaults.
    pub fn apply(&self, config: &Map<String, Value>) -> Result<Value, Vec<ConfigProblem>> {
        apply::config(&self.root, Value::Object(config.clone()))
    }

    /// The same for a config that gets values from Secrets: they are checked as if they stood at their paths, and are
    /// not in the result. A path leads by field names, and by indices (from 0) through lists.
    pub fn apply_with_secrets(
        &self,
        config: &Map<String, Value>,
        secrets: &[(Vec<String>, String)],
    ) -> Result<Value, Vec<ConfigProblem>> {
        let mut whole = Value::Object(config.clone());
        let problems: Vec<_> =
            secrets.iter().filter_map(|(path, secret)| secrets::insert(&mut whole, path, secret).err()).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut applied = apply::config(&self.root, whole)?;
        secrets.iter().for_each(|(path, _)| secrets::remove(&mut applied, path));
        Ok(applied)
    }

    /// Checks any value: for objects that are no plugin's config.
    pub(crate) fn apply_to_value(&self, value: Value) -> Result<Value, Vec<ConfigProblem>> {
        apply::config(&self.root, value)
    }
}

#[cfg(test)]
mod tests;
