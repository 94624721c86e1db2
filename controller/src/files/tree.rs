//! YAML as a tree in which each node knows its line, so that a problem found long after parsing can name it.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Spanned};

/// Documents of a stream: more than any Helm chart renders, few enough to bound the work on garbage.
const DOCUMENTS_MAX: usize = 200_000;
/// Nodes of a text that is parsed at once; 10,000 Ingresses have about half a million.
const NODES_MAX: usize = 20_000_000;
/// Scalar bytes of such a text.
const SCALAR_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Anchors of such a text, and aliases: more than anyone writes by hand; each takes memory until the text is read.
const ANCHORS_MAX: usize = 50_000;
const ALIASES_MAX: usize = 50_000;

/// Events that aliases may stand for in such a text: one for a scalar, two for a list or mapping and what is in it. A few
/// lines of aliases to aliases would stand for billions of them.
const ALIASED_MAX: usize = 100_000;
/// Scalar bytes that aliases may stand for.
const ALIASED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A node of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Its first line, from 1.
    pub(super) line: u32,
    /// What it is.
    pub(super) value: Yaml,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; YAML 1.1's `yes` and `on` too, as kubectl reads them.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the file's order; keys are unique, or the file does not parse.
    Map(Vec<(String, Node)>),
}

/// Why a text is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct NotYaml {
    /// Where, from 1; 0 when not known.
    pub(super) line: u32,
    /// What is wrong.
    pub(super) message: String,
}

/// The documents of a file, empty ones left out.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, NotYaml> {
    parse_within(SCALAR_BYTES_MAX, text)
}

fn parse_within(scalar_bytes_max: usize, text: &str) -> Result<Vec<Node>, NotYaml> {
    // What a text says itself is at most half as long again as the text, by escapes such as `\L`.
    let with_aliased = text.len() * 3 / 2 + ALIASED_BYTES_MAX;
    let budget = serde_saphyr::budget! {
        max_documents: DOCUMENTS_MAX,
        max_nodes: NODES_MAX,
        // A node is at most two events, a document and the stream two more.
        max_events: 2 * NODES_MAX + 2 * DOCUMENTS_MAX,
        max_total_scalar_bytes: scalar_bytes_max.min(with_aliased),
        max_anchors: ANCHORS_MAX,
        max_aliases: ALIASES_MAX,
        // Many aliases of one anchor are nothing wrong: what they stand for counts.
        enforce_alias_anchor_ratio: false,
    };
    let aliases = serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_MAX };
    let options = serde_saphyr::options! { budget: budget, alias_limits: aliases, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|e| {
        let line = e.location().map_or(0, |l| u32::try_from(l.line()).unwrap_or(u32::MAX));
        let is_of_text = with_aliased > scalar_bytes_max;
        // `to_string` has advice for those who call the parser.
        let other = || e.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        NotYaml { line, message: too_much(&e, is_of_text.then_some(scalar_bytes_max)).unwrap_or_else(other) }
    })
}

/// What there is too much of, where it is that; with how many bytes of scalars a text may have that may have too many of
/// its own.
fn too_much(error: &Error, scalar_bytes_max: Option<usize>) -> Option<String> {
    use BudgetBreach::{Aliases, Anchors, RecordedAnchorBytes, RecordedAnchorEvents, ScalarBytes};
    let breach = match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => {
            return too_much(error, scalar_bytes_max);
        }
        Error::AliasReplayLimitExceeded { .. } => return Some(aliased()),
        Error::AliasReplayStackDepthExceeded { .. } => {
            return Some("its aliases (`*name`) stand for aliases of aliases, too many deep: write them out".into());
        }
        Error::Budget { breach, .. } => breach,
        _ => return None,
    };
    Some(match (breach, scalar_bytes_max) {
        (Aliases { .. }, _) => format!("it has more than {ALIASES_MAX} aliases (`*name`): cut it into several files"),
        (Anchors { .. }, _) => {
            format!("it has more than {ANCHORS_MAX} anchors (`&name`): remove those that no alias (`*name`) stands for")
        }
        (RecordedAnchorEvents { .. } | RecordedAnchorBytes { .. }, _) => {
            "its anchors (`&name`) are of too much: put them only on what some alias (`*name`) stands for".into()
        }
        (ScalarBytes { .. }, Some(max)) => format!(
            "its keys and values, with what aliases (`*name`) stand for, are more than {} MiB: cut it into several files",
            max >> 20
        ),
        (ScalarBytes { .. }, None) => aliased(),
        _ => return None,
    })
}

fn aliased() -> String {
    let mib = ALIASED_BYTES_MAX >> 20;
    format!(
        "its aliases (`*name`) stand for more than {ALIASED_MAX} nodes or {mib} MiB: write out what they stand for, in several files if need be"
    )
}

impl Node {
    /// The value of a mapping's key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Yaml::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string node.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Yaml::String(s) => Some(s),
            _ => None,
        }
    }

    /// The line of a field such as `spec.rules[0].host`, or of the nearest node on the way to it that exists.
    pub(super) fn line_of(&self, field: &str) -> u32 {
        let mut at = self;
        for step in Steps(field) {
            let next = match (step, &at.value) {
                (Step::Key(key), _) => at.get(key),
                (Step::Index(i), Yaml::List(items)) => items.get(i),
                (Step::Index(_), _) => None,
            };
            match next {
                Some(node) => at = node,
                None => break,
            }
        }
        at.line
    }

    /// Adds to the line of the node and of all below it.
    pub(super) fn move_down(&mut self, lines: u32) {
        self.line += lines;
        match &mut self.value {
            Yaml::List(items) => items.iter_mut().for_each(|item| item.move_down(lines)),
            Yaml::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.move_down(lines)),
            _ => {}
        }
    }

    /// A node of an object that did not come from a file: all of it is on line 1.
    pub(super) fn of_json(json: &serde_json::Value) -> Self {
        use serde_json::Value;
        let value = match json {
            Value::Null => Yaml::Null,
            Value::Bool(b) => Yaml::Bool(*b),
            Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(i), _) => Yaml::Int(i),
                (None, Some(u)) => Yaml::UInt(u),
                // serde_json holds no other numbers.
                (None, None) => Yaml::Float(n.as_f64().unwrap_or_default()),
            },
            Value::String(s) => Yaml::String(s.clone()),
            Value::Array(items) => Yaml::List(items.iter().map(Self::of_json).collect()),
            Value::Object(fields) => {
                Yaml::Map(fields.iter().map(|(key, value)| (key.clone(), Self::of_json(value))).collect())
            }
        };
        Self { line: 1, value }
    }

    /// The node without its lines.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Yaml::Null => serde_json::Value::Null,
            Yaml::Bool(b) => (*b).into(),
            Yaml::Int(i) => (*i).into(),
            Yaml::UInt(u) => (*u).into(),
            Yaml::Float(f) => (*f).into(),
            Yaml::String(s) => s.as_str().into(),
            Yaml::List(items) => items.iter().map(Self::to_json).collect(),
            Yaml::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
        }
    }

    /// What the node is called in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Int(_) | Yaml::UInt(_) | Yaml::Float(_) => "a number",
            Yaml::String(_) => "a string",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "an object",
        }
    }
}

/// One step of a field's path.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The steps of `a.b[0]["c.d"]`.
struct Steps<'a>(&'a str);

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let rest = self.0.strip_prefix('.').unwrap_or(self.0);
        if let Some(bracket) = rest.strip_prefix('[') {
            let (inside, after) = bracket.split_once(']')?;
            self.0 = after;
            return match inside.parse() {
                Ok(index) => Some(Step::Index(index)),
                Err(_) => Some(Step::Key(inside.trim_matches('"'))),
            };
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        self.0 = after;
        (!key.is_empty()).then_some(Step::Key(key))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(d)?;
        let line = u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX);
        Ok(Self { line, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML node")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(d)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Yaml, E> {
        Ok(Yaml::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Yaml, E> {
        Ok(i64::try_from(v).map_or(Yaml::UInt(v), Yaml::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Yaml, E> {
        Ok(Yaml::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Yaml, E> {
        Ok(Yaml::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Yaml::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::{Yaml, parse, parse_within};

    const TWO: &str =
        "# a comment\nkind: A\nspec:\n  rules:\n  - host: x\n  - host: y\n    \"a.b\": 1\n---\n---\nkind: B\n";

    #[test]
    fn documents_and_fields_know_their_lines() {
        let documents = parse(TWO).unwrap();
        assert_eq!(documents.len(), 2, "empty documents are left out");
        let check = |field: &str, line: u32| assert_eq!(documents[0].line_of(field), line, "{field}");
        check("", 2);
        check("kind", 2);
        check("spec.rules[0].host", 5);
        check("spec.rules[1].host", 6);
        check("spec.rules[1][\"a.b\"]", 7);
        // A list or mapping in block style begins with its first entry.
        check("spec.rules[7].host", 5);
        check("spec.nothing", 4);
        assert_eq!(documents[1].line, 10);
    }

    #[test]
    fn scalars_are_what_kubectl_makes_of_them() {
        let check =
            |text: &str, value: Yaml| assert_eq!(parse(text).unwrap()[0].get("a").unwrap().value, value, "{text}");
        check("a: 1", Yaml::Int(1));
        check("a: 18446744073709551615", Yaml::UInt(u64::MAX));
        check("a: '1'", Yaml::String("1".into()));
        check("a: on", Yaml::Bool(true));
        check("a: 1.5", Yaml::Float(1.5));
        check("a:", Yaml::Null);
        check("a: |\n  x\n  y\n", Yaml::String("x\ny\n".into()));
        check("a: {b: [1]}", parse("{b: [1]}").unwrap()[0].value.clone());
    }

    /// A list of ten, and lists of ten aliases of the one before: each level stands for ten times as much.
    fn bomb(levels: usize) -> String {
        let list = |of: &str| format!("[{}]", [of; 10].join(","));
        let level = |n: usize| format!("a{n}: &a{n} {}\n", list(&format!("*a{}", n - 1)));
        format!("a0: &a0 {}\n{}", list("x"), (1..levels).map(level).collect::<String>())
    }

    #[test]
    fn aliases_stand_for_so_much_and_no_more() {
        let documents = parse(&bomb(4)).unwrap();
        assert!(matches!(&documents[0].get("a3").unwrap().value, Yaml::List(items) if items.len() == 10));
        for levels in [6, 12, 60] {
            let refused = parse(&bomb(levels)).unwrap_err();
            assert!(refused.message.starts_with("its aliases"), "{levels}: {}", refused.message);
            // Where the limit is reached, not after the last line of all.
            assert!((4..=7).contains(&refused.line), "{levels}: {}", refused.line);
        }
        let many = |length: usize, aliases: usize| {
            let lines: String = (0..aliases).map(|n| format!("b{n}: *a\n")).collect();
            parse(&format!("a: &a {}\n{lines}", "x".repeat(length)))
        };
        assert!(many(10, 1000).is_ok(), "many aliases of one anchor");
        assert!(many(100_000, 100).is_ok(), "10 MB");
        let refused = many(100_000, 200).unwrap_err();
        assert!(refused.message.starts_with("its aliases"), "{}", refused.message);
        assert!((160..=180).contains(&refused.line), "17 MB: {}", refused.line);
        // What is wrong at an alias is still told as what it is.
        let wrong = parse("a: &a {b: 1}\nc: *d\n").unwrap_err();
        assert!(!wrong.message.contains("its aliases"), "{}", wrong.message);
    }

    #[test]
    fn what_there_is_too_much_of_is_told_as_what_it_is() {
        let check = |text: &str, expected: &str| {
            let told = parse_within(2 << 20, text).unwrap_err().message;
            assert!(told.starts_with(expected), "{told}");
        };
        let lines = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
        check(&lines(50_001, |n| format!("a{n}: &a{n}\n")), "it has more than 50000 anchors");
        check(&format!("a: &a\n{}", lines(50_001, |n| format!("b{n}: *a\n"))), "it has more than 50000 aliases");
        // What is in twenty of them is kept for each.
        let nested: String = (0..20).map(|n| format!("{}a: &a{n}\n", " ".repeat(n))).collect();
        let inner = format!("{}- [{}]\n", " ".repeat(20), vec!["x"; 55_000].join(","));
        check(&(nested + &inner), "its anchors (`&name`) are of too much");
        check(&format!("a: {}", "x".repeat(3 << 20)), "its keys and values, with what aliases");
    }

    #[test]
    fn broken_text_says_where() {
        assert_eq!(parse("a: 1\nb: [\n").unwrap_err().line, 2);
        assert_eq!(parse("a: 1\na: 2\n").unwrap_err().line, 2);
    }
}
