//! Whether an object is one that the API server knows: every field of it has to be a field of its type.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch,
    core::v1 as core, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is wrong with an object, or none where its kind is not Kubernetes' own.
pub fn problems(object: &Value) -> Option<Vec<String>> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let check: fn(&Value) -> Vec<String> = match (object["apiVersion"].as_str().unwrap_or_default(), kind) {
        ("v1", "ConfigMap") => read::<core::ConfigMap>,
        ("v1", "Pod") => read::<core::Pod>,
        ("v1", "Service") => read::<core::Service>,
        ("v1", "ServiceAccount") => read::<core::ServiceAccount>,
        ("apps/v1", "DaemonSet") => read::<apps::DaemonSet>,
        ("apps/v1", "Deployment") => read::<apps::Deployment>,
        ("batch/v1", "Job") => read::<batch::Job>,
        ("autoscaling/v2", "HorizontalPodAutoscaler") => read::<autoscaling::HorizontalPodAutoscaler>,
        ("policy/v1", "PodDisruptionBudget") => read::<policy::PodDisruptionBudget>,
        ("networking.k8s.io/v1", "Ingress") => read::<networking::Ingress>,
        ("networking.k8s.io/v1", "IngressClass") => read::<networking::IngressClass>,
        ("networking.k8s.io/v1", "NetworkPolicy") => read::<networking::NetworkPolicy>,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => read::<rbac::ClusterRole>,
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => read::<rbac::ClusterRoleBinding>,
        ("rbac.authorization.k8s.io/v1", "Role") => read::<rbac::Role>,
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => read::<rbac::RoleBinding>,
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
            read::<admission::ValidatingWebhookConfiguration>
        }
        _ => return None,
    };
    Some(check(object))
}

fn read<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    let typed: T = match serde_json::from_value(object.clone()) {
        Ok(typed) => typed,
        Err(e) => return vec![e.to_string()],
    };
    let known = serde_json::to_value(&typed).expect("what was read can be written");
    let mut lost = Vec::new();
    compare(object, &known, "", &mut lost);
    lost
}

/// The types leave out what they do not know: what was given and is not there any more is an unknown field.
fn compare(given: &Value, known: &Value, path: &str, lost: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given {
                match known.get(key) {
                    Some(known) => compare(value, known, &format!("{path}.{key}"), lost),
                    None => lost.push(format!("{path}.{key} is unknown or null")),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) if given.len() == known.len() => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                compare(given, known, &format!("{path}[{index}]"), lost);
            }
        }
        _ if given == known => {}
        _ => lost.push(format!("{path} is {given}, read as {known}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::problems;

    #[test]
    fn unknown_fields_and_wrong_types_are_seen() {
        let check = |object: Value, expected: &[&str]| {
            let found = problems(&object).unwrap();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found:?}");
            }
        };
        let service =
            |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec});
        check(service(json!({"ports": [{"port": 80, "targetPort": "http"}]})), &[]);
        check(
            service(json!({"ports": [{"port": 80, "target": 1}], "typ": "x"})),
            &[".spec.ports[0].target", ".spec.typ"],
        );
        check(service(json!({"ports": [{"port": "80"}]})), &["invalid type"]);
        check(service(json!({"selector": null})), &[".spec.selector"]);
        assert_eq!(problems(&json!({"apiVersion": "a/v1", "kind": "B"})), None);
    }
}
