//! The upstream's part of a request: choose an endpoint, send the request, pass the response on; another try where
//! that is safe. What few requests need is boxed, since every request under way has room for the largest of its futures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http1::Limits;

use crate::downstream::Client;
use crate::error::{Error, Kind, Result};
use crate::exchange::{Exchange, Try};
use crate::life::Ended;
use crate::lua::{phases, vms};
use crate::table::{Action, CompiledRoute, Upstream};
use crate::upstream::{Connection, balance, connect};

pub mod body;
mod forward;
mod respond;
mod transfer;

use body::Source;
use transfer::Transfer;

/// Sends the request to one of the route's upstreams and its response to the client.
pub async fn run(ex: &mut Exchange, client: &mut Client<'_>, route: &Arc<CompiledRoute>) -> Result<Ended> {
    let upstream = choose_upstream(ex, route)?;
    if route.policy.request_buffering && ex.req.body.present && ex.req.body.held.is_none() {
        Box::pin(body::hold(ex, client)).await?;
    }
    let mut source = Source::new(ex)?;
    let mut tries = route.policy.tries.max(1);
    loop {
        tries -= 1;
        let address = choose_endpoint(ex, route, &upstream, &mut tries).await?;
        let error = match attempt(ex, client, route, &upstream, address, &mut source).await {
            Ok(ended) => return Ok(ended),
            Err(error) => error,
        };
        let again = error.retry && tries > 0 && !ex.resp.head_sent && source.can_replay(ex);
        if !again {
            return Err(error);
        }
        tracing::debug!(target: "http", %address, "another try: {error}");
        ex.worker.shared.metrics.retry();
        source.rewind();
    }
}

/// One of the route's upstreams by weight.
fn choose_upstream(ex: &Exchange, route: &CompiledRoute) -> Result<Arc<Upstream>> {
    let Action::Forward(upstreams) = &route.action else {
        return Err(Error::new(Kind::Unavailable, "the route has no upstream"));
    };
    if let [(only, _)] = upstreams.as_slice() {
        return Ok(only.clone());
    }
    let total: u64 = upstreams.iter().map(|(_, w)| u64::from(*w)).sum();
    if total == 0 {
        return Err(Error::new(Kind::Unavailable, "the route's upstreams have no weight"));
    }
    let mut at = ex.worker.random() % total;
    for (upstream, weight) in upstreams {
        match at.checked_sub(u64::from(*weight)) {
            None => return Ok(upstream.clone()),
            Some(rest) => at = rest,
        }
    }
    Err(Error::new(Kind::Internal, "the weights of the route's upstreams changed under their sum"))
}

/// The endpoint of the next try: the balancer script's, else the next in turn.
async fn choose_endpoint(
    ex: &mut Exchange,
    route: &CompiledRoute,
    upstream: &Upstream,
    tries: &mut u32,
) -> Result<SocketAddr> {
    if let Some(step) = &route.plan.balancer {
        vms::turn(ex, &step.used.scope).await?;
    }
    if let Some(address) = phases::balancer(ex)? {
        *tries += std::mem::take(&mut ex.lua.more_tries);
        return Ok(address);
    }
    let set = upstream.endpoints.load();
    let tried = |address| ex.tries.iter().any(|t| t.address == address);
    let next = match &set.external {
        None => balance::next(&ex.worker, upstream, &set.active, tried),
        Some(name) => {
            let connect = Timeouts::of(ex, route).connect;
            let addresses = Box::pin(ex.worker.pools.names.resolve(name, connect)).await?;
            balance::next(&ex.worker, upstream, &addresses, tried)
        }
    };
    next.ok_or_else(|| Error::new(Kind::Unavailable, format!("the upstream {} has no endpoint", upstream.key)))
}

async fn attempt(
    ex: &mut Exchange,
    client: &mut Client<'_>,
    route: &CompiledRoute,
    upstream: &Upstream,
    address: SocketAddr,
    source: &mut Source,
) -> Result<Ended> {
    let started = crate::clock::now();
    ex.tries.push(Try { address, status: 0, started, connect_time: None, header_time: None, response_time: None });
    let timeouts = Timeouts::of(ex, route);
    let (mut up, key, reused) = connect::connect(ex, upstream, address, timeouts.connect).await?;
    this_try(ex).connect_time = Some(if reused { 0.0 } else { started.elapsed().as_secs_f64() });
    begin(ex, &timeouts, &mut up, source);
    let mut head = std::mem::take(&mut ex.upstream_head);
    let mut transfer = Transfer::new(source);
    if let Err(mut error) = transfer.until_head(ex, client, &mut up, &mut head).await {
        error.retry &= !up.sent_any() || (ex.req.head.method.is_idempotent() && !up.got_byte());
        return Err(error);
    }
    let at = (crate::clock::tick() - started).as_secs_f64();
    let this = this_try(ex);
    (this.status, this.header_time) = (head.status, Some(at));
    if head.status == 101 {
        return Box::pin(respond::tunnel(ex, client, up, head, timeouts.read)).await;
    }
    vms::turns_of_filters(ex).await;
    let plain = respond::start(ex, head)?;
    vms::release(ex);
    let result = transfer.finish(ex, client, &mut up, plain).await;
    let took = (crate::clock::tick() - started).as_secs_f64();
    this_try(ex).response_time = Some(took);
    result?;
    let request_done = transfer.request_done();
    if let Connection::H1(c) = up
        && request_done
        && c.reusable()
    {
        give_back(ex, key, c);
    }
    Ok(if ex.resp.ended { Ended::Whole } else { Ended::Cut })
}

/// The time-outs of a try: the balancer script's, else the route's.
struct Timeouts {
    connect: Duration,
    send: Duration,
    read: Duration,
}

impl Timeouts {
    fn of(ex: &Exchange, route: &CompiledRoute) -> Self {
        let [connect, send, read] = ex.lua.timeouts;
        let policy = &route.policy;
        Self {
            connect: connect.unwrap_or(Duration::from_millis(policy.connect_timeout_ms)),
            send: send.unwrap_or(Duration::from_millis(policy.send_timeout_ms)),
            read: read.unwrap_or(Duration::from_millis(policy.read_timeout_ms)),
        }
    }
}

fn this_try(ex: &mut Exchange) -> &mut Try {
    ex.tries.last_mut().expect("attempt pushed this try")
}

/// Prepares the connection and queues the request's head.
fn begin(ex: &mut Exchange, timeouts: &Timeouts, up: &mut Connection, source: &Source) {
    match up {
        Connection::H1(c) => {
            let head_bytes = ex.worker.snapshot(|s| s.settings.http.response_head_bytes_max as usize);
            let limits = Limits { head_bytes, headers: RESPONSE_HEADERS_MAX };
            c.begin(limits, timeouts.read, timeouts.send);
            forward::write_h1(ex, c, source.framing());
        }
        Connection::H2(s) => {
            s.begin(timeouts.read, timeouts.send);
            forward::write_h2(ex, s, source.framing());
        }
    }
}

/// Fields of a response; an upstream is trusted further than a client, but not without end.
const RESPONSE_HEADERS_MAX: usize = 256;

fn give_back(ex: &Exchange, key: crate::upstream::pool::PoolKey, mut connection: Box<crate::upstream::h1::Connection>) {
    connection.buf.rest();
    let (max, requests) = ex.worker.snapshot(|s| {
        let http = &s.settings.http;
        (http.upstream_keepalive_connections as usize, http.upstream_keepalive_requests)
    });
    if connection.requests < requests {
        ex.worker.pools.give(key, connection, max);
    }
}
