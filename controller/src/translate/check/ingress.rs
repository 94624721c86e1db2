//! What is wrong with an Ingress apart from its routes, which tell their own problems.

use routing::key::{BindingKey, ChainKey, PluginKey};
use routing::value::FailurePolicy;

use super::super::{binding, chain, class, policy};
use super::{Told, conflict};
use crate::problem::Severity;
use crate::store::object::IngressHeader;
use crate::translate::Options;

pub(super) fn check(told: &Told<'_, '_>, options: &Options) {
    let Some(header) = told.reader.ingress(&told.object.name) else { return };
    match class::of(header, options, told.reader) {
        Ok(_) => {}
        // In a cluster it may be another controller's, whose IngressClass was removed or never needed.
        Err(class::NotServed::NoSuchClass(name)) if options.implicit_class.is_some() => {
            let message = format!(
                "there is no IngressClass {name}, so the Ingress is not served; add one or leave the class out"
            );
            told.warning("spec.ingressClassName", "ClassNotFound", message);
            return;
        }
        Err(class::NotServed::Canary) => {
            let message = "the Ingress is a canary, which is not supported, so none of its rules is served";
            told.error("metadata.annotations", "CanaryNotSupported", message);
            return;
        }
        Err(_) => return,
    }
    for rule in &header.rules_without_backend {
        let message = "has neither `http` nor a `spec.defaultBackend`, so the host answers 404; add one of them";
        told.warning(format!("spec.rules[{rule}]"), "NoBackend", message);
    }
    for problem in &header.annotation_problems {
        let field = format!("metadata.annotations[\"{}\"]", problem.key);
        let reason = match (problem.restricting, problem.severity) {
            (true, _) => "RoutesClosed",
            (false, Severity::Error) => "InvalidAnnotation",
            (false, Severity::Warning) => "UnsupportedAnnotation",
        };
        match problem.severity {
            Severity::Error => told.error(field, reason, problem.message.clone()),
            Severity::Warning => told.warning(field, reason, problem.message.clone()),
        }
    }
    for plugin in policy::plugins(header) {
        check_plugin(told, header, &plugin, options);
    }
}

/// A plugin that the annotation names.
fn check_plugin(told: &Told<'_, '_>, header: &IngressHeader, key: &PluginKey, options: &Options) {
    let field = format!("metadata.annotations[\"{}\"]", policy::PLUGINS);
    let Some(plugin) = told.reader.plugin(key) else {
        let message = format!("there is no {key}, so the routes answer 503; create it or take it out");
        told.error(field, "PluginNotFound", message);
        return;
    };
    let cost = match FailurePolicy::from(plugin.spec.failure_policy) {
        FailurePolicy::Fail => "the routes answer 503",
        FailurePolicy::Ignore => "the routes go on without it",
    };
    if let Err(why) = chain::may_use(plugin, Some(&header.age.name.namespace), options, told.reader) {
        told.error(field, "PluginNotAllowed", format!("{why}; until then {cost}"));
        return;
    }
    for (at, _, message) in binding::default(plugin).err().into_iter().flatten() {
        let at = at.strip_prefix("spec.").unwrap_or(&at);
        let message = format!(
            "{key} needs a config, {at}: {message}; attach it by a LuaPluginBinding with one. Until then {cost}"
        );
        told.error(field.clone(), "ConfigRequired", message);
    }
    let chain = ChainKey::Ingress(header.age.name.clone());
    conflict::check(&chain, key, &BindingKey::Default(key.clone()), options, told.reader);
}
