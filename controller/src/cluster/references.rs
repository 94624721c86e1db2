//! Which Secrets and ConfigMaps an object names: the others are not read.

use routing::ObjectName;
use routing::key::PluginKind;

use crate::store::{Kind, Object, ObjectId};

/// An object that is read because another one names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// A Secret or a ConfigMap.
    pub id: ObjectId,
    /// Its data are needed. Otherwise they are needed only where its labels let Lua read them, and what may be said of
    /// it without is enough: that it is there.
    pub data: bool,
}

/// The Secrets and ConfigMaps that translation may read because of an object. A test compares this with what it reads.
pub fn references(object: &Object) -> Vec<Reference> {
    let secret = |name: ObjectName, data| Reference { id: ObjectId::new(Kind::Secret, name), data };
    match object {
        Object::Ingress(ingress) => {
            let namespace = &ingress.header.age.name.namespace;
            let names = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref());
            names.map(|name| secret(ObjectName::new(namespace, name), true)).collect()
        }
        Object::Binding(binding) => binding.secrets.iter().map(|used| secret(used.secret.clone(), false)).collect(),
        Object::Config(config) => {
            let certificate = config.spec.tls.as_ref().and_then(|tls| tls.default_certificate.as_ref());
            certificate.map(|named| secret(ObjectName::new(&named.namespace, &named.name), true)).into_iter().collect()
        }
        Object::Plugin(plugin) => {
            let named = plugin.spec.modules_from.iter().filter_map(|from| {
                let reference = &from.config_map_ref;
                let namespace = match plugin.key.kind {
                    PluginKind::LuaPlugin => &plugin.key.name.namespace,
                    PluginKind::ClusterLuaPlugin => reference.namespace.as_ref()?,
                };
                Some(ObjectName::new(namespace, &reference.name))
            });
            named.map(|name| Reference { id: ObjectId::new(Kind::ConfigMap, name), data: true }).collect()
        }
        Object::IngressClass(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::Namespace(_)
        | Object::Secret(_)
        | Object::ConfigMap(_) => Vec::new(),
    }
}
