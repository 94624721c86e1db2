//! What the API server checks of our kinds, for where there is none (standalone mode, `moongate check`, the webhook's
//! tests): the schema of the CustomResourceDefinition, and its CEL rules as code. A test evaluates both and compares.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::manifest::{definitions, tidy};
use super::selector::Operator;
use super::{
    ClusterLuaPluginBindingSpec, ClusterLuaPluginSpec, FieldProblem, LuaPluginBindingSpec, LuaPluginSpec,
    MoongateConfigSpec, NamespacesFrom, PluginSpec, SCRIPT_BYTES_MAX, SecretRef, Selector, TargetKind,
};
use crate::lua_syntax;
use crate::schema::Schema;

/// Everything that the API server would refuse in an object of one of our kinds. None of a kind of others.
pub fn object(object: &Value) -> Vec<FieldProblem> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let Some(schema) = schemas().get(kind) else { return Vec::new() };
    let Some(spec) = object.get("spec").filter(|spec| !spec.is_null()) else {
        return vec![FieldProblem::new("spec", "is required, and missing")];
    };
    match schema.apply_to_value(spec.clone()) {
        Ok(spec) => rules(kind, spec),
        Err(problems) => {
            let at = |path: &str| if path.is_empty() { "spec".to_owned() } else { format!("spec.{path}") };
            problems.into_iter().map(|problem| FieldProblem::new(at(&problem.path), problem.message)).collect()
        }
    }
}

/// What is wrong with a plugin's code: syntax of every script and inline module, their size, and the config schema.
/// Nothing is executed.
pub fn code(plugin: &PluginSpec) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let phases = plugin.phases.iter().map(|(_, field, source)| (format!("spec.phases.{field}"), source));
    let modules = plugin.modules.iter().map(|(name, source)| (format!("spec.modules[{name}]"), source.as_str()));
    for (path, source) in phases.chain(modules) {
        if let Err(problem) = lua_syntax::check(source) {
            problems.push(FieldProblem::new(path, problem.to_string()));
        }
    }
    problems.extend(size(plugin));
    if let Some(Err(wrong)) = plugin.config_schema.as_ref().map(|schema| Schema::parse(&schema.open_api_v3_schema)) {
        let at = |path: &str| match path {
            "" => "spec.configSchema.openAPIV3Schema".to_owned(),
            path => format!("spec.configSchema.openAPIV3Schema.{path}"),
        };
        problems.extend(wrong.into_iter().map(|problem| FieldProblem::new(at(&problem.path), problem.message)));
    }
    problems
}

/// The schema of each kind's `spec`.
fn schemas() -> &'static HashMap<String, Schema> {
    static SCHEMAS: OnceLock<HashMap<String, Schema>> = OnceLock::new();
    SCHEMAS.get_or_init(|| definitions().iter().map(|d| (d.spec.names.kind.clone(), spec_schema(d))).collect())
}

fn spec_schema<T: serde::Serialize>(definition: &T) -> Schema {
    let mut json = serde_json::to_value(definition).unwrap_or_default();
    tidy(&mut json);
    let place = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let mut spec = json.pointer_mut(place).map(Value::take).unwrap_or_default();
    without_rules(&mut spec);
    // The definitions are ours, and a test reads them all.
    Schema::parse(&spec).unwrap_or_else(|_| Schema::empty())
}

/// CEL rules are [`rules`] here; how fields are merged is the API server's alone.
fn without_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.shift_remove("x-kubernetes-validations");
            fields.shift_remove("x-kubernetes-map-type");
            fields.values_mut().for_each(without_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(without_rules),
        _ => {}
    }
}

/// The CEL rules of the definitions.
fn rules(kind: &str, spec: Value) -> Vec<FieldProblem> {
    let found = match kind {
        "LuaPlugin" => serde_json::from_value(spec).map(|spec: LuaPluginSpec| plugin(&spec.plugin, false)),
        "ClusterLuaPlugin" => serde_json::from_value(spec).map(|spec: ClusterLuaPluginSpec| cluster_plugin(&spec)),
        "LuaPluginBinding" => serde_json::from_value(spec).map(|spec: LuaPluginBindingSpec| binding(&spec)),
        "ClusterLuaPluginBinding" => {
            serde_json::from_value(spec).map(|spec: ClusterLuaPluginBindingSpec| cluster_binding(&spec))
        }
        _ => serde_json::from_value(spec).map(|spec: MoongateConfigSpec| config(&spec)),
    };
    found.unwrap_or_else(|wrong| vec![FieldProblem::new("spec", wrong.to_string())])
}

fn plugin(spec: &PluginSpec, is_cluster: bool) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    for (index, from) in spec.modules_from.iter().enumerate() {
        let message = match (is_cluster, from.config_map_ref.namespace.is_some()) {
            (true, false) => "is required: a ClusterLuaPlugin is in no namespace",
            (false, true) => "remove it: a LuaPlugin takes modules from ConfigMaps of its own namespace",
            _ => continue,
        };
        problems.push(FieldProblem::new(format!("spec.modulesFrom[{index}].configMapRef.namespace"), message));
    }
    let word = |name: &str, rest: fn(u8) -> bool, most: usize| {
        (1..=most).contains(&name.len()) && name.bytes().all(rest) && !name.starts_with(['.', '-'])
    };
    for name in spec.modules.keys() {
        if !word(name, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'), 128) {
            let message = "a module's name has letters, digits, dots, dashes and underscores, 128 at most";
            problems.push(FieldProblem::new(format!("spec.modules[{name}]"), message));
        }
    }
    let dicts = spec.shared_dicts.keys().map(|name| ("sharedDicts", name));
    for (field, name) in dicts.chain(spec.variables.keys().map(|name| ("variables", name))) {
        if !word(name, |b| b.is_ascii_alphanumeric() || b == b'_', 64) || name.as_bytes()[0].is_ascii_digit() {
            let message = "a name has letters, digits and underscores, 64 at most, and begins with no digit";
            problems.push(FieldProblem::new(format!("spec.{field}[{name}]"), message));
        }
    }
    problems.extend(size(spec));
    problems
}

fn size(spec: &PluginSpec) -> Option<FieldProblem> {
    let phases: usize = spec.phases.iter().map(|(_, _, source)| source.chars().count()).sum();
    let modules: usize = spec.modules.values().map(|source| source.chars().count()).sum();
    let message = "the scripts and modules together are 900 KiB at most: move code to modulesFrom";
    (phases + modules > SCRIPT_BYTES_MAX).then(|| FieldProblem::new("spec.phases", message))
}

fn cluster_plugin(spec: &ClusterLuaPluginSpec) -> Vec<FieldProblem> {
    let mut problems = plugin(&spec.plugin, true);
    let allowed = &spec.allowed_namespaces;
    if (allowed.from == NamespacesFrom::Selector) != allowed.selector.is_some() {
        let message = "`selector` is for `from: Selector`, and required there";
        problems.push(FieldProblem::new("spec.allowedNamespaces", message));
    }
    problems.extend(allowed.selector.iter().flat_map(|one| selector("spec.allowedNamespaces.selector", one)));
    problems
}

fn selector(path: &str, selector: &Selector) -> Vec<FieldProblem> {
    let wrong = selector.match_expressions.iter().enumerate().filter(|(_, requirement)| {
        matches!(requirement.operator, Operator::In | Operator::NotIn) == requirement.values.is_empty()
    });
    let message = "`values` is for the operators In and NotIn, and required there";
    wrong.map(|(index, _)| FieldProblem::new(format!("{path}.matchExpressions[{index}]"), message)).collect()
}

fn binding(spec: &LuaPluginBindingSpec) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    for (index, target) in spec.target_refs.iter().enumerate() {
        let is_ingress = target.kind == TargetKind::Ingress;
        problems.extend(group(index, target.group.as_deref(), is_ingress));
        if target.section_name.is_some() && !is_ingress {
            let path = format!("spec.targetRefs[{index}].sectionName");
            problems.push(FieldProblem::new(path, "remove it: only an Ingress has sections"));
        }
    }
    problems.extend(secrets(&spec.secret_refs, false));
    problems
}

fn cluster_binding(spec: &ClusterLuaPluginBindingSpec) -> Vec<FieldProblem> {
    let targets = spec.target_refs.iter().enumerate();
    let is_class = |kind| kind == super::ClusterTargetKind::IngressClass;
    let mut problems: Vec<_> =
        targets.filter_map(|(index, target)| group(index, target.group.as_deref(), is_class(target.kind))).collect();
    problems.extend(secrets(&spec.secret_refs, true));
    problems
}

/// The group that goes with a target's kind; it may be left out.
fn group(index: usize, group: Option<&str>, is_networking: bool) -> Option<FieldProblem> {
    let right = if is_networking { "networking.k8s.io" } else { "" };
    let message = format!("the group of this kind is {right:?}; it may be left out");
    group
        .is_some_and(|group| group != right)
        .then(|| FieldProblem::new(format!("spec.targetRefs[{index}].group"), message))
}

fn secrets(secrets: &[SecretRef], is_cluster: bool) -> Vec<FieldProblem> {
    let message = if is_cluster {
        "is required: a ClusterLuaPluginBinding is in no namespace"
    } else {
        "remove it: a LuaPluginBinding takes Secrets of its own namespace"
    };
    let wrong = secrets.iter().enumerate().filter(|(_, secret)| secret.namespace.is_some() != is_cluster);
    wrong.map(|(index, _)| FieldProblem::new(format!("spec.secretRefs[{index}].namespace"), message)).collect()
}

fn config(spec: &MoongateConfigSpec) -> Vec<FieldProblem> {
    let Some(lua) = &spec.lua else { return Vec::new() };
    let own = lua.namespace_selector.iter().flat_map(|one| selector("spec.lua.namespaceSelector", one));
    let entries = lua.namespaces.iter().enumerate();
    let theirs =
        entries.flat_map(|(index, entry)| selector(&format!("spec.lua.namespaces[{index}].selector"), &entry.selector));
    own.chain(theirs).collect()
}

#[cfg(test)]
mod tests;
