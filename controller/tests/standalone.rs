//! Files become a table.

use std::path::PathBuf;

use controller::standalone::Standalone;

const MANIFEST: &str = include_str!("standalone.yaml");

#[test]
fn files_become_a_table_and_follow_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.yaml");
    std::fs::write(&file, MANIFEST).unwrap();
    let mut standalone = Standalone::open(&[directory.path().to_owned()]);

    let commit = standalone.commit();

    assert_eq!(standalone.problems(), []);

    std::fs::write(&file, MANIFEST.replace("10.0.0.7", "10.0.0.8")).unwrap();
    let (commit, problems) = standalone.reload(&[PathBuf::from(&file)]);
    assert_eq!(problems, []);
    assert_eq!(
        commit.changes.iter().map(|c| c.key().to_string()).collect::<Vec<_>>(),
        ["endpoints shop/web:80", "namespace shop"]
    );

    std::fs::write(&file, "a: [").unwrap();
    let (commit, problems) = standalone.reload(&[PathBuf::from(&file)]);
    assert_eq!((commit.changes.len(), problems.len()), (0, 1));

    std::fs::remove_file(&file).unwrap();
    let (commit, _) = standalone.reload(&[PathBuf::from(&file)]);

    assert!(!commit.changes.is_empty());
}
