//! A large file in pieces: read one after the other they need little memory besides what they hold, and threads read
//! them side by side.

use std::num::NonZero;
use std::thread;

use super::document::{self, Document};
use super::tree::{self, NotYaml};

/// Bytes of a piece, at least: the tree of one is read while it is still in a core's cache.
const BYTES: usize = 64 * 1024;
/// Threads for a file: what is left of the work beside them gains nothing from more.
const THREADS_MAX: usize = 16;
/// Stack of such a thread, as the main one has: an unoptimized build needs more than a thread's usual 2 MiB for as many
/// values within each other as the parser allows.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The objects of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, NotYaml> {
    let pieces = split(text, BYTES);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let each = pieces.len().div_ceil(cores.min(THREADS_MAX));
    let read: Result<Vec<_>, _> = thread::scope(|scope| {
        let mut shares = pieces.chunks(each);
        let first = shares.next().unwrap_or_default();
        let start = |share| {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            (share, thread.spawn_scoped(scope, move || read_all(share)))
        };
        let others: Vec<_> = shares.map(start).collect();
        let others = others.into_iter().map(|(share, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // There are no more threads to be had.
            Err(_) => read_all(share),
        });
        std::iter::once(read_all(first)).chain(others).collect()
    });
    match read {
        Ok(shares) => Ok(shares.into_iter().flatten().collect()),
        // What is wrong with a piece is told by the lines of the whole.
        Err(_) if pieces.len() > 1 => read_all(&[(text, 0)]),
        Err(e) => Err(e),
    }
}

/// Reads pieces that have so many lines before them.
fn read_all(pieces: &[(&str, u32)]) -> Result<Vec<Document>, NotYaml> {
    let mut documents = Vec::new();
    for (text, lines_before) in pieces {
        let mut nodes = tree::parse(text)?;
        nodes.iter_mut().for_each(|node| node.move_down(*lines_before));
        documents.extend(nodes.iter().flat_map(document::items).map(document::read));
    }
    Ok(documents)
}

/// Cuts a text before lines that begin a document, into pieces of at least so many bytes, with how many lines are before
/// each. Such a line stands for nothing else in YAML, wherever it is (YAML 1.2.2, 9.1.2); a directive belongs to the
/// document after it, and a text that has one stays whole.
fn split(text: &str, bytes: usize) -> Vec<(&str, u32)> {
    let has_directive = text.starts_with('%') || text.contains("\n%");
    let (mut pieces, mut rest, mut line) = (Vec::new(), text, 0);
    while let Some(at) = next_document(rest, bytes).filter(|_| !has_directive) {
        let (piece, after) = rest.split_at(at);
        pieces.push((piece, line));
        line += u32::try_from(piece.matches('\n').count()).unwrap_or(u32::MAX);
        rest = after;
    }
    pieces.push((rest, line));
    pieces
}

/// Where the first document begins that has at least so many bytes before it.
fn next_document(text: &str, bytes: usize) -> Option<usize> {
    let from = text.ceil_char_boundary(bytes);
    let begins = |at: &usize| matches!(text.as_bytes().get(at + 3), None | Some(b'\n' | b'\r' | b' ' | b'\t'));
    text.get(from..)?.match_indices("\n---").map(|(at, _)| from + at + 1).find(begins)
}

#[cfg(test)]
mod tests {
    use super::{BYTES, documents, split};

    #[test]
    fn a_thread_has_room_for_values_within_each_other() {
        let many = format!("--- {}\n", "x".repeat(BYTES)).repeat(32);
        let deep = format!("{many}--- {}{}\n", "[".repeat(62), "]".repeat(62));
        assert!(documents(&deep).is_ok());
    }

    #[test]
    fn a_text_is_cut_before_documents_and_nowhere_else() {
        let check = |text: &str, bytes: usize, expected: &[(&str, u32)]| assert_eq!(split(text, bytes), expected);
        check("a: 1\n---\nb: 2\n", 0, &[("a: 1\n", 0), ("---\nb: 2\n", 1)]);
        check("a: 1\n---\nb: 2\n", 8, &[("a: 1\n---\nb: 2\n", 0)]);
        check("a\n--- # x\nb\n---", 1, &[("a\n", 0), ("--- # x\nb\n", 1), ("---", 3)]);
        check("a: |\n  ---\n ---\n----\n---x\n", 0, &[("a: |\n  ---\n ---\n----\n---x\n", 0)]);
        check("%YAML 1.2\n---\na\n---\nb\n", 0, &[("%YAML 1.2\n---\na\n---\nb\n", 0)]);
        check("", 0, &[("", 0)]);
        check("ä: ö\n---\nü\n", 1, &[("ä: ö\n", 0), ("---\nü\n", 1)]);
    }

    #[test]
    fn a_file_in_pieces_reads_as_the_whole() {
        let object =
            |i| format!("---\n# {i}\napiVersion: v1\nkind: Service\nmetadata: {{name: s{i}}}\nspec: {{x: 1}}\n");
        let count = 5 * BYTES / object(10_000).len();
        let mut text: String = (0..count).map(object).collect();
        let read = documents(&text).unwrap();
        assert_eq!(read.len(), count);
        for (i, document) in read.iter().enumerate() {
            assert_eq!(document.line as usize, 6 * i + 3);
            assert_eq!(document.problems[0].0 as usize, 6 * i + 6, "an unknown field's line");
        }
        text.push_str("---\nkind: [\n");
        assert_eq!(documents(&text).unwrap_err().line as usize, 6 * count + 2);
    }
}
