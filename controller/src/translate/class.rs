//! Which Ingresses are ours. Semantics: KEP-1453 and the API's comments on `ingressClassName`.

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
    /// It is the canary of another Ingress, which is not supported: served as an ordinary one it might take all of the
    /// other's requests.
    Canary,
}

/// The class under which an Ingress is served. The old annotation has priority over the field.
pub(super) fn of(header: &IngressHeader, options: &Options, reader: &Reader<'_>) -> Result<String, NotServed> {
    if header.annotations.is_canary {
        return Err(NotServed::Canary);
    }
    let Some(name) = header.class_annotation.as_ref().or(header.class.as_ref()) else {
        return default(options, reader).ok_or(NotServed::NoClass);
    };
    match reader.class(name) {
        Some(class) if is_ours(class, options) => Ok(name.clone()),
        Some(_) => Err(NotServed::OtherController),
        None if options.implicit_class.as_ref() == Some(name) => Ok(name.clone()),
        None => Err(NotServed::NoSuchClass(name.clone())),
    }
}

pub(super) fn is_ours(class: &IngressClass, options: &Options) -> bool {
    class.controller == options.controller
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
