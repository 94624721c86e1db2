//! Files in, commits out: what a change of files does to the table, and what a mistake in them costs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

use std::path::{Path, PathBuf};

use controller::standalone::Standalone;
use routing::Commit;
use tempfile::TempDir;

const SHOP: &str = include_str!("standalone/shop.yaml");

/// A directory that is served.
struct Served {
    directory: TempDir,
    standalone: Standalone,
}

impl Served {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&directory.path().join(name), text);
        }
        let standalone = Standalone::open(&[directory.path().to_owned()]);
        Self { directory, standalone }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file (or removes it) and reads it again: the keys that change, and the reasons of new problems.
    fn change(&mut self, name: &str, text: Option<&str>) -> (Vec<String>, Vec<&'static str>) {
        let path = self.path(name);
        match text {
            Some(text) => write(&path, text),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let (commit, problems) = self.standalone.reload(&[path]);
        (keys(&commit), problems.iter().map(|problem| problem.reason).collect())
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn keys(commit: &Commit) -> Vec<String> {
    commit.changes.iter().map(|change| change.key().to_string()).collect()
}

#[test]
fn a_directory_becomes_a_table() {
    let mut served = Served::new(&[("shop.yaml", SHOP), ("notes.txt", "not: [yaml"), (".hidden.yaml", "not: [yaml")]);
    assert_eq!(served.standalone.problems(), []);
    let first = served.standalone.commit();
    let again = served.standalone.commit();
    assert_eq!((first.counter, again.counter, &first.changes), (1, 2, &again.changes));
    let sections: Vec<String> = keys(&first).iter().map(|key| key.split(' ').next().unwrap().to_owned()).collect();
    let expected = "settings host route chain chain chain chain binding binding plugin plugin script script upstream endpoints namespace";
    assert_eq!(sections.join(" "), expected);
    assert!(!format!("{first:?}").contains("hunter2"), "secrets are not printed");
}

#[test]
fn a_change_of_a_file_changes_what_differs() {
    let mut served = Served::new(&[("shop.yaml", SHOP)]);
    let moved = SHOP.replace("10.0.0.7", "10.0.0.8");
    assert_eq!(
        served.change("shop.yaml", Some(&moved)),
        (vec!["endpoints shop/web:80".into(), "namespace shop".into()], vec![])
    );
    assert_eq!(served.change("shop.yaml", Some(&moved)), (vec![], vec![]), "the same text");
    let comment = format!("# a comment\n{moved}");
    assert_eq!(served.change("shop.yaml", Some(&comment)), (vec![], vec![]), "the same objects");
}

#[test]
fn a_file_that_does_not_parse_keeps_its_objects() {
    let mut served = Served::new(&[("shop.yaml", SHOP)]);
    let table = served.standalone.translator().table();
    assert_eq!(served.change("shop.yaml", Some("a: [")), (vec![], vec!["NotYaml"]));
    assert_eq!(served.standalone.translator().table(), table);
    assert_eq!(served.change("shop.yaml", Some(SHOP)), (vec![], vec![]));
    assert_eq!(served.standalone.problems(), []);
    let (gone, problems) = served.change("shop.yaml", None);
    assert_eq!((gone.len(), problems), (table.0.len() - 1, vec![]), "all but the settings");
}

#[test]
fn an_object_that_is_not_valid_keeps_its_last_version() {
    let mut served = Served::new(&[("shop.yaml", SHOP)]);
    // The Ingress is bad, and the endpoint in the same file moves all the same.
    let bad = SHOP.replace("path: /\n", "path: a\n").replace("10.0.0.7", "10.0.0.8");
    assert_eq!(served.change("shop.yaml", Some(&bad)).1, ["Invalid"]);
    assert_eq!(served.change("shop.yaml", Some(&SHOP.replace("10.0.0.7", "10.0.0.9"))).0.len(), 2);
    // A script that does not compile: the one that did goes on.
    let table = served.standalone.translator().table();
    let bad = SHOP.replace("10.0.0.7", "10.0.0.9").replace("ngx.header", "= ngx.header");
    assert_eq!(served.change("shop.yaml", Some(&bad)), (vec![], vec!["InvalidScript"]));
    assert_eq!(served.standalone.translator().table(), table);
}

#[test]
fn objects_move_between_files_and_the_first_of_two_holds() {
    let mut served = Served::new(&[("a.yaml", SHOP)]);
    let other = SHOP.replace("10.0.0.7", "10.0.0.8");
    assert_eq!(served.change("b.yaml", Some(&other)).0, Vec::<String>::new());
    assert!(served.standalone.problems().iter().all(|p| p.reason == "Duplicate"));
    assert_eq!(served.standalone.problems().len(), SHOP.matches("\nkind: ").count());
    assert_eq!(served.change("a.yaml", None).0, ["endpoints shop/web:80", "namespace shop"]);
    assert_eq!(served.standalone.problems(), []);
}

#[test]
fn a_directory_is_read_again_as_a_whole() {
    let mut served = Served::new(&[("team/shop.yaml", SHOP)]);
    std::fs::rename(served.path("team"), served.path("moved")).unwrap();
    let root = served.directory.path().to_owned();
    let (commit, problems) = served.standalone.reload(&[root]);
    assert_eq!((keys(&commit), problems), (vec![], vec![]), "the same objects in another place");
    let file = served.path("moved/shop.yaml");
    write(&file, &SHOP.replace("host: shop", "hots: shop"));
    let (_, problems) = served.standalone.reload(&[served.path("moved")]);
    let source = problems[0].source.as_ref().unwrap();
    assert_eq!((&*source.file, source.line, problems[0].reason), (&*file, 11, "UnknownField"));
}

#[test]
fn links_in_a_circle_lead_to_nothing_new() {
    let served = Served::new(&[("shop.yaml", SHOP), ("more/broken.yaml", "a: [\n")]);
    for name in ["x", "y", "more/z"] {
        std::os::unix::fs::symlink(served.directory.path(), served.path(name)).unwrap();
    }
    let mut standalone = Standalone::open(&[served.directory.path().to_owned()]);
    assert_eq!(standalone.problems().len(), 1, "{:?}", standalone.problems());
    assert_eq!(keys(&standalone.reload(&[served.directory.path().to_owned()]).0), [""; 0]);
}

#[test]
fn a_path_that_is_not_there_is_a_problem() {
    let standalone = Standalone::open(&[PathBuf::from("/nowhere/at/all")]);
    assert_eq!(standalone.problems().iter().map(|p| p.reason).collect::<Vec<_>>(), ["FileNotReadable"]);
}

#[test]
fn a_problem_says_the_line_also_after_the_file_moved_on() {
    let mut served = Served::new(&[("shop.yaml", SHOP)]);
    let line = |served: &Served| served.standalone.problems()[0].source.as_ref().unwrap().line;
    let bad = SHOP.replace("{name: quota}", "{name: missing}");
    served.change("shop.yaml", Some(&bad));
    let first = line(&served);
    assert!(bad.lines().nth(first as usize - 1).unwrap().contains("missing"));
    served.change("shop.yaml", Some(&format!("# one\n# two\n{bad}")));
    assert_eq!(line(&served), first + 2);
}

/// Contents that a file can have: none, objects, the same objects otherwise, other objects.
const CONTENTS: usize = 5;

fn content(number: usize) -> Option<String> {
    let moved = || SHOP.replace("10.0.0.7", "10.0.0.8");
    match number {
        0 => None,
        1 => Some(SHOP.into()),
        2 => Some(moved()),
        3 => Some(moved().split("---\n").take(3).collect::<Vec<_>>().join("---\n")),
        _ => Some("kind: List\napiVersion: v1\nitems: []\n".into()),
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// Whatever files were written, moved over and removed, the table and the problems are those of the files that are.
    #[test]
    fn any_history_of_files_ends_where_they_are(steps in proptest::collection::vec((0..3_usize, 0..CONTENTS), 1..12)) {
        let mut served = Served::new(&[]);
        for (file, number) in steps {
            let path = served.path(&format!("{file}.yaml"));
            match content(number) {
                Some(text) => write(&path, &text),
                None => drop(std::fs::remove_file(&path)),
            }
            served.standalone.reload(&[path]);
            let fresh = Standalone::open(&[served.directory.path().to_owned()]);
            proptest::prop_assert_eq!(served.standalone.translator().table(), fresh.translator().table());
            proptest::prop_assert_eq!(served.standalone.problems(), fresh.problems());
        }
    }
}
