//! Commands and their output in a document, as tests run them: what a README promises is what happens.

use std::process::Command;

use crate::process::run;

/// A command and what the document says it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The line after `$ `.
    pub command: String,
    /// The lines after it. A line that is `...` stands for any lines, `...` in a line for any text.
    pub expected: Vec<String>,
}

/// The steps of all blocks that are fenced as ```` ```console ````.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if !inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), expected: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            step.expected.push(line.to_owned());
        }
    }
    steps
}

/// Runs a command in the repository by bash; what it printed, without its errors (curl's progress is one).
pub fn perform(command: &str) -> String {
    perform_with(command, &[])
}

/// [`perform`] with variables in its environment.
pub fn perform_with(command: &str, variables: &[(&str, String)]) -> String {
    let variables = variables.iter().map(|(name, value)| (name, value));
    let output = run(Command::new("bash").args(["-c", command]).envs(variables).current_dir(crate::tidy::root()));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether text is what a document says.
pub fn matches(expected: &[String], text: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    matches_lines(expected, &lines)
}

fn matches_lines(expected: &[String], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "..." => (0..=lines.len()).any(|skip| matches_lines(rest, &lines[skip..])),
        Some((first, rest)) => {
            lines.split_first().is_some_and(|(line, more)| matches_line(first, line) && matches_lines(rest, more))
        }
    }
}

fn matches_line(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Step, matches, steps};

    #[test]
    fn steps_are_read_from_console_blocks() {
        let document = "```sh\n$ no\n```\n```console\n$ one\na\n\n$ two\n```\n$ no\n";
        let step = |command: &str, expected: &[&str]| Step {
            command: command.into(),
            expected: expected.iter().map(|e| (*e).to_owned()).collect(),
        };
        assert_eq!(steps(document), [step("one", &["a", ""]), step("two", &[])]);
    }

    #[test]
    fn output_is_compared_with_what_may_differ_left_open() {
        let check = |expected: &str, text: &str, same: bool| {
            let expected: Vec<String> = expected.lines().map(str::to_owned).collect();
            assert_eq!(matches(&expected, text), same, "{expected:?} {text:?}");
        };
        check("a\nb", "a\r\nb\r\n", true);
        check("a\nb", "a\n", false);
        check("a", "a\nb\n", false);
        check("...\nb", "x\ny\nb\n", true);
        check("a\n...", "a\n", true);
        check("date: ...", "date: now", true);
        check("date: ... GMT", "date: now UTC", false);
        check("a...c...e", "abcde", true);
        check("a...c...e", "abde", false);
    }
}
