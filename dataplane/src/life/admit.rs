//! What a request must be to be served: a host, a path, a route, a body that is not too large.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use routing::path;

use crate::error::{Error, Kind, Result};
use crate::exchange::{Exchange, Forwarded};
use crate::lua::vms;
use crate::table::{Action, CompiledRoute, Snapshot};

/// Fills in host, path, args and the client's address, or refuses.
pub(super) fn check(ex: &mut Exchange) -> Result<()> {
    let peer = ex.conn.peer.ip();
    let (merge_slashes, keep_underscores, forwarded_by) = ex.worker.snapshot(|s| {
        let http = &s.settings.http;
        let trusted = http.use_forwarded_headers && http.trusted_proxies.iter().any(|c| c.contains(peer));
        (http.merge_slashes, http.underscores_in_headers, trusted.then(|| s.settings.clone()))
    });
    host(ex)?;
    target(ex, merge_slashes)?;
    if let Some(settings) = forwarded_by {
        forwarded(ex, &settings.http);
    }
    if !keep_underscores {
        drop_underscores(ex);
    }
    Ok(())
}

fn host(ex: &mut Exchange) -> Result<()> {
    let head = &ex.req.head;
    let authority = head.authority.as_deref().or_else(|| head.headers.get(b"host")).unwrap_or_default();
    let host = path::normalize_host(authority).map_err(|e| Error::new(Kind::BadRequest, e.to_string()))?;
    ex.req.host.clear();
    ex.req.host.push_str(&host);
    Ok(())
}

/// Path and query of the target. What is matched is what is forwarded: when the normal form differs from what was
/// sent, the normal form goes upstream.
fn target(ex: &mut Exchange, merge_slashes: bool) -> Result<()> {
    let head = &ex.req.head;
    let target = &head.target[head.path_start..];
    ex.req.matched.clear();
    ex.req.path.clear();
    if target == b"*" {
        // Only OPTIONS gets this far with it; it routes as the root does.
        ex.req.matched.push('/');
        ex.req.path.push(b'/');
        return Ok(());
    }
    let (raw, query) = path::split_target(target);
    let normal = path::normalize(raw, merge_slashes).map_err(|e| Error::new(Kind::BadRequest, e.to_string()))?;
    ex.req.matched.push_str(&normal);
    ex.req.normalised = matches!(normal, Cow::Owned(_));
    if normal.contains('%') {
        path::decode(&normal, &mut ex.req.path);
    } else {
        ex.req.path.extend_from_slice(normal.as_bytes());
    }
    ex.req.args = query.map(<[u8]>::to_vec);
    Ok(())
}

/// A trusted proxy says who the client is (the last address of X-Forwarded-For that no trusted proxy has), and what it
/// asked the proxy for.
fn forwarded(ex: &mut Exchange, http: &routing::value::Http) {
    let headers = &ex.req.head.headers;
    let listed: Vec<&[u8]> = headers.get_all(b"x-forwarded-for").flat_map(|v| v.split(|b| *b == b',')).collect();
    for entry in listed.into_iter().rev() {
        // Whoever stands before one that is no address may have been made up by it.
        let Some(ip) = address(entry) else { break };
        ex.req.client = SocketAddr::new(ip, 0);
        if !http.trusted_proxies.iter().any(|c| c.contains(ip)) {
            break;
        }
    }
    // Of several proxies the first met the client.
    let first = |name: &[u8]| headers.get(name).and_then(|v| v.split(|b| *b == b',').next()).map(<[u8]>::trim_ascii);
    match first(b"x-forwarded-proto") {
        Some(b"https") => ex.req.scheme = "https",
        Some(b"http") => ex.req.scheme = "http",
        _ => {}
    }
    let is_host = |host: &&[u8]| path::normalize_host(host).is_ok_and(|host| !host.is_empty());
    ex.req.forwarded = Some(Box::new(Forwarded {
        host: first(b"x-forwarded-host").filter(is_host).map(<[u8]>::to_vec),
        port: first(b"x-forwarded-port").and_then(|port| std::str::from_utf8(port).ok()?.parse().ok()),
    }));
}

/// An entry of X-Forwarded-For; some proxies write the port too.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// nginx's `underscores_in_headers off`: `X_User` could be taken for `X-User` by the application behind.
fn drop_underscores(ex: &mut Exchange) {
    let headers = &mut ex.req.head.headers;
    if headers.iter().any(|(name, _)| name.contains(&b'_')) {
        headers.retain(|name, _| !name.contains(&b'_'));
    }
}

/// Chooses the route.
pub(super) fn route(ex: &mut Exchange) -> Result<Arc<CompiledRoute>> {
    if ex.req.path_changed {
        // A serverRewrite script chose another path.
        ex.req.matched = path::encode(&ex.req.path);
    }
    let sessions = ex.lua.sessions.len();
    loop {
        let find = |s: &Arc<Snapshot>| {
            let found = s.router.find(&ex.req.host, &ex.req.matched);
            (s.version, found.map(|found| found.value.clone()))
        };
        let (version, found) = ex.worker.snapshot(find);
        let route = found.ok_or_else(|| match version {
            0 => Error::new(Kind::Unavailable, "no table yet"),
            _ => Error::new(Kind::NoRoute, "no route"),
        })?;
        vms::hold(ex, &route.plan);
        // A commit that came just now: the VMs may be of another table than the route.
        if !route.plan.scopes.is_empty() && ex.worker.snapshot(|s| s.version) != version {
            ex.lua.sessions.truncate(sessions);
            continue;
        }
        crate::lua::phases::declare(ex, &route.plan.variables);
        ex.route = Some(route.clone());
        return Ok(route);
    }
}

/// Routes that may not be served.
pub(super) fn closed(route: &CompiledRoute) -> Result<()> {
    if let Some(why) = &route.plan.broken {
        return Err(Error::new(Kind::Unavailable, why.clone()));
    }
    match &route.action {
        Action::Refuse { status, reason } if route.plan.content.is_none() => {
            let kind = if *status == 404 { Kind::NoRoute } else { Kind::Unavailable };
            Err(Error::new(kind, reason.clone()))
        }
        _ => Ok(()),
    }
}

/// nginx's `NGX_HTTP_MAX_URI_CHANGES`.
const JUMPS_MAX: u32 = 10;

/// A script chose another path: counts it.
pub(super) fn jump(ex: &mut Exchange, jumps: &mut u32) -> Result<()> {
    *jumps += 1;
    if *jumps <= JUMPS_MAX {
        return Ok(());
    }
    let uri = String::from_utf8_lossy(&ex.req.path).into_owned();
    let text = format!("rewrite or internal redirection cycle while processing \"{uri}\"");
    crate::lua::host::error(ex, &text);
    Err(Error::new(Kind::Script, text))
}

/// A declared length beyond the route's limit is refused before anything is read.
pub(super) fn body_limit(ex: &mut Exchange, route: &CompiledRoute) -> Result<()> {
    let max = route.policy.client_max_body_bytes;
    match ex.req.body.declared {
        Some(n) if max > 0 && n > max => {
            Err(Error::new(Kind::BodyTooLarge, format!("the request body of {n} bytes is over the limit of {max}")))
        }
        _ => Ok(()),
    }
}
