//! What `moongate explain` says. `UPDATE_GOLDEN=1` writes `explain/answers.txt` anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use std::path::{Path, PathBuf};

use controller::explain::explain;

/// URL, and a Host header.
const QUESTIONS: &[(&str, Option<&str>)] = &[
    ("https://shop.example.com/api/v1?x=1", None),
    ("http://shop.example.com/apis", None),
    ("https://shop.example.com/api", None),
    ("https://192.0.2.1/", Some("SHOP.example.com:443")),
    ("http://closed.example.com/", None),
    ("http://broken.example.com/", None),
    ("http://other.example.org/", None),
    ("http://www.example.com/%zz", None),
    ("http://bad_host!/", None),
];

#[test]
fn requests_are_explained() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let files = [directory.join("shop.yaml")];
    let answer = |(url, host): &(&str, Option<&str>)| {
        let headers: Vec<_> = host.iter().map(|host| ("host".to_owned(), host.to_string())).collect();
        explain(&files, url, "GET", &headers).unwrap().replace(&format!("{}/", directory.display()), "")
    };
    let found = QUESTIONS.iter().map(answer).collect::<Vec<_>>().join("\n----\n\n");
    let answers: PathBuf = directory.join("answers.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&answers, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&answers).unwrap();
    assert!(expected == found, "expected:\n{expected}\nfound:\n{found}\n(UPDATE_GOLDEN=1 takes what is new)");
}

#[test]
fn what_is_no_url_is_refused() {
    assert!(explain(&[], "shop.example.com", "GET", &[]).is_err());
}
