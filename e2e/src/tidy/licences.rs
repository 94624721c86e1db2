//! `deny.toml`, as far as every test run can hold it: licences and bans.

use std::collections::{BTreeMap, BTreeSet};

/// What `deny.toml` says.
#[derive(Default)]
pub struct Policy {
    /// Licences that any crate may have.
    pub allowed: BTreeSet<String>,
    /// Licences that single crates may have besides.
    pub exceptions: BTreeMap<String, BTreeSet<String>>,
    /// Crates that may not be there.
    pub banned: BTreeSet<String>,
}

impl Policy {
    /// Reads the lines of our `deny.toml`, one entry to a line.
    pub fn read(text: &str) -> Self {
        let mut policy = Self::default();
        let mut list = "";
        for line in text.lines().map(str::trim) {
            if let Some((name, "[")) = line.split_once(" = ") {
                list = name;
            } else if line == "]" {
                list = "";
            } else if list == "allow" {
                policy.allowed.extend(quoted(line).into_iter().next());
            } else if list == "exceptions" {
                let mut words = quoted(line).into_iter();
                let name = words.next().unwrap_or_default();
                policy.exceptions.entry(name).or_default().extend(words);
            } else if list == "deny" {
                policy.banned.extend(quoted(line).into_iter().next());
            }
        }
        policy
    }

    /// Whether a crate's licence expression can be met.
    pub fn allows(&self, package: &str, expression: &str) -> bool {
        let mut words = tokens(expression).into_iter().peekable();
        let allowed = |name: &str| {
            self.allowed.contains(name) || self.exceptions.get(package).is_some_and(|more| more.contains(name))
        };
        alternatives(&mut words, &allowed) && words.peek().is_none()
    }
}

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

/// SPDX: `OR` of `AND`s of names and parentheses. Old manifests write `/` for `OR`.
fn alternatives(words: &mut Words, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut any = all_of(words, allowed);
    while words.next_if(|w| w == "OR" || w == "/").is_some() {
        any |= all_of(words, allowed);
    }
    any
}

fn all_of(words: &mut Words, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut all = one(words, allowed);
    while words.next_if_eq("AND").is_some() {
        all &= one(words, allowed);
    }
    all
}

fn one(words: &mut Words, allowed: &dyn Fn(&str) -> bool) -> bool {
    let Some(mut name) = words.next() else { return false };
    if name == "(" {
        let inner = alternatives(words, allowed);
        return words.next_if_eq(")").is_some() && inner;
    }
    if words.next_if_eq("WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed(&name)
}

fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " / ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn quoted(line: &str) -> Vec<String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn an_expression_is_met_or_not() {
        let policy = Policy::read(
            "allow = [\n  \"MIT\",\n  \"ISC\",\n  \"Apache-2.0 WITH LLVM-exception\",\n]\n\
             exceptions = [\n  { crate = \"x\", allow = [\"MPL-2.0\"] },\n]\n\
             deny = [\n  { crate = \"openssl-sys\", reason = \"r\" },\n]\n",
        );
        let check = |package: &str, expression: &str, met: bool| {
            assert_eq!(policy.allows(package, expression), met, "{package} {expression}");
        };
        check("a", "MIT", true);
        check("a", "GPL-3.0", false);
        check("a", "GPL-3.0 OR MIT", true);
        check("a", "GPL-3.0/MIT", true);
        check("a", "GPL-3.0 AND MIT", false);
        check("a", "(GPL-3.0 OR ISC) AND MIT", true);
        check("a", "MIT AND (GPL-3.0 OR Zlib)", false);
        check("a", "Apache-2.0 WITH LLVM-exception", true);
        check("a", "Apache-2.0", false);
        check("a", "", false);
        check("a", "(MIT", false);
        check("a", "MPL-2.0", false);
        check("x", "MPL-2.0", true);
        assert!(policy.banned.contains("openssl-sys"));
    }
}
