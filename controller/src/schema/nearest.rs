//! The name that was probably meant.

/// Names longer than this are not compared: the work is the product of the lengths.
const NAME_MAX: usize = 128;

/// Of the known names the one that differs least from a wrong one, if it differs little.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > NAME_MAX {
        return None;
    }
    // A third of the letters, at most three: more is another word.
    let most = (wrong.chars().count() / 3).clamp(1, 3);
    known
        .filter(|name| name.len().abs_diff(wrong.len()) <= most && name.len() <= NAME_MAX)
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour, whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn small_mistakes_find_their_name() {
        let check = |wrong: &str, expected: Option<&str>| {
            let known = ["limit", "window", "header", "status", "proxy-body-size"];
            assert_eq!(nearest(wrong, known.into_iter()), expected, "{wrong}");
        };
        check("limt", Some("limit"));
        check("Limit", Some("limit"));
        check("windwo", Some("window"));
        check("proxy-bodysize", Some("proxy-body-size"));
        check("statuses", Some("status"));
        check("burst", None);
        check("x", None);
        check(&"limit".repeat(100), None);
    }
}
