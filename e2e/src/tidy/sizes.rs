//! Files and functions stay small enough to be read at once; each exception says why it is one.

use std::collections::BTreeMap;

/// A file beyond this has more than one subject.
pub const FILE_LINES_MAX: usize = 600;
/// A function beyond this is not read at one glance.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Exceptions by what they are of: a path, or `path::function`.
pub type Exceptions = BTreeMap<String, String>;

/// Reads lines of `subject: reason`; `#` starts a comment.
pub fn exceptions(text: &str) -> anyhow::Result<Exceptions> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| match line.split_once(": ") {
            Some((subject, reason)) if reason.len() > 10 => Ok((subject.to_owned(), reason.to_owned())),
            _ => anyhow::bail!("{line:?} is not `path: reason` or `path::function: reason`"),
        })
        .collect()
}

/// What is too long in a file: `(subject, lines)`.
pub fn too_long(file: &str, text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push((file.to_owned(), lines));
    }
    if file.ends_with(".rs") {
        let long = functions(text).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        found.extend(long.map(|(name, lines)| (format!("{file}::{name}"), lines)));
    }
    found
}

/// Functions with a body of several lines, and their lines, signature included. rustfmt puts the closing brace of such
/// a body alone on a line, as far in as the `fn`.
pub fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(start, line)| Some((start, function_name(line)?)));
    starts.filter_map(|(start, name)| Some((name.to_owned(), body_end(&lines[start..])? + 1))).collect()
}

/// The offset of the closing brace; none for a declaration or a body that stands in the line of its signature.
fn body_end(lines: &[&str]) -> Option<usize> {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let is_at_level =
        |line: &str| line.len() > indent && line[..indent].trim().is_empty() && !line[indent..].starts_with(' ');
    let ends = |line: &str| is_at_level(line) && line.ends_with([';', '}']);
    let end = lines.iter().position(|line| ends(line))?;
    (lines[end].trim() == "}").then_some(end)
}

/// The name of the function whose signature starts on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in
        ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe ", "extern \"C\" ", "extern \"C-unwind\" "]
    {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::{FUNCTION_LINES_MAX, exceptions, functions, too_long};

    #[test]
    fn functions_are_found_with_their_lines() {
        let text = "\
impl X {
    pub async fn one(&self) {
        if a {
        }
    }

    fn declared(
        a: u8,
    ) -> u8;

    fn two() -> u8 {
        1
    }
}

pub(crate) fn three(
    a: u8,
) -> Vec<u8> {
    let f = || {
        a;
    };
    vec![a]
}
";
        let expected = [("one", 4), ("two", 3), ("three", 8)].map(|(n, l)| (n.to_owned(), l));
        assert_eq!(functions(text), expected);
    }

    #[test]
    fn what_is_too_long_is_named() {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        let found = too_long("a.rs", &format!("fn long() {{\n{body}}}\n\nfn short() {{\n    x();\n}}\n"));
        assert_eq!(found, [("a.rs::long".to_owned(), FUNCTION_LINES_MAX + 2)]);
        assert_eq!(too_long("a.lua", &"x\n".repeat(601)), [("a.lua".to_owned(), 601)]);
    }

    #[test]
    fn an_exception_needs_a_reason() {
        assert!(exceptions("a.rs: a table of one line a row").is_ok());
        assert!(exceptions("# comment\n\na.rs").is_err());
        assert!(exceptions("a.rs: ok").is_err());
    }
}
