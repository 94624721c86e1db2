//! Which crate may depend on which, from cargo's own resolution.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

/// A crate of ours.
pub struct Member {
    /// Names of the workspace's crates that its manifest names, for tests included.
    pub ours: BTreeSet<String>,
    /// The roots of its library and binaries.
    pub roots: Vec<String>,
    /// Its manifest, relative to the repository.
    pub manifest: String,
}

/// A crate as it is resolved.
pub struct Package {
    /// Its name.
    pub name: String,
    /// The SPDX expression that its manifest states.
    pub licence: String,
}

/// The crates of the workspace, by name.
pub fn members() -> anyhow::Result<BTreeMap<String, Member>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps", "--locked"])?)?;
    let root = format!("{}/", text(&metadata, "workspace_root")?);
    let packages = list(&metadata, "packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    packages.iter().map(|p| Ok((text(p, "name")?.to_owned(), member(p, &root, &ours)?))).collect()
}

/// What is built for `selection` (`--workspace`, or `-p` and a name) on Linux, along edges of these kinds.
///
/// `cargo tree`, because `cargo metadata` also lists what optional features that are off would bring.
pub fn tree(selection: &[&str], edges: &str) -> anyhow::Result<Vec<Package>> {
    let fixed =
        ["tree", "--locked", "--prefix=none", "--format={p}|{l}", "--target=x86_64-unknown-linux-gnu", "-e", edges];
    let output = cargo(&[&fixed, selection].concat())?;
    let mut lines: Vec<&str> = output.lines().filter(|l| !l.is_empty()).map(|l| l.trim_end_matches(" (*)")).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
        .into_iter()
        .map(|line| {
            let (package, licence) = line.split_once('|').with_context(|| format!("cargo tree: {line:?}"))?;
            let name = package.split(' ').next().unwrap_or(package).to_owned();
            Ok(Package { name, licence: licence.to_owned() })
        })
        .collect()
}

fn member(package: &Value, root: &str, ours: &BTreeSet<&str>) -> anyhow::Result<Member> {
    let named = list(package, "dependencies")?.iter().filter_map(|d| d["name"].as_str());
    let relative = |path: &str| path.strip_prefix(root).unwrap_or(path).to_owned();
    let is_root = |t: &&Value| t["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == "lib" || k == "bin"));
    let roots = list(package, "targets")?.iter().filter(is_root).filter_map(|t| t["src_path"].as_str());
    Ok(Member {
        ours: named.filter(|name| ours.contains(name)).map(str::to_owned).collect(),
        roots: roots.map(relative).collect(),
        manifest: relative(text(package, "manifest_path")?),
    })
}

fn cargo(arguments: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(super::root()).output()?;
    anyhow::ensure!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field].as_str().with_context(|| format!("cargo metadata has no {field}"))
}

fn list<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a Vec<Value>> {
    value[field].as_array().with_context(|| format!("cargo metadata has no {field}"))
}
