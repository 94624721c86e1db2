//! Checks of objects for problems that no key of the table would tell, because nothing uses the object, or because
//! they are of the object as a whole.

mod binding;
mod conflict;
mod ingress;
mod ingress_class;
mod plugin;

use super::class;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::store::{Kind, ObjectId};
use crate::translate::Options;

/// Reports what is wrong with an object.
pub(super) fn check(object: &ObjectId, options: &Options, reader: &Reader<'_>) {
    // Another release's, whose problems are not ours to tell.
    if !object.kind.is_cluster_scoped() && !class::is_selected(&object.name.namespace, options, reader) {
        return;
    }
    let told = Told { object, reader };
    match object.kind {
        Kind::Ingress => ingress::check(&told, options),
        Kind::IngressClass => ingress_class::check(&told, options),
        Kind::MoongateConfig => ingress_class::check_config(&told, options),
        Kind::LuaPlugin | Kind::ClusterLuaPlugin => plugin::check(&told, options),
        Kind::LuaPluginBinding | Kind::ClusterLuaPluginBinding => binding::check(&told, options),
        Kind::Service | Kind::EndpointSlice | Kind::Namespace | Kind::Secret | Kind::ConfigMap => {}
    }
}

/// An object under check.
struct Told<'a, 'r> {
    object: &'a ObjectId,
    reader: &'a Reader<'r>,
}

impl Told<'_, '_> {
    fn error(&self, field: impl Into<String>, reason: &'static str, message: impl Into<String>) {
        self.reader.report(Problem::error(self.object.reference(), field, reason, message));
    }

    fn warning(&self, field: impl Into<String>, reason: &'static str, message: impl Into<String>) {
        self.reader.report(Problem::warning(self.object.reference(), field, reason, message));
    }
}
