//! HTTP to HTTPS.

use routing::path;

use crate::exchange::Exchange;
use crate::table::CompiledRoute;

/// ACME's HTTP-01 challenge is fetched over plain HTTP (ingress-nginx: `no-tls-redirect-locations`).
const NEVER: &[u8] = b"/.well-known/acme-challenge";

/// Where a plain request of a host with TLS is sent, if the route redirects.
pub(super) fn to_https(ex: &Exchange, route: &CompiledRoute) -> Option<Vec<u8>> {
    if ex.req.scheme == "https" || ex.req.path.starts_with(NEVER) || ex.req.host.is_empty() {
        return None;
    }
    let (host_has_tls, port, on) = ex.worker.snapshot(|s| {
        let host = s.router.host_of(&ex.req.host).and_then(|found| s.hosts.get(found.name()));
        (host.is_some_and(|h| h.tls), s.settings.tls.redirect_port, s.settings.tls.redirect)
    });
    if !(route.policy.force_ssl_redirect || on && route.policy.ssl_redirect && host_has_tls) {
        return None;
    }
    let mut to = b"https://".to_vec();
    let forwarded = ex.req.forwarded.as_ref().and_then(|f| path::normalize_host(f.host.as_deref()?).ok());
    to.extend_from_slice(forwarded.as_deref().unwrap_or(&ex.req.host).as_bytes());
    if let Some(port) = port.filter(|p| *p != 443) {
        to.extend_from_slice(format!(":{port}").as_bytes());
    }
    let head = &ex.req.head;
    to.extend_from_slice(&head.target[head.path_start..]);
    Some(to)
}
