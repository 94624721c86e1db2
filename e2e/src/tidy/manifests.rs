//! What holds for the `Cargo.toml` files.

use std::collections::BTreeMap;

/// The sections of a manifest that name dependencies.
fn is_dependencies(section: &str) -> bool {
    section.ends_with("dependencies")
}

/// `section -> lines of it`, comments and empty lines left out. Our manifests keep an entry to a line.
pub fn sections(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(name) => section = name.to_owned(),
            None => found.entry(section.clone()).or_default().push(line.to_owned()),
        }
    }
    found
}

/// Names of the dependencies that a manifest names, with the rest of their line.
pub fn dependencies(text: &str) -> BTreeMap<String, String> {
    let all = sections(text).into_iter().filter(|(section, _)| is_dependencies(section)).flat_map(|(_, lines)| lines);
    all.filter_map(|line| {
        let end = line.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')?;
        Some((line[..end].to_owned(), line[end..].to_owned()))
    })
    .collect()
}

/// Dependencies that a crate's manifest states itself instead of taking the workspace's.
pub fn own_versions(text: &str) -> Vec<String> {
    let is_workspace = |rest: &str| rest.starts_with(".workspace = true") || rest.contains("workspace = true");
    dependencies(text).into_iter().filter(|(_, rest)| !is_workspace(rest)).map(|(name, _)| name).collect()
}

/// Whether code names a crate: as usual with `_` for `-`, or without it (md-5's library is `md5`).
pub fn is_named(name: &str, code: &str) -> bool {
    code.contains(&name.replace('-', "_")) || code.contains(&format!("{}::", name.replace('-', "")))
}

#[cfg(test)]
mod tests {
    use super::{dependencies, own_versions};

    #[test]
    fn a_version_of_a_crate_s_own_is_seen() {
        let text = "\
[package]
name = \"x\"
version = \"1\"

[dependencies]
a.workspace = true
b = { workspace = true, features = [\"c\"] }
# c = \"1\"
d = \"1\"

[target.'cfg(unix)'.dev-dependencies]
e = { version = \"2\" }
";
        assert_eq!(dependencies(text).into_keys().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
        assert_eq!(own_versions(text), ["d", "e"]);
    }
}
