//! What holds for every text file.

/// Kinds of files that are text of ours.
const TEXT: [&str; 9] = [".rs", ".toml", ".yaml", ".lua", ".md", ".py", ".sh", ".txt", ".yml"];
/// Texts whose bytes are the point: corpora, and what other tools print.
const AS_IT_IS: [&str; 3] = ["/corpus/", "Cargo.lock", "/golden/"];

/// Whether the rules of this file hold for `file`.
pub fn is_ours(file: &str) -> bool {
    TEXT.iter().any(|e| file.ends_with(e)) && !AS_IT_IS.iter().any(|p| file.contains(p))
}

/// `file:line: what` for each line that breaks a rule.
pub fn problems(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut say = |what: &str| found.push(format!("{file}:{}: {what}", number + 1));
        if line.ends_with([' ', '\t', '\r']) {
            say("white space at the end of the line");
        }
        if file.ends_with(".rs") && line.contains('\t') {
            say("a tab");
        }
        if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
            say("a conflict marker");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(format!("{file}: no newline at its end"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::problems;

    #[test]
    fn each_rule_is_seen() {
        let check = |text: &str, found: &[&str]| assert_eq!(problems("a.rs", text), found, "{text:?}");
        check("fn a() {}\n", &[]);
        check("", &[]);
        check("a \nb\n", &["a.rs:1: white space at the end of the line"]);
        check("a\tb\n", &["a.rs:1: a tab"]);
        check("a\nb", &["a.rs: no newline at its end"]);
        check(&format!("{} x\n", "<".repeat(7)), &["a.rs:1: a conflict marker"]);
    }
}
