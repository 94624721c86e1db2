//! The phases that run to their end at once: header_filter, body_filter, balancer, log.

use std::net::SocketAddr;

use lua_vm::{Arg, Phase, ScriptError};

use super::report;
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::lua::vms::{self, Prepared};
use crate::lua::{Exit, FilterArg, charge};
use crate::table::Step;
use routing::value::FailurePolicy;

/// A filter failed: the response breaks off.
#[derive(Debug)]
pub struct FilterFailed;

/// Runs one script on the VM's main state. Returns its first result, if that is a number.
fn call(ex: &mut Exchange, step: &Step, phase: Phase) -> std::result::Result<Option<i64>, ScriptError> {
    let Prepared { vm, session, chunk, config, meta, at } = vms::prepare(ex, step)?;
    let args = [Arg::Handle(&config), Arg::Handle(&meta)];
    // A filter may run inside another script's `say`: what that one does is put back afterwards.
    let outer = (ex.lua.phase.replace(phase), ex.lua.running.replace(step.used.clone()), ex.lua.exit.take());
    let outer_at = std::mem::replace(&mut ex.lua.at, at);
    let result = vm.timed(|| session.call(ex, phase, &chunk, &args));
    charge::settle(ex);
    let exit = ex.lua.exit.take();
    ex.lua.at = outer_at;
    (ex.lua.phase, ex.lua.running, ex.lua.exit) = outer;
    let returned = result?;
    Ok(match exit {
        Some(Exit::Code(code)) => Some(i64::from(code)),
        _ => returned,
    })
}

/// Runs before the head is queued. `ngx.exit(status)` replaces the response by an empty one with that status.
pub fn header_filter(ex: &mut Exchange) -> std::result::Result<(), FilterFailed> {
    let Some(route) = &ex.route else { return Ok(()) };
    if route.plan.header_filter.is_empty() {
        return Ok(());
    }
    let route = route.clone();
    for step in &route.plan.header_filter {
        match call(ex, step, Phase::HeaderFilter) {
            Ok(Some(-1)) => return Err(FilterFailed),
            Ok(Some(code @ 200..=999)) => {
                ex.resp.status = u16::try_from(code).unwrap_or(500);
                ex.resp.reason = None;
                ex.resp.headers.remove(b"content-length");
                ex.resp.headers.push(b"Content-Length", b"0");
                ex.resp.filter_ended = true;
            }
            Ok(_) => {}
            Err(error) => {
                report::failed(ex, step, Phase::HeaderFilter, &error);
                if step.used.failure_policy == FailurePolicy::Fail {
                    return Err(FilterFailed);
                }
            }
        }
    }
    Ok(())
}

/// Passes a piece of the body through the filters: what comes out, and whether a filter ended the body.
pub fn body_filter(ex: &mut Exchange, data: &[u8], last: bool) -> std::result::Result<(Vec<u8>, bool), FilterFailed> {
    let Some(route) = ex.route.clone() else { return Ok((data.to_vec(), last)) };
    let outer = std::mem::take(&mut ex.lua.arg);
    let mut outer_charge = std::mem::take(&mut ex.lua.arg_charge);
    ex.lua.arg = FilterArg { data: data.to_vec(), eof: last, changed: false };
    let mut failed = false;
    for step in &route.plan.body_filter {
        match call(ex, step, Phase::BodyFilter) {
            Ok(Some(code)) if code == -1 || code >= 300 => failed = true,
            Ok(_) => {}
            Err(error) => {
                report::failed(ex, step, Phase::BodyFilter, &error);
                failed |= step.used.failure_policy == FailurePolicy::Fail;
            }
        }
        if failed {
            break;
        }
    }
    let arg = std::mem::replace(&mut ex.lua.arg, outer);
    std::mem::swap(&mut ex.lua.arg_charge, &mut outer_charge);
    if arg.changed && !failed {
        // From here on it is the queue's, which was charged for what was queued before.
        let queued = ex.out.queued().saturating_add(arg.data.len());
        failed = !outer_charge.hand_over(&mut ex.lua.output, queued);
        if failed {
            report::out_of_memory(ex);
        }
    }
    if failed { Err(FilterFailed) } else { Ok((arg.data, arg.eof)) }
}

/// The peer that the route's balancer script chose; none: the usual balancing.
pub fn balancer(ex: &mut Exchange) -> Result<Option<SocketAddr>> {
    let Some(route) = ex.route.clone() else { return Ok(None) };
    let Some(step) = &route.plan.balancer else { return Ok(None) };
    ex.lua.peer = None;
    match call(ex, step, Phase::Balancer) {
        Ok(Some(code @ 400..=599)) => {
            Err(Error::new(Kind::Unavailable, format!("the balancer of {} exits with {code}", step.used.plugin)))
        }
        Ok(Some(-1)) => {
            Err(Error::new(Kind::Script, format!("the balancer of {} exits with ngx.ERROR", step.used.plugin)))
        }
        Ok(_) => Ok(ex.lua.peer.take()),
        Err(error) => {
            report::failed(ex, step, Phase::Balancer, &error);
            match step.used.failure_policy {
                FailurePolicy::Ignore => Ok(None),
                FailurePolicy::Fail => {
                    Err(Error::new(Kind::Script, format!("the balancer of {} failed", step.used.plugin)))
                }
            }
        }
    }
}

/// Runs once, at the exchange's end.
pub fn log(ex: &mut Exchange) {
    let Some(route) = &ex.route else { return };
    if route.plan.log.is_empty() {
        return;
    }
    let route = route.clone();
    for step in &route.plan.log {
        if let Err(error) = call(ex, step, Phase::Log) {
            report::failed(ex, step, Phase::Log, &error);
        }
    }
}
