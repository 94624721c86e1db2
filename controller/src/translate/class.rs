//! Which Ingresses are ours. Semantics: KEP-1453 and the API's comments on `ingressClassName`.

use std::collections::BTreeSet;

use crate::reader::Reader;
use crate::store::object::{IngressClass, IngressHeader};
use crate::translate::Options;

/// Why an Ingress is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotServed {
    /// It names a class that does not exist.
    NoSuchClass(String),
    /// It names a class of another controller.
    OtherController,
    /// It names no class, and none is the default.
    NoClass,
    /// It is of a namespace whose objects are not ours.
    NamespaceNotSelected,
    /// It is the canary of another Ingress, which is not supported: served as an ordinary one it might take all of the
    /// other's requests.
    Canary,
}

/// The class under which an Ingress is served. The old annotation has priority over the field.
pub(super) fn of(header: &IngressHeader, options: &Options, reader: &Reader<'_>) -> Result<String, NotServed> {
    let class = named(header, options, reader)?;
    match header.annotations.is_canary {
        true => Err(NotServed::Canary),
        false => Ok(class),
    }
}

/// The class that makes an Ingress ours, whatever it asks for.
pub(super) fn named(header: &IngressHeader, options: &Options, reader: &Reader<'_>) -> Result<String, NotServed> {
    if !is_selected(&header.age.name.namespace, options, reader) {
        return Err(NotServed::NamespaceNotSelected);
    }
    let Some(name) = header.class_annotation.as_ref().or(header.class.as_ref()) else {
        return default(options, reader).ok_or(NotServed::NoClass);
    };
    let is_annotated = header.class_annotation.is_some();
    match reader.class(name) {
        Some(class) if is_ours(class, options) => Ok(name.clone()),
        _ if migrated(options, reader).contains(name) => Ok(name.clone()),
        Some(_) => Err(NotServed::OtherController),
        None if is_ours_by_name(name, is_annotated, options) => Ok(name.clone()),
        None => Err(NotServed::NoSuchClass(name.clone())),
    }
}

pub(super) fn is_ours(class: &IngressClass, options: &Options) -> bool {
    class.controller == options.controller
}

/// Whether a class for which there is no IngressClass is ours: by the annotation that is older than those.
pub(super) fn is_ours_by_name(name: &String, is_annotated: bool, options: &Options) -> bool {
    options.implicit_class.as_ref() == Some(name) || (is_annotated && options.annotation_class.as_ref() == Some(name))
}

/// The classes that are served although they are another controller's, so that both can run side by side.
pub(super) fn migrated<'a>(options: &Options, reader: &Reader<'a>) -> &'a [String] {
    let config = reader.config(&options.config);
    config.and_then(|config| config.spec.migration.as_ref()).map_or(&[], |migration| &migration.ingress_classes)
}

/// The names of all classes under which Ingresses are served.
pub(super) fn all(options: &Options, reader: &Reader<'_>) -> BTreeSet<String> {
    let ours = reader.classes().filter(|class| is_ours(class, options)).map(|class| class.name.clone());
    let by_name = options.implicit_class.iter().chain(&options.annotation_class).cloned();
    ours.chain(by_name).chain(migrated(options, reader).iter().cloned()).collect()
}

/// Whether the objects of a namespace are ours at all.
pub(super) fn is_selected(namespace: &str, options: &Options, reader: &Reader<'_>) -> bool {
    let Some(selector) = &options.namespace_selector else { return true };
    selector.matches(&super::namespace::labels(namespace, reader))
}

/// The class of Ingresses that name none: the one marked as default, else (where we serve such Ingresses at all) the
/// first of ours.
fn default(options: &Options, reader: &Reader<'_>) -> Option<String> {
    let ours: Vec<_> = reader.classes().filter(|class| is_ours(class, options)).collect();
    if let Some(class) = ours.iter().find(|class| class.is_default) {
        return Some(class.name.clone());
    }
    if !options.watch_without_class {
        return None;
    }
    Some(match (&options.implicit_class, ours.first()) {
        (_, Some(class)) => class.name.clone(),
        (Some(implicit), None) => implicit.clone(),
        (None, None) => String::new(),
    })
}
