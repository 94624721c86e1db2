//! The raw-byte corpus: what each input means to us, message by message, however it is cut into reads.
#![allow(missing_docs)]

use http1::*;

#[path = "shared/reader.rs"]
mod reader;
#[path = "shared/transcript.rs"]
mod transcript;

use reader::{Case, cases};
use transcript::{Reads, WHOLE, answers, requests};

/// Bytes that arrive one by one.
const BYTES: Reads<'static> = &[1];

fn check(file: &str, text: &str, read: impl Fn(&Case, Reads<'_>) -> String) {
    let cases = cases(text);
    assert!(cases.len() > 50, "{file}: the corpus is there");
    let mut wrong = Vec::new();
    for case in &cases {
        assert!(!case.why.is_empty(), "{file}: {} has no reason", case.name);
        for reads in [WHOLE, BYTES] {
            let got = read(case, reads);
            if got != case.ours {
                wrong.push(format!("{file}: {} ({reads:?})\n  want {}\n  got  {got}", case.name, case.ours));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn requests_mean_what_the_corpus_says() {
    check("requests.txt", include_str!("corpus/requests.txt"), |case, reads| {
        requests(&case.send, &Limits::default(), reads)
    });
}

#[test]
fn responses_mean_what_the_corpus_says() {
    check("responses.txt", include_str!("corpus/responses.txt"), |case, reads| {
        let asked = Method::from_bytes(case.asked.as_bytes()).expect("a method");
        answers(&case.send, &asked, &Limits::default(), reads)
    });
}

/// A name that is used twice, or a case without an input, is an editing mistake.
#[test]
fn cases_are_well_formed() {
    for text in [include_str!("corpus/requests.txt"), include_str!("corpus/responses.txt")] {
        let mut names = std::collections::BTreeSet::new();
        for case in cases(text) {
            assert!(!case.send.is_empty(), "{} sends nothing", case.name);
            assert!(!case.nginx.is_empty() && !case.hyper.is_empty(), "{} has no record of others", case.name);
            assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
        }
    }
}
