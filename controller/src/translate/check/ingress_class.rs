//! What is wrong with an IngressClass of ours, and with a MoongateConfig.

use super::super::class::is_ours;
use super::Told;
use crate::crd::{FieldProblem, LuaConfig};
use crate::translate::Options;

pub(super) fn check(told: &Told<'_, '_>, options: &Options) {
    let Some(class) = told.reader.class(&told.object.name.name).filter(|class| is_ours(class, options)) else { return };
    let field = "spec.parameters";
    match &class.parameters {
        None => {}
        Some(Ok(name)) if told.reader.config(name).is_some() => {}
        Some(Ok(name)) => {
            let message = format!("there is no MoongateConfig {name}; the class has the defaults until it is created");
            told.error(field, "ConfigNotFound", message);
        }
        Some(Err(other)) => {
            let message = format!("{other} is no MoongateConfig of scope Cluster in group moongate.dev; name one");
            told.error(field, "UnsupportedParameters", message);
        }
    }
}

pub(super) fn check_config(told: &Told<'_, '_>, options: &Options) {
    let name = &told.object.name.name;
    let Some(config) = told.reader.config(name) else { return };
    if *name == options.config {
        report(told, config.spec.settings().1);
        report(told, config.spec.namespace(&Default::default()).1);
        for field in config.spec.lua.iter().flat_map(LuaConfig::unused) {
            told.warning(field, "NotUsedYet", "has no effect yet: there is no ngx.socket in this version");
        }
        return;
    }
    let is_parameters = |class: &&std::sync::Arc<crate::store::object::IngressClass>| {
        is_ours(class, options) && class.parameters.as_ref().is_some_and(|p| p.as_ref() == Ok(name))
    };
    if told.reader.classes().any(|class| is_parameters(&class)) {
        report(told, config.spec.class_policy().1);
        return;
    }
    let message = format!(
        "has no effect: the release's MoongateConfig is {}, and no IngressClass of ours names this one in spec.parameters",
        options.config
    );
    told.warning("", "NotUsed", message);
}

fn report(told: &Told<'_, '_>, problems: Vec<FieldProblem>) {
    for FieldProblem { path, message } in problems {
        told.error(path, "Invalid", message);
    }
}
