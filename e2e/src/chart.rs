//! The Helm chart: what `helm template` makes of it, and what in it is written from elsewhere.

pub mod flows;
pub mod generated;
pub mod kinds;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::cluster::tools;
use crate::{process, tidy};

/// Where the chart is, relative to the root.
pub const CHART: &str = "charts/moongate";

/// The Helm CLI: `$HELM`, the one that `scripts/build-kube` builds once and keeps, or that of the path.
pub fn helm_binary() -> &'static PathBuf {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        if let Some(helm) = std::env::var_os("HELM") {
            return helm.into();
        }
        let built = tools::built().unwrap_or_else(|e| panic!("{e:?}"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = built.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join("helm"));
        places.find(|helm| helm.is_file()).expect("Helm is there: install it, or say where by $HELM")
    })
}

/// Runs Helm in the repository.
pub fn helm(arguments: &[&str]) -> Output {
    process::run(Command::new(helm_binary()).args(arguments).current_dir(tidy::root()))
}

/// The files with values that the chart is tested with, relative to the root.
pub fn values_files() -> Vec<String> {
    let folder = format!("{CHART}/ci/");
    let files: Vec<String> =
        tidy::files().expect("git lists the repository").into_iter().filter(|f| f.starts_with(&folder)).collect();
    assert!(files.len() > 5, "{folder} has the values that are tested");
    files
}

/// What the chart becomes as release `moongate` in namespace `moongate`, hooks included, or what Helm says against it.
pub fn render(arguments: &[&str]) -> Result<Vec<Value>, String> {
    let mut all = vec!["template", "moongate", CHART, "--namespace=moongate"];
    all.extend(arguments);
    let output = helm(&all);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).map_err(|e| e.to_string())?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|e| format!("{e}"))?;
    Ok(objects.into_iter().filter(|o| !o.is_null()).collect())
}

/// [`render`] with a file of values.
pub fn render_file(file: &str) -> Vec<Value> {
    render(&["--values", file]).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// `Kind name` or `Kind namespace/name`.
pub fn name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    match text("/metadata/namespace") {
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}

/// The one object of that [`name`].
pub fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let found: Vec<&Value> = objects.iter().filter(|o| name(o) == wanted).collect();
    assert_eq!(found.len(), 1, "{wanted} of {:?}", objects.iter().map(name).collect::<Vec<_>>());
    found[0]
}

/// The Pods in a render, each with the name of the object that makes it: the Pods' specs.
pub fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let pods = objects.iter().filter_map(|o| {
        let pointer = if o["kind"] == "Pod" { "/spec" } else { "/spec/template/spec" };
        o.pointer(pointer).filter(|spec| spec["containers"].is_array()).map(|spec| (name(o), spec))
    });
    pods.collect()
}

/// The containers of a Pod's spec that run Moongate.
pub fn own_containers(pod: &Value) -> Vec<&Value> {
    let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = |c: &&Value| c["image"].as_str().is_some_and(|image| image.contains("moongate-dev/moongate"));
    containers.iter().filter(ours).collect()
}

/// A container's arguments.
pub fn arguments(container: &Value) -> Vec<&str> {
    container["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether the tests may rewrite what is generated: `UPDATE_CHART=1`.
pub fn may_update() -> bool {
    std::env::var_os("UPDATE_CHART").is_some()
}
