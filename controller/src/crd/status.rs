//! What the controller says about an object, in its `status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Of a LuaPlugin or ClusterLuaPlugin.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// `Accepted` (the object is valid), `ResolvedRefs` (all that it names is there), `Programmed` (every data plane
    /// runs this code).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many data planes run this code, of how many: `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub data_planes: Option<String>,
    /// The hash of the code that takes effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub code_hash: Option<String>,
    /// The newest error that the code made in a request, with the time and the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub last_error: Option<String>,
}

/// Of a LuaPluginBinding or ClusterLuaPluginBinding.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingStatus {
    /// `Accepted` (the plugin may be used and the config fits its schema), `ResolvedRefs` (plugin, targets and Secrets
    /// are there), `Conflicted` (another plugin runs in its place), `Programmed` (every data plane has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// What holds for single targets, such as one that is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub targets: Vec<TargetStatus>,
}

/// Of one target of a binding.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target's kind.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// The target's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The part of an Ingress that the binding names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub section_name: Option<String>,
    /// `Accepted`; when it is false the reason is `TargetNotFound` or `Conflicted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Of a MoongateConfig.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// `Accepted` (all of it is understood), `Programmed` (every data plane has it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Kubernetes' own Condition, with its bounds; one of each type.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"description": "What is said to hold.", "type": "string", "maxLength": 316},
                "status": {"description": "Whether it does.", "type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {
                    "description": "Why, as one word for programs.",
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
                },
                "message": {"description": "Why, for people.", "type": "string", "maxLength": 32768},
                "lastTransitionTime": {
                    "description": "When the status last changed.", "type": "string", "format": "date-time"
                },
                "observedGeneration": {
                    "description": "The metadata.generation that this was said about.",
                    "type": "integer", "format": "int64", "minimum": 0
                }
            }
        }
    })
}
