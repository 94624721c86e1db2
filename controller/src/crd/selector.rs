//! Label selectors, as Kubernetes has them, with bounds.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Selects objects by their labels: all of `matchLabels` and all of `matchExpressions` must hold. An empty selector
/// selects everything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<Requirement>,
}

/// A requirement on one label.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
    .message("`values` is for the operators In and NotIn, and required there"))]
pub struct Requirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Operator,
    /// For `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a [`Requirement`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Selector {
    /// Whether an object with these labels is selected. As in Kubernetes, `NotIn` holds for an absent label too.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        equal && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

/// As `kubectl -l` takes it: `a=b,c!=d,e in (f, g),h notin (i),j,!k`.
impl std::str::FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut selector = Self::default();
        for part in parts(text)? {
            selector.match_expressions.push(requirement(part)?);
        }
        Ok(selector)
    }
}

/// Separated by commas that are not in parentheses.
fn parts(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut begin, mut is_in) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match (c, is_in) {
            ('(', false) => is_in = true,
            (')', true) => is_in = false,
            ('(' | ')', _) => return Err(format!("{text:?} has a parenthesis where none can be")),
            (',', false) => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    if is_in {
        return Err(format!("{text:?} has a parenthesis that is not closed"));
    }
    parts.push(text[begin..].trim());
    Ok(parts)
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let (key, operator, values) = if let Some((key, value)) = text.split_once("!=") {
        (key, Operator::NotIn, vec![value])
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, Operator::In, vec![value])
    } else if let Some((head, list)) = text.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| format!("{text:?} goes on after its parenthesis"))?;
        let operator = match head.split_whitespace().nth(1) {
            Some("in") => Operator::In,
            Some("notin") => Operator::NotIn,
            _ => return Err(format!("{text:?} has neither `in` nor `notin` before its values")),
        };
        (head.split_whitespace().next().unwrap_or_default(), operator, list.split(',').collect())
    } else if let Some(key) = text.strip_prefix('!') {
        (key, Operator::DoesNotExist, Vec::new())
    } else {
        (text, Operator::Exists, Vec::new())
    };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    let key = key.trim();
    let values: Vec<String> = values.into_iter().map(|value| value.trim().to_owned()).collect();
    if key.is_empty() || !key.bytes().all(is_word) || !values.iter().all(|value| value.bytes().all(is_word)) {
        return Err(format!("{text:?} is no requirement on a label, such as team=shop or `tier in (gold, silver)`"));
    }
    Ok(Requirement { key: key.into(), operator, values })
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    // 63: the longest value that a label may have.
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

#[cfg(test)]
mod tests {
    use super::Selector;
    use std::collections::BTreeMap;

    #[test]
    fn labels_are_matched_as_kubernetes_does() {
        let labels: BTreeMap<_, _> = [("team", "shop"), ("tier", "gold")].map(|(k, v)| (k.into(), v.into())).into();
        let check = |selector: &str, matches: bool| {
            let parsed: Selector = serde_json::from_str(selector).unwrap();
            assert_eq!(parsed.matches(&labels), matches, "{selector}");
        };
        check("{}", true);
        check(r#"{"matchLabels": {"team": "shop"}}"#, true);
        check(r#"{"matchLabels": {"team": "shop", "tier": "silver"}}"#, false);
        check(r#"{"matchLabels": {"absent": ""}}"#, false);
        check(r#"{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["silver", "gold"]}]}"#, true);
        check(r#"{"matchExpressions": [{"key": "absent", "operator": "In", "values": ["x"]}]}"#, false);
        check(r#"{"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["x"]}]}"#, true);
        check(r#"{"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}"#, false);
        check(r#"{"matchExpressions": [{"key": "tier", "operator": "Exists"}]}"#, true);
        check(r#"{"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}"#, false);
        check(r#"{"matchLabels": {"team": "shop"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}"#, false);
    }

    #[test]
    fn a_selector_is_written_as_for_kubectl() {
        let labels: BTreeMap<_, _> = [("team", "shop"), ("a/tier", "gold")].map(|(k, v)| (k.into(), v.into())).into();
        let check = |text: &str, matches: bool| {
            let parsed: Selector = text.parse().unwrap();
            assert_eq!(parsed.matches(&labels), matches, "{text}");
        };
        check("team=shop", true);
        check("team==shop,a/tier!=silver", true);
        check("team = other", false);
        check("a/tier in (gold, silver),team", true);
        check("a/tier notin (gold)", false);
        check("!team", false);
        check("!absent, absent!=x", true);
        for bad in ["", "a,,b", "a in b", "a in (b", "a (b)", "a=b c", "in (a)", "a in (b) c", "a=(b)"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
