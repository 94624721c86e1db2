//! `namespace`: what a namespace's Lua may have.

use std::collections::{BTreeMap, BTreeSet};

use routing::value::{Namespace, Value};

use crate::crd::NamespaceRights;
use crate::reader::{Outcome, Reader};
use crate::translate::Options;

pub(super) fn derive(name: &str, options: &Options, reader: &Reader<'_>) -> Outcome {
    let rights = rights(name, options, reader);
    let own_addresses: BTreeSet<_> = reader.addresses(name).collect();
    let own_addresses = own_addresses.into_iter().collect();
    Outcome::Set(Value::Namespace(Namespace { limits: rights.limits, own_addresses, allowed: rights.allowed }))
}

/// What MoongateConfig gives a namespace. What is wrong with MoongateConfig is told where it is checked.
pub(super) fn rights(name: &str, options: &Options, reader: &Reader<'_>) -> NamespaceRights {
    let labels = labels(name, reader);
    match reader.config(&options.config) {
        Some(config) => config.spec.namespace(&labels).0,
        None => crate::crd::MoongateConfigSpec::default().namespace(&labels).0,
    }
}

/// A namespace's labels. Without an object (standalone mode needs none) it has the one that every Namespace has.
pub(super) fn labels(name: &str, reader: &Reader<'_>) -> BTreeMap<String, String> {
    match reader.namespace(name) {
        Some(namespace) => namespace.labels.clone(),
        None => BTreeMap::from([("kubernetes.io/metadata.name".into(), name.into())]),
    }
}
