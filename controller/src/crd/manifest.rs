//! The CustomResourceDefinitions as YAML: `crds/*.yaml`, `moongate crds`, the Helm chart.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{ClusterLuaPlugin, ClusterLuaPluginBinding, LuaPlugin, LuaPluginBinding, MoongateConfig};

/// The definitions of all kinds of the group.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        LuaPlugin::crd(),
        ClusterLuaPlugin::crd(),
        LuaPluginBinding::crd(),
        ClusterLuaPluginBinding::crd(),
        MoongateConfig::crd(),
    ]
}

/// The definitions as YAML, each with its file's name.
pub fn yaml() -> Vec<(String, String)> {
    definitions()
        .iter()
        .map(|definition| {
            let name = format!("{}.yaml", definition.metadata.name.as_deref().unwrap_or_default());
            // Kubernetes' own types serialize to plain JSON, and JSON to YAML.
            let mut json = serde_json::to_value(definition).expect("a definition is serializable");
            tidy(&mut json);
            (name, serde_saphyr::to_string(&json).expect("JSON is serializable"))
        })
        .collect()
}

/// Removes what the API server would warn about, integer formats that OpenAPI does not know, and the line breaks of doc
/// comments within a paragraph.
pub(super) fn tidy(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                let paragraphs: Vec<String> = text.split("\n\n").map(|part| part.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_are_what_the_types_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
        for (name, text) in super::yaml() {
            let file = folder.join(&name);
            if std::env::var_os("UPDATE_CRDS").is_some() {
                std::fs::write(&file, &text).unwrap();
            }
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(written == text, "crds/{name} differs from the types: run the tests with UPDATE_CRDS=1");
        }
    }
}
