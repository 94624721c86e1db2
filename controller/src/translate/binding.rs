//! `binding`: a plugin's use with its config, and the secrets that go into it.

use routing::key::{BindingKey, PluginKey};
use routing::value::{Binding as BindingValue, Value};
use routing::{ObjectName, PrivateBytes};
use serde_json::{Map, Value as Json};

use crate::problem::Problem;
use crate::reader::{Outcome, Reader};
use crate::store::object::{Binding, Plugin, SecretUse};
use crate::translate::Options;

/// What is wrong with a binding: field, reason, message.
type Wrong = (String, &'static str, String);

/// Whoever deletes a Secret, one of its keys or its label takes it away: a last good config would go on using it.
const TAKEN_AWAY: [&str; 3] = ["SecretNotFound", "SecretNotReadable", "SecretKeyNotFound"];

pub(super) fn derive(key: &BindingKey, _: &Options, reader: &Reader<'_>) -> Outcome {
    let value = match key {
        BindingKey::Default(plugin) => match reader.plugin(plugin) {
            Some(plugin) => default(plugin),
            None => return Outcome::Absent,
        },
        _ => match reader.binding(key) {
            Some(binding) => resolve(binding, reader),
            None => return Outcome::Absent,
        },
    };
    match value {
        Ok(value) => Outcome::Set(Value::Binding(value)),
        Err(wrong) => {
            // Who has an earlier config would use it wherever the binding may be for, not where it is for.
            let is_for_unknown = reader.binding(key).is_some_and(|binding| binding.is_for_unknown);
            let is_taken_away = wrong.iter().any(|(_, reason, _)| TAKEN_AWAY.contains(reason));
            // Those of a plugin's default config are told to the Ingresses that name it.
            if let Some(binding) = reader.binding(key) {
                report(binding, wrong, reader);
            }
            match is_taken_away || is_for_unknown {
                true => Outcome::Absent,
                false => Outcome::Keep(None),
            }
        }
    }
}

fn report(binding: &Binding, wrong: Vec<Wrong>, reader: &Reader<'_>) {
    for (field, reason, message) in wrong {
        reader.report(Problem::error(binding.id().reference(), field, reason, message));
    }
}

/// The use of a plugin without a config of its own.
pub(super) fn default(plugin: &Plugin) -> Result<BindingValue, Vec<Wrong>> {
    let config = config(plugin, &Map::new(), &[])?;
    Ok(BindingValue { plugin: plugin.key.clone(), config, secrets: Vec::new() })
}

/// A binding's value, or what is wrong with it.
pub(super) fn resolve(binding: &Binding, reader: &Reader<'_>) -> Result<BindingValue, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut secrets = Vec::new();
    for (index, secret) in binding.secrets.iter().enumerate() {
        match bytes(secret, reader) {
            Ok(bytes) => secrets.push((secret.path.clone(), bytes)),
            Err((reason, message)) => wrong.push((format!("spec.secretRefs[{index}]"), reason, message)),
        }
    }
    if binding.is_unreadable {
        let targets = binding.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let (what, closed) = match binding.is_for_unknown {
            false => ("", "what it is for"),
            true => (", nor what it is for", targets.as_str()),
        };
        let message = format!("cannot be read{what}, and has no earlier version: {closed} answers 503 until it can be");
        wrong.push((String::new(), "Malformed", message));
        return Err(wrong);
    }
    let Some(plugin) = reader.plugin(&binding.plugin) else {
        wrong.push(missing(&binding.plugin));
        return Err(wrong);
    };
    // Without a secret, a schema that requires it would tell the same a second time.
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let config = config(plugin, &binding.config, &secrets)?;
    Ok(BindingValue { plugin: binding.plugin.clone(), config, secrets })
}

fn missing(plugin: &PluginKey) -> Wrong {
    let message = format!("there is no {plugin}; create it or name another");
    ("spec.pluginRef".into(), "PluginNotFound", message)
}

fn bytes(secret: &SecretUse, reader: &Reader<'_>) -> Result<PrivateBytes, (&'static str, String)> {
    let name: &ObjectName = &secret.secret;
    let found =
        reader.secret(name).ok_or_else(|| ("SecretNotFound", format!("there is no Secret {name}; create it")))?;
    if !found.lua_readable {
        let message =
            format!("Secret {name} may not be read by Lua; its owner can label it moongate.dev/lua-readable: \"true\"");
        return Err(("SecretNotReadable", message));
    }
    let key = &secret.key;
    found.data.get(key).cloned().ok_or_else(|| ("SecretKeyNotFound", format!("Secret {name} has no key {key:?}")))
}

/// The config with the schema's defaults, without the secrets. The secrets count as there when it is checked.
fn config(
    plugin: &Plugin,
    config: &Map<String, Json>,
    secrets: &[(Vec<String>, PrivateBytes)],
) -> Result<Json, Vec<Wrong>> {
    let schema = super::plugin::schema(plugin).as_ref().map_err(|_| {
        let message = format!("the configSchema of {} is not valid, so no config can be checked", plugin.key);
        vec![("spec.pluginRef".into(), "PluginInvalid", message)]
    })?;
    // What is not UTF-8 is checked as text that is; Lua gets the bytes.
    let text = |bytes: &PrivateBytes| String::from_utf8_lossy(bytes.expose()).into_owned();
    let secrets: Vec<_> = secrets.iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect();
    schema.apply_with_secrets(config, &secrets).map_err(|problems| {
        let field = |path: &str| match (path.is_empty(), path.starts_with('[')) {
            (true, _) => "spec.config".to_owned(),
            (false, true) => format!("spec.config{path}"),
            (false, false) => format!("spec.config.{path}"),
        };
        problems.into_iter().map(|p| (field(&p.path), "InvalidConfig", p.message)).collect()
    })
}
