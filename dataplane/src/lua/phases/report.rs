//! A script's failure, said as OpenResty says it.

use lua_vm::{Phase, ScriptError};

use crate::exchange::Exchange;
use crate::table::Step;

/// Logs and counts a failure.
pub(super) fn failed(ex: &Exchange, step: &Step, phase: Phase, error: &ScriptError) {
    let what = match phase {
        Phase::HeaderFilter | Phase::BodyFilter | Phase::Log | Phase::Balancer => {
            format!("failed to run {}_by_lua*: {error}", phase.name())
        }
        _ => format!("lua entry thread aborted: runtime error: {error}"),
    };
    tracing::error!(
        target: "lua",
        plugin = %step.used.plugin,
        client = %ex.req.client.ip(),
        request = %request_line(ex),
        host = %ex.req.host,
        "[lua] {what}"
    );
    ex.worker.shared.metrics.script_failed(&step.used.plugin, phase.name(), error.kind.as_str());
    ex.worker.shared.failures.note(&step.used.plugin, phase.name(), error);
}

/// As nginx writes it in its error log.
pub(super) fn request_line(ex: &Exchange) -> String {
    let head = &ex.req.head;
    format!("{} {} {}", head.method.as_str(), String::from_utf8_lossy(&head.target), ex.req.protocol())
}
