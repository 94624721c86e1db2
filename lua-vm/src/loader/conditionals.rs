//! LuaJIT's parser counts how deep expressions nest, but not in `a ? b : c`: some ten thousand of them, each in the
//! last one's else, overflow the C stack and end the process. So chunks may have no more than a bounded number.

/// Far more than a person writes in one chunk, far less than the stack of a thread holds.
const MAX: usize = 200;

/// What a chunk with more is told.
pub(super) const REFUSAL: &str = "chunk has more than 200 conditional expressions (a ? b : c); write if statements";

/// Whether a text has more `?` than [`MAX`] outside of strings and comments.
pub(super) fn too_many(source: &[u8]) -> bool {
    // Nearly every chunk ends here: it does not even have so many characters of that kind.
    memchr::memchr_iter(b'?', source).nth(MAX).is_some() && count(source) > MAX
}

fn count(source: &[u8]) -> usize {
    let (mut at, mut found) = (0, 0);
    while let Some(&byte) = source.get(at) {
        let rest = &source[at..];
        at += match byte {
            b'?' => {
                found += 1;
                1
            }
            b'\'' | b'"' => short_string(rest),
            b'[' => long_bracket(rest).unwrap_or(1),
            b'-' if rest.starts_with(b"--") => 2 + comment(&rest[2..]),
            _ => 1,
        };
    }
    found
}

/// The length of a quoted string. One that does not end is a syntax error: its line is skipped.
fn short_string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\n' => return at,
            _ if byte == text[0] => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of `[[...]]`, `[=[...]=]` and so on; none when the text begins with no such bracket.
fn long_bracket(text: &[u8]) -> Option<usize> {
    let level = text[1..].iter().take_while(|b| **b == b'=').count();
    if text.get(1 + level) != Some(&b'[') {
        return None;
    }
    let mut end = vec![b'='; level + 2];
    (end[0], end[level + 1]) = (b']', b']');
    let body = &text[level + 2..];
    Some(memchr::memmem::find(body, &end).map_or(text.len(), |at| level + 2 + at + end.len()))
}

/// The length of a comment after its `--`.
fn comment(text: &[u8]) -> usize {
    let long = if text.first() == Some(&b'[') { long_bracket(text) } else { None };
    long.unwrap_or_else(|| memchr::memchr(b'\n', text).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::{MAX, count, too_many};

    #[test]
    fn only_code_counts() {
        let check = |source: &str, n: usize| assert_eq!(count(source.as_bytes()), n, "{source}");
        check("return a ? b : c ? d : e", 2);
        check(r#"return "?" .. '?\'?' ? 1 : 2"#, 1);
        check("--[==[ ? ]] ? ]==] x = a ? 1 : 2 -- ?\n?", 2);
        check("x = [[ ? ]] .. [=[ ? ]=] t[1] = ?", 1);
        check("x = '?", 0);
        check("x = '?\ny = ?", 1);
        check("[", 0);
        check("[=", 0);
    }

    #[test]
    fn many_question_marks_in_strings_are_no_conditionals() {
        let strings = "x = '?'\n".repeat(MAX * 2);
        assert!(!too_many(strings.as_bytes()));
        assert!(too_many("a?b:".repeat(MAX + 1).as_bytes()));
        assert!(!too_many("a?b:".repeat(MAX).as_bytes()));
    }
}
