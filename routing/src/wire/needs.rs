//! What a value needs of a data plane, and what stands in for it where that is missing: never silently less.

use crate::key::{BindingKey, PluginKey, PluginKind};
use crate::value::{Action, Chain, Route, RoutePolicyOverrides, Use};
use crate::{Key, ObjectName, Value};

/// What this build's data plane can do beyond the protocol's first version. Names are never used again for something
/// else.
pub const FEATURES: &[&str] = &[KEEP];

/// It keeps what it has of a key when it is told to ([`ToPlane::Keep`](super::ToPlane::Keep)), with everything that this
/// names. Who does not must lose the key: a route that stayed without its chains would be open.
pub const KEEP: &str = "keep";

/// The features that a value needs: whatever would change a request's outcome if a data plane ignored it. A field or a
/// variant that comes after the first version gets a feature here, unless ignoring it is harmless.
pub fn needs(_key: &Key, _value: &Value) -> Vec<String> {
    // Everything so far is of the first version.
    Vec::new()
}

/// What a data plane gets or uses in place of a value that it cannot have. Routes answer 503, and a chain closes the
/// routes that name it; without any other key its readers answer 503 by themselves.
pub fn closed(key: &Key, value: Option<&Value>, reason: &str) -> Option<Value> {
    match key {
        Key::Route(_) => {
            let (ingress, service) = match value {
                Some(Value::Route(route)) => (route.ingress.clone(), route.service.clone()),
                _ => (ObjectName::cluster(""), String::new()),
            };
            let action = Action::Refuse { status: 503, reason: reason.to_owned() };
            let policy = RoutePolicyOverrides::default();
            Some(Value::Route(Route { ingress, service, action, chains: Vec::new(), policy }))
        }
        Key::Chain(_) => {
            // No plugin has this name, so none can say that it may be ignored.
            let plugin = PluginKey { kind: PluginKind::ClusterLuaPlugin, name: ObjectName::cluster("") };
            let binding = BindingKey::Default(plugin.clone());
            let used = Use { plugin, binding, broken: Some(reason.to_owned()) };
            Some(Value::Chain(Chain { uses: vec![used], if_held: Vec::new() }))
        }
        _ => None,
    }
}
