//! From a config and its schema to the config with defaults.

use std::collections::HashSet;
use std::fmt::Write;

use serde_json::Value;

use super::{Additional, DEPTH_MAX, Kind, Lists, Node, Numbers, Objects, Texts, VALUES_MAX};

/// What is wrong with a config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigProblem {
    /// Within the config: `users[1].name`; empty for the whole.
    pub path: String,
    /// For people; shows no text of the config.
    pub message: String,
}

/// More would not be read.
const PROBLEMS_MAX: usize = 32;

pub(super) fn config(schema: &Node, mut config: Value) -> Result<Value, Vec<ConfigProblem>> {
    let mut check = Check { problems: Vec::new(), path: String::new(), values: 0 };
    // Before anything that recurses along the config.
    if depth(&config, 0) > DEPTH_MAX {
        check.problem(format!("has more than {DEPTH_MAX} values within each other: flatten it"));
        return Err(check.problems);
    }
    check.value(schema, &mut config);
    if check.problems.is_empty() { Ok(config) } else { Err(check.problems) }
}

/// How deep a value is, as far as that matters.
fn depth(value: &Value, above: usize) -> usize {
    if above > DEPTH_MAX {
        return above;
    }
    let below = |value: &Value| depth(value, above + 1);
    match value {
        Value::Object(fields) => fields.values().map(below).max().unwrap_or(above),
        Value::Array(items) => items.iter().map(below).max().unwrap_or(above),
        _ => above,
    }
}

struct Check {
    problems: Vec<ConfigProblem>,
    path: String,
    values: usize,
}

impl Check {
    fn problem(&mut self, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(ConfigProblem { path: self.path.clone(), message: message.into() });
        }
    }

    /// Does something at a place further in.
    fn within(&mut self, name: &str, run: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !self.path.is_empty() && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
        run(self);
        self.path.truncate(length);
    }

    /// Fills in defaults and checks.
    fn value(&mut self, schema: &Node, value: &mut Value) {
        self.values += 1;
        if self.values > VALUES_MAX {
            if self.values == VALUES_MAX + 1 {
                self.problem(format!("has more than {VALUES_MAX} values: shorten it"));
            }
            return;
        }
        if value.is_null() && (schema.nullable || (schema.kind.is_none() && schema.preserve_unknown)) {
            return;
        }
        if !self.has_type(schema, value) {
            return;
        }
        match value {
            Value::Object(_) => self.object(schema, value),
            Value::Array(items) => {
                if let Some(each) = &schema.lists.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.within(&format!("[{index}]"), |check| check.value(each, item));
                    }
                }
            }
            _ => {}
        }
        if let Some(complaint) = complaint(schema, value) {
            self.problem(complaint);
        }
    }

    fn has_type(&mut self, schema: &Node, value: &Value) -> bool {
        let what = match schema.kind {
            _ if schema.int_or_string && !is_whole(value) && !value.is_string() => "an integer or a string",
            Some(Kind::Object) if !value.is_object() => "an object",
            Some(Kind::Array) if !value.is_array() => "a list",
            Some(Kind::String) if !value.is_string() => "a string",
            Some(Kind::Integer) if !is_whole(value) => "an integer",
            Some(Kind::Number) if !value.is_number() => "a number",
            Some(Kind::Boolean) if !value.is_boolean() => "true or false",
            _ => return true,
        };
        let is = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let quote = if what == "a string" && !matches!(value, Value::Array(_) | Value::Object(_)) {
            ": put it into quotes"
        } else {
            ""
        };
        self.problem(format!("must be {what}, and is {is}{quote}"));
        false
    }

    fn object(&mut self, schema: &Node, value: &mut Value) {
        let Value::Object(fields) = value else { return };
        for (name, field) in &schema.objects.properties {
            let Some(default) = &field.default else { continue };
            let absent = fields.get(name).is_none_or(|value| value.is_null() && !field.nullable);
            if absent {
                fields.insert(name.clone(), default.clone());
            }
        }
        for name in schema.objects.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.within(name, |check| check.problem("is required, and missing"));
        }
        for (name, field) in fields.iter_mut() {
            let known = schema.objects.properties.get(name);
            match (known, &schema.objects.additional) {
                (Some(each), _) => self.within(name, |check| check.value(each, field)),
                (None, Additional::Each(each)) => self.within(name, |check| check.value(each, field)),
                (None, Additional::Any) => {}
                (None, Additional::Refused) if schema.preserve_unknown => {}
                (None, Additional::Refused) => {
                    let message = unknown(name, schema.objects.properties.keys());
                    self.within(name, |check| check.problem(message));
                }
            }
        }
    }
}

/// The message for a field that is not declared.
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    if let Some(meant) = crate::schema::nearest(name, known.clone().map(String::as_str)) {
        return format!("is not a field here: did you mean {meant}?");
    }
    let list: Vec<&str> = known.map(String::as_str).take(20).collect();
    if list.is_empty() {
        return "is not a field here: there are none".into();
    }
    format!("is not a field here: there are {}", list.join(", "))
}

/// What is wrong with a value of the right type, without its fields' and items' own problems.
fn complaint(schema: &Node, value: &Value) -> Option<String> {
    if let Some(allowed) = &schema.allowed
        && !allowed.iter().any(|one| same(one, value))
    {
        let list: Vec<String> = allowed.iter().take(20).map(Value::to_string).collect();
        return Some(format!("must be one of {}", list.join(", ")));
    }
    let own = match value {
        Value::Number(_) => number(&schema.numbers, value),
        Value::String(text) => self::text(&schema.texts, text),
        Value::Array(items) => list(&schema.lists, items),
        Value::Object(fields) => count(&schema.objects, fields.len()),
        _ => None,
    };
    let format =
        || schema.texts.format.and_then(|format| format.complaint(value)).map(|what| format!("must be {what}"));
    own.or_else(format).or_else(|| combined(schema, value))
}

fn number(numbers: &Numbers, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    if let Some(least) = numbers.minimum
        && (number < least.number || (least.exclusive && number <= least.number))
    {
        let than = if least.exclusive { "more than" } else { "at least" };
        return Some(format!("is {value}, and must be {than} {}", least.number));
    }
    if let Some(most) = numbers.maximum
        && (number > most.number || (most.exclusive && number >= most.number))
    {
        let than = if most.exclusive { "less than" } else { "at most" };
        return Some(format!("is {value}, and must be {than} {}", most.number));
    }
    let step = numbers.multiple_of?;
    let rest = (number / step).fract().abs();
    (rest > 1e-9 && rest < 1.0 - 1e-9).then(|| format!("is {value}, and must be a multiple of {step}"))
}

fn text(texts: &Texts, text: &str) -> Option<String> {
    let length = text.chars().count() as u64;
    if let Some(least) = texts.min_length.filter(|least| length < *least) {
        return Some(format!("has {length} characters, and must have at least {least}"));
    }
    if let Some(most) = texts.max_length.filter(|most| length > *most) {
        return Some(format!("has {length} characters, and must have at most {most}"));
    }
    let pattern = texts.pattern.as_ref().filter(|pattern| !pattern.is_match(text))?;
    Some(format!("must match the pattern {pattern}"))
}

fn list(lists: &Lists, items: &[Value]) -> Option<String> {
    let length = items.len() as u64;
    if let Some(least) = lists.min_items.filter(|least| length < *least) {
        return Some(format!("has {length} items, and must have at least {least}"));
    }
    if let Some(most) = lists.max_items.filter(|most| length > *most) {
        return Some(format!("has {length} items, and must have at most {most}"));
    }
    let mut seen = HashSet::new();
    let twice = items.iter().position(|item| lists.unique && !seen.insert(canonical(item)))?;
    Some(format!("has item {twice} (from 0) twice: remove it"))
}

fn count(objects: &Objects, fields: usize) -> Option<String> {
    let fields = fields as u64;
    if let Some(least) = objects.min_properties.filter(|least| fields < *least) {
        return Some(format!("has {fields} fields, and must have at least {least}"));
    }
    let most = objects.max_properties.filter(|most| fields > *most)?;
    Some(format!("has {fields} fields, and must have at most {most}"))
}

/// What `allOf`, `anyOf`, `oneOf` and `not` say.
fn combined(schema: &Node, value: &Value) -> Option<String> {
    if let Some(reason) = schema.all_of.iter().find_map(|each| refusal(each, value)) {
        return Some(reason);
    }
    if !schema.any_of.is_empty() {
        let reasons: Option<Vec<String>> = schema.any_of.iter().map(|each| refusal(each, value)).collect();
        if let Some(reasons) = reasons {
            return Some(reasons.join("; or "));
        }
    }
    if !schema.one_of.is_empty() {
        let reasons: Vec<String> = schema.one_of.iter().filter_map(|each| refusal(each, value)).collect();
        match schema.one_of.len() - reasons.len() {
            0 => return Some(reasons.join("; or ")),
            1 => {}
            many => return Some(format!("fits {many} of the alternatives, and must fit one only")),
        }
    }
    let not = schema.not.as_ref()?;
    refusal(not, value).is_none().then(|| "is what the schema's `not` rules out".to_owned())
}

/// Why a value does not pass a check that declares nothing.
fn refusal(schema: &Node, value: &Value) -> Option<String> {
    let mut probe = Check { problems: Vec::new(), path: String::new(), values: 0 };
    if !probe.has_type(schema, value) {
        return probe.problems.pop().map(|problem| problem.message);
    }
    let at = |name: &str, reason: String| format!("{name} {reason}");
    match value {
        Value::Object(fields) => {
            if let Some(name) = schema.objects.required.iter().find(|name| !fields.contains_key(*name)) {
                return Some(at(name, "is required, and missing".into()));
            }
            let checked =
                schema.objects.properties.iter().filter_map(|(name, each)| Some((name, each, fields.get(name)?)));
            let refused = |(name, each, field): (&String, &Node, &Value)| refusal(each, field).map(|r| at(name, r));
            checked.into_iter().find_map(refused).or_else(|| complaint(schema, value))
        }
        Value::Array(items) => {
            let each = schema.lists.items.as_ref();
            let refused = |item: &Value| each.and_then(|each| refusal(each, item)).map(|r| at("an item", r));
            items.iter().find_map(refused).or_else(|| complaint(schema, value))
        }
        _ => complaint(schema, value),
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Equality of JSON values: 1 is 1.0, and the order of fields means nothing.
fn same(a: &Value, b: &Value) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// One text for all that is equal.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            text.push('{');
            for name in names {
                // Writing to a String does not fail.
                let _ = write!(text, "{name:?}:");
                write_canonical(&fields[name], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let _ = if number.fract() == 0.0 { write!(text, "{number:.0}") } else { write!(text, "{number:?}") };
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}
