//! A script's failure, said as OpenResty says it.

use lua_vm::{Phase, ScriptError};

use crate::exchange::Exchange;
use crate::lua::host;
use crate::table::Step;

/// Logs and counts a failure.
pub(super) fn failed(ex: &Exchange, step: &Step, phase: Phase, error: &ScriptError) {
    let what = match phase {
        Phase::HeaderFilter | Phase::BodyFilter | Phase::Log | Phase::Balancer => {
            format!("failed to run {}_by_lua*: {error}", phase.name())
        }
        _ => format!("lua entry thread aborted: runtime error: {error}"),
    };
    host::failure(ex, &step.used.plugin, &what);
    ex.worker.shared.metrics.script_failed(&step.used.plugin, phase.name(), error.kind.as_str());
    ex.worker.shared.failures.note(&step.used.plugin, phase.name(), error);
}
