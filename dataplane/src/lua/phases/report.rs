//! A script's failure, said as OpenResty says it.

use lua_vm::{Phase, ScriptError};

use crate::exchange::Exchange;
use crate::lua::host;
use crate::table::Step;
use routing::key::PluginKey;

/// Logs and counts a failure.
pub(super) fn failed(ex: &Exchange, step: &Step, phase: Phase, error: &ScriptError) {
    let what = match phase {
        Phase::HeaderFilter | Phase::BodyFilter | Phase::Log | Phase::Balancer => {
            format!("failed to run {}_by_lua*: {error}", phase.name())
        }
        _ => format!("lua entry thread aborted: runtime error: {error}"),
    };
    tell(ex, &step.used.plugin, phase, error, &what);
    ex.worker.shared.failures.note_of(&step.used, phase.name(), error);
    if let Some(session) = ex.lua.sessions.iter().find(|s| s.vm.spec.scope == step.used.scope) {
        ex.worker.vms.note_failure(&ex.worker, &session.vm, &step.used.plugin, error, crate::clock::now());
    }
}

/// Logs and counts how a plugin's `init` or `initWorker` failed.
pub(crate) fn init_failed(ex: &Exchange, plugin: &PluginKey, phase: Phase, error: &ScriptError) {
    let what = format!("{} of {plugin} fails, so its scripts do not run: {error}", phase.name());
    tell(ex, plugin, phase, error, &what);
    ex.worker.shared.failures.note(plugin, phase.name(), error);
}

fn tell(ex: &Exchange, plugin: &PluginKey, phase: Phase, error: &ScriptError, what: &str) {
    host::failure(ex, plugin, what);
    ex.worker.shared.metrics.script_failed(plugin, phase.name(), error.kind.as_str());
}

/// Logs that what the body filters left does not fit.
pub(super) fn out_of_memory(ex: &Exchange) {
    host::error(ex, "failed to run body_filter_by_lua*: not enough memory");
}
