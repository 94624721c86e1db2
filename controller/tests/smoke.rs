//! The golden inputs with lines taken out, doubled, swapped between files, and with words replaced: what the fuzz target
//! `files` checks, for a bounded number of texts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

#[path = "smoke/one_by_one.rs"]
mod one_by_one;

use std::path::Path;

use proptest::prelude::*;

fn inputs() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(".in.yaml"));
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Words that stand for each other often enough to make other objects of the same kinds.
const WORDS: [&str; 16] = [
    "shop",
    "web",
    "default",
    "a",
    "b",
    "moongate",
    "Prefix",
    "Exact",
    "quota",
    "good",
    "ClusterLuaPlugin",
    "LuaPlugin",
    "Ingress",
    "Service",
    "80",
    "\"\u{fffd}\"",
];

/// One edit of a text.
#[derive(Clone, Debug)]
enum Edit {
    Remove(usize),
    Double(usize),
    Take(usize, usize, usize),
    Word(usize, usize),
}

fn edit(lines: &mut Vec<String>, edit: &Edit, inputs: &[String]) {
    let length = lines.len().max(1);
    match edit {
        Edit::Remove(at) if !lines.is_empty() => drop(lines.remove(at % length)),
        Edit::Double(at) if !lines.is_empty() => lines.insert(at % length, lines[at % length].clone()),
        Edit::Take(at, input, from) => {
            let other: Vec<&str> = inputs[input % inputs.len()].split("---\n").collect();
            let document = other[from % other.len()].lines().map(str::to_owned);
            let at =
                (0..lines.len()).cycle().skip(at % length).take(lines.len()).find(|i| lines[*i] == "---").unwrap_or(0);
            lines.splice(at..at, std::iter::once("---".to_owned()).chain(document));
        }
        Edit::Word(at, with) if !lines.is_empty() => {
            let line = &mut lines[at % length];
            let word = WORDS.iter().find(|word| line.contains(**word)).copied().unwrap_or("x");
            *line = line.replacen(word, WORDS[with % WORDS.len()], 1);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_and_translated_in_any_order(
        input in any::<prop::sample::Index>(),
        edits in prop::collection::vec(prop_oneof![
            any::<usize>().prop_map(Edit::Remove),
            any::<usize>().prop_map(Edit::Double),
            any::<(usize, usize, usize)>().prop_map(|(at, input, from)| Edit::Take(at, input, from)),
            any::<(usize, usize)>().prop_map(|(at, with)| Edit::Word(at, with)),
        ], 0..12),
    ) {
        let inputs = inputs();
        let mut lines: Vec<String> = input.get(&inputs).lines().map(str::to_owned).collect();
        edits.iter().for_each(|one| edit(&mut lines, one, &inputs));
        one_by_one::check(&lines.join("\n"));
    }
}

#[test]
fn the_golden_inputs_have_objects() {
    let objects: usize = inputs().iter().map(|text| one_by_one::check(text)).sum();
    assert!(objects > 100, "{objects}");
}
