//! `plugin` and `script`: a plugin's code and rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::key::{PluginKey, PluginKind};
use routing::value::{Plugin as PluginValue, Value};
use routing::{Hash, Key, ObjectName};

use crate::crd::{self, FieldProblem, PluginSpec};
use crate::lua_syntax;
use crate::problem::Problem;
use crate::reader::{Input, Outcome, Reader};
use crate::schema::{Schema, SchemaProblem};
use crate::store::object::{Plugin, plugin_id};
use crate::translate::Options;

pub(super) fn derive(key: &PluginKey, options: &Options, reader: &Reader<'_>) -> Outcome {
    let Some(plugin) = reader.plugin(key) else { return Outcome::Absent };
    let (modules, problems) = check(plugin, reader);
    let is_bad = problems.iter().any(|p| p.severity == crate::Severity::Error);
    problems.into_iter().for_each(|problem| reader.report(problem));
    // Needed by an earlier version of the plugin, too.
    if key.kind == PluginKind::LuaPlugin {
        reader.name(Key::Namespace(key.name.namespace.clone()), Input::None);
    }
    if is_bad {
        return Outcome::Keep(None);
    }
    Outcome::Set(Value::Plugin(value(&plugin.spec, &modules, options, reader)))
}

type Modules = BTreeMap<String, Arc<str>>;

fn value(spec: &PluginSpec, modules: &Modules, options: &Options, reader: &Reader<'_>) -> PluginValue {
    let script = |source: Arc<str>| {
        let hash = Hash::of_bytes(source.as_bytes());
        reader.name(Key::Script(hash), Input::Script(source));
        hash
    };
    PluginValue {
        priority: spec.priority,
        phases: spec.phases.iter().map(|(phase, _, source)| (phase, script(source.into()))).collect(),
        modules: modules.iter().map(|(name, source)| (name.clone(), script(source.clone()))).collect(),
        shared_dicts: spec.shared_dicts.iter().map(|(name, size)| (name.clone(), size.as_bytes())).collect(),
        variables: spec.variables.clone(),
        cpu_per_resume_ms: cpu(spec, options, reader),
        failure_policy: spec.failure_policy.into(),
    }
}

/// The plugin's limit, no higher than the platform's cap.
fn cpu(spec: &PluginSpec, options: &Options, reader: &Reader<'_>) -> Option<u64> {
    let asked = spec.limits.as_ref()?.cpu?.as_ms();
    let max = match reader.config(&options.config) {
        Some(config) => config.spec.settings().0.lua.cpu_per_resume_max_ms,
        None => routing::value::Lua::default().cpu_per_resume_max_ms,
    };
    Some(asked.clamp(1, max))
}

/// What the plugin's configs may look like; without a schema they are empty. Understood once for all bindings.
pub(super) fn schema(plugin: &Plugin) -> &Result<Schema, Vec<SchemaProblem>> {
    plugin.schema.get_or_init(|| match &plugin.spec.config_schema {
        Some(schema) => Schema::parse(&schema.open_api_v3_schema),
        None => Ok(Schema::empty()),
    })
}

/// The plugin's modules, and everything that is wrong with it.
pub(super) fn check(plugin: &Plugin, reader: &Reader<'_>) -> (Modules, Vec<Problem>) {
    let object = plugin_id(&plugin.key).reference();
    let mut problems = Vec::new();
    let mut wrong = |field, reason, message| problems.push(Problem::error(object.clone(), field, reason, message));
    for FieldProblem { path, message } in plugin.code_faults.get_or_init(|| crd::check::code(&plugin.spec)) {
        let reason = match path.starts_with("spec.configSchema") {
            true => "InvalidSchema",
            false => "InvalidScript",
        };
        wrong(path.clone(), reason, message.clone());
    }
    let modules = modules(plugin, reader, &mut wrong);
    (modules, problems)
}

/// Inline modules, and those of ConfigMaps under them.
fn modules(plugin: &Plugin, reader: &Reader<'_>, wrong: &mut dyn FnMut(String, &'static str, String)) -> Modules {
    let mut modules = Modules::new();
    for (index, from) in plugin.spec.modules_from.iter().enumerate().rev() {
        let reference = &from.config_map_ref;
        let field = format!("spec.modulesFrom[{index}].configMapRef");
        let namespace = match (plugin.key.kind, &reference.namespace) {
            (PluginKind::LuaPlugin, _) => &plugin.key.name.namespace,
            (PluginKind::ClusterLuaPlugin, Some(namespace)) => namespace,
            (PluginKind::ClusterLuaPlugin, None) => {
                wrong(
                    field,
                    "Invalid",
                    "a ClusterLuaPlugin is in no namespace; say in `namespace` where the ConfigMap is".into(),
                );
                continue;
            }
        };
        let name = ObjectName::new(namespace, &reference.name);
        let Some(config_map) = reader.config_map(&name) else {
            wrong(field, "ConfigMapNotFound", format!("there is no ConfigMap {name}; create it"));
            continue;
        };
        // The first ConfigMap that has a module wins, so the later ones come first here.
        for (key, source) in &config_map.data {
            if let Err(fault) = lua_syntax::check(source) {
                let message = format!("key {key:?} of ConfigMap {name} is not Lua that compiles: {fault}");
                wrong(field.clone(), "InvalidScript", message);
            }
            modules.insert(key.strip_suffix(".lua").unwrap_or(key).to_owned(), source.clone());
        }
    }
    modules.extend(plugin.spec.modules.iter().map(|(name, source)| (name.clone(), source.as_str().into())));
    modules
}
