//! The life of a request: each phase is called here and nowhere else.
//!
//! framing checks -> server_rewrite -> route -> rewrite -> access -> content or (balancer -> upstream, retry)
//! -> header_filter -> body_filter -> log

use crate::downstream::Client;
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::lua::phases::{self, Flow};
use crate::lua::vms;
use crate::{access_log, proxy, respond};

mod admit;
mod redirect;

/// How an exchange ended, for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The response is whole and written.
    Whole,
    /// The response broke off, or the client went away: the connection must not be used again.
    Cut,
    /// The connection became a tunnel and that ended.
    Tunnelled,
}

/// Serves one request to its end, its log included.
pub async fn run(ex: &mut Exchange, client: &mut Client<'_>) -> Ended {
    let ended = match serve(ex, client).await {
        Ok(ended) => ended,
        Err(error) => fail(ex, client, error).await,
    };
    vms::turns_of_log(ex).await;
    finish(ex);
    ended
}

/// Answers what is no request, and logs it.
pub async fn refuse(ex: &mut Exchange, client: &mut Client<'_>, error: Error) -> Ended {
    let ended = fail(ex, client, error).await;
    finish(ex);
    ended
}

async fn serve(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Ended> {
    admit::check(ex)?;
    if phases::server_rewrite(ex, client).await? == Flow::Answered {
        return answered(ex, client).await;
    }
    let mut jumps = 0;
    let route = loop {
        let route = admit::route(ex)?;
        if let Some(location) = redirect::to_https(ex, &route) {
            vms::turns_of_filters(ex).await;
            respond::redirect(ex, 308, &location);
            return answered(ex, client).await;
        }
        admit::body_limit(ex, &route)?;
        if route.plan.is_empty() {
            // Others use the worker too: a namespace over its share has to wait.
            ex.worker.vms.usage.note(route.user);
        }
        admit::closed(&route)?;
        match phases::rewrite(ex, client).await? {
            Flow::Next => break route,
            Flow::Answered => return answered(ex, client).await,
            Flow::Jump => admit::jump(ex, &mut jumps)?,
        }
    };
    if phases::access(ex, client).await? == Flow::Answered {
        return answered(ex, client).await;
    }
    // Content that failed and may be ignored leaves the answer to the upstream.
    if route.plan.content.is_some() && phases::content(ex, client).await? != Flow::Next {
        return answered(ex, client).await;
    }
    proxy::run(ex, client, &route).await
}

/// The response was made here: what of it still waits goes out.
async fn answered(ex: &mut Exchange, client: &mut Client<'_>) -> Result<Ended> {
    if ex.lua.abort {
        return Ok(Ended::Cut);
    }
    respond::finish(ex);
    if !ex.resp.head_sent {
        // A header filter failed under a script's own output: the response is aborted, as in OpenResty.
        return Ok(Ended::Cut);
    }
    client.flush(ex).await?;
    Ok(if ex.resp.ended { Ended::Whole } else { Ended::Cut })
}

/// An error becomes a response, if nothing was sent; else the response breaks off, so that the client sees it.
async fn fail(ex: &mut Exchange, client: &mut Client<'_>, error: Error) -> Ended {
    respond::note(ex, &error);
    if error.kind == Kind::ClientClosed {
        ex.resp.status = if ex.resp.head_sent { ex.resp.status } else { error.kind.status() };
        return Ended::Cut;
    }
    if ex.resp.head_sent {
        let _ = client.flush(ex).await;
        return Ended::Cut;
    }
    vms::turns_of_filters(ex).await;
    respond::error(ex, &error);
    match client.flush(ex).await {
        Ok(()) if ex.resp.ended => Ended::Whole,
        _ => Ended::Cut,
    }
}

/// `log` runs exactly once, here, whatever happened before.
fn finish(ex: &mut Exchange) {
    if ex.tries.is_empty() {
        // An upstream's response has ended by the clock already.
        crate::clock::tick();
    }
    phases::log(ex);
    ex.worker.shared.metrics.request(ex);
    access_log::write(ex);
}
