//! Runs the scripts of a phase, in order, with OpenResty's semantics for `ngx.exit` and errors.
//!
//! server_rewrite, rewrite, access and content run in coroutines that may wait; the others run to their end at once.

use lua_vm::{Arg, Phase, ScriptError, Step as VmStep, Value};

use super::vms::{self, Prepared};
use super::{Exit, Op, charge};
use crate::downstream::Client;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Exchange, Out};
use crate::respond;
use crate::table::{Plan, Step};
use routing::value::FailurePolicy;

mod filters;
mod report;

pub use filters::{balancer, body_filter, header_filter, log};
pub(super) use report::init_failed as report_init;

/// How a request goes on after a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next phase.
    Next,
    /// It has its response, or lost its client.
    Answered,
    /// `ngx.req.set_uri(uri, true)`: the route is chosen anew.
    Jump,
}

/// Why a script did not run to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The script's fault.
    Script(ScriptError),
    /// What it waited for ended the request.
    Request(Error),
}

/// Before the route is chosen.
pub async fn server_rewrite(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Flow> {
    let all = ex.worker.snapshot(|s| (!s.server_rewrite.steps.is_empty()).then(|| s.server_rewrite.clone()));
    let Some(all) = all else { return Ok(Flow::Next) };
    declare(ex, &all.variables);
    run_all(ex, client, &all.steps, Phase::ServerRewrite).await
}

/// Gives variables their initial values; one that an earlier phase declared keeps its own.
pub fn declare(ex: &mut Exchange, variables: &[(String, Vec<u8>)]) {
    for (name, value) in variables {
        ex.lua.used = true;
        if !ex.lua.vars.iter().any(|(n, _)| n == name) {
            ex.lua.vars.push((name.clone(), Some(value.clone())));
        }
    }
}

/// After the route is chosen.
pub async fn rewrite(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Flow> {
    run_phase(ex, client, Phase::Rewrite, |p| &p.rewrite).await
}

/// May refuse the request.
pub async fn access(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Flow> {
    run_phase(ex, client, Phase::Access, |p| &p.access).await
}

/// Answers instead of an upstream.
pub async fn content(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Flow> {
    let Some(route) = ex.route.clone() else { return Ok(Flow::Next) };
    match &route.plan.content {
        Some(step) => run_all(ex, client, std::slice::from_ref(step), Phase::Content).await,
        None => Ok(Flow::Next),
    }
}

async fn run_phase(
    ex: &mut Exchange,
    client: &mut Client<'_>,
    phase: Phase,
    of: impl Fn(&Plan) -> &Vec<Step>,
) -> Result<Flow> {
    let Some(route) = &ex.route else { return Ok(Flow::Next) };
    if of(&route.plan).is_empty() {
        return Ok(Flow::Next);
    }
    let route = route.clone();
    run_all(ex, client, of(&route.plan), phase).await
}

async fn run_all(ex: &mut Exchange, client: &mut Client<'_>, steps: &[Step], phase: Phase) -> Result<Flow> {
    for step in steps {
        match run(ex, client, step, phase).await {
            Ok(()) => {}
            Err(Failure::Request(error)) => return Err(error),
            Err(Failure::Script(error)) => {
                report::failed(ex, step, phase, &error);
                ex.lua.exit = None;
                // Never ignored once bytes went out: the client would get two halves of two responses.
                if step.used.failure_policy == FailurePolicy::Ignore && !ex.resp.head_sent {
                    ex.lua.buffered = None;
                    continue;
                }
                return Err(Error::new(
                    Kind::Script,
                    format!("{} of {}: {}", phase.name(), step.used.plugin, error.message),
                ));
            }
        }
        match after(ex, phase) {
            Flow::Next => {}
            end => return Ok(end),
        }
    }
    Ok(Flow::Next)
}

/// What a script's end means for its request.
fn after(ex: &mut Exchange, phase: Phase) -> Flow {
    let exit = ex.lua.exit.take();
    match exit {
        // Output in rewrite or access is an answer; in content it always is.
        None | Some(Exit::Code(0 | -5) | Exit::Jump) if ex.resp.head_sent || ex.lua.buffered.is_some() => {
            Flow::Answered
        }
        Some(Exit::Jump) => Flow::Jump,
        None | Some(Exit::Code(0 | -5)) => {
            if phase == Phase::Content {
                Flow::Answered
            } else {
                Flow::Next
            }
        }
        Some(Exit::Redirect(location, status)) => {
            respond::redirect(ex, status, &location);
            Flow::Answered
        }
        Some(Exit::Code(code)) => {
            exit_with(ex, code);
            Flow::Answered
        }
    }
}

/// `ngx.exit` with something that ends the request.
fn exit_with(ex: &mut Exchange, code: i32) {
    let Some(code) = u16::try_from(code).ok().filter(|c| (200..=999).contains(c) && *c != 444) else {
        // ngx.ERROR, and nginx's 444: the connection closes without a response.
        ex.lua.abort = true;
        return;
    };
    if ex.resp.head_sent {
        return;
    }
    if code < 300 && code != 204 {
        // `ngx.status = 410 ... ngx.exit(200)`: the status set before wins.
        if ex.resp.status == 0 {
            ex.resp.status = code;
        }
        return;
    }
    respond::short(ex, code);
}

/// Runs one script in a coroutine to its end.
async fn run(
    ex: &mut Exchange,
    client: &mut Client<'_>,
    step: &Step,
    phase: Phase,
) -> std::result::Result<(), Failure> {
    vms::turn(ex, &step.used.scope).await.map_err(Failure::Request)?;
    let Prepared { vm, session, chunk, config, meta, at } = vms::prepare(ex, step).map_err(Failure::Script)?;
    let args = [Arg::Handle(&config), Arg::Handle(&meta)];
    let mut thread = session.thread(&chunk, &args).map_err(Failure::Script)?;
    let mut values = Vec::new();
    let outer = (ex.lua.phase.replace(phase), ex.lua.running.replace(step.used.clone()));
    let outer_at = std::mem::replace(&mut ex.lua.at, at);
    let result = loop {
        let step = vm.timed(|| session.resume(&mut thread, ex, phase, &values));
        charge::settle(ex);
        match step {
            VmStep::Done => break Ok(()),
            VmStep::Error(error) => break Err(Failure::Script(error)),
            VmStep::Yield if ex.lua.exit.is_some() => break Ok(()),
            VmStep::Yield => match perform(ex, client).await {
                Ok(results) => values = results,
                Err(error) => break Err(Failure::Request(error)),
            },
        }
        if let Err(error) = vm.bucket.turn(ex).await {
            break Err(Failure::Request(error));
        }
    };
    (ex.lua.phase, ex.lua.running) = outer;
    ex.lua.at = outer_at;
    result
}

/// Awaits what the script waits for.
async fn perform(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Vec<Value>> {
    match ex.lua.op.take() {
        // `coroutine.yield` at the top: others may run.
        None => {
            tokio::task::yield_now().await;
            Ok(Vec::new())
        }
        Some(Op::Sleep(duration)) => {
            // What was said so far is not held back by a sleep.
            flush_while(ex, client, tokio::time::sleep(duration)).await?;
            ex.lua.output.shrink(charge::queued(ex));
            Ok(Vec::new())
        }
        Some(Op::ReadBody) => {
            crate::proxy::body::hold(ex, client).await?;
            ex.lua.body.shrink(charge::in_memory(ex.req.body.held.as_ref()));
            Ok(Vec::new())
        }
        Some(Op::Flush) => {
            client.flush(ex).await?;
            ex.lua.output.shrink(charge::queued(ex));
            Ok(vec![Value::Int(1)])
        }
    }
}

/// Waits, and meanwhile writes what is queued. A client that goes away ends the request only where
/// `checkClientAbort` says so: a handler that is dropped would leak its locks.
async fn flush_while(ex: &mut Exchange, client: &mut Client<'_>, wait: impl Future<Output = ()>) -> Result<()> {
    let check = ex.worker.snapshot(|s| s.settings.lua.check_client_abort);
    tokio::pin!(wait);
    std::future::poll_fn(|cx| {
        let queued = matches!(&ex.out, Out::H1(out) if out.bytes.len() > out.written) || ex.out.queued() > 0;
        if queued
            && let std::task::Poll::Ready(Err(error)) = client.poll_flush(cx, ex)
            && check
        {
            return std::task::Poll::Ready(Err(error));
        }
        if check && ex.req.body.complete && client.poll_closed(cx).is_ready() {
            return std::task::Poll::Ready(Err(Error::new(Kind::ClientClosed, "the client went away")));
        }
        wait.as_mut().poll(cx).map(Ok)
    })
    .await
}
