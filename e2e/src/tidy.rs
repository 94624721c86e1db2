//! The rules of the house, as functions that return what breaks them. `tests/tidy.rs` holds each of them.
//!
//! They read text: the code is formatted by rustfmt and the manifests are ours, so a parser of either would add
//! nothing but time.

pub mod graph;
pub mod licences;
pub mod manifests;
pub mod sizes;
pub mod text;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn root() -> PathBuf {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
    e2e.parent().expect("the crate lies in the repository").to_path_buf()
}

/// Files that git has or would take, relative to the root, sorted.
pub fn files() -> anyhow::Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    anyhow::ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let mut files: Vec<String> = String::from_utf8(listed.stdout)?.lines().map(str::to_owned).collect();
    // A file that was just removed is still in the index.
    files.retain(|f| root().join(f).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// The text of a file of the repository.
pub fn read(file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(file)).map_err(|e| anyhow::anyhow!("{file}: {e}"))
}
