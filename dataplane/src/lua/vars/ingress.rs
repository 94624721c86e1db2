//! Variables that ingress-nginx sets in each location, which people's scripts and log formats use.

use super::{made, upstream};
use crate::exchange::Exchange;

pub(super) const NAMES: &[&str] = &[
    "best_http_host",
    "ingress_name",
    "location_path",
    "namespace",
    "pass_access_scheme",
    "pass_port",
    "pass_server_port",
    "proxy_upstream_name",
    "service_name",
    "service_port",
];

pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    match name {
        b"ingress_name" => Some(ex.route.as_deref()?.ingress.name.as_bytes()),
        b"namespace" => Some(ex.route.as_deref()?.ingress.namespace.as_bytes()),
        b"service_name" => Some(ex.route.as_deref()?.service.as_bytes()),
        b"service_port" => {
            let port = upstream::only_upstream(ex)?.spec.port;
            made(ex, port)
        }
        b"location_path" => Some(ex.route.as_deref()?.key.path.as_bytes()),
        b"proxy_upstream_name" => {
            let upstream = upstream::only_upstream(ex)?;
            made(ex, upstream::upstream_name(&upstream))
        }
        b"pass_access_scheme" => Some(ex.req.scheme.as_bytes()),
        b"pass_port" | b"pass_server_port" => {
            // As ingress-nginx: the port that clients see, which is the scheme's behind a load balancer.
            let port = if ex.req.scheme == "https" { 443 } else { ex.conn.local.port() };
            made(ex, port)
        }
        b"best_http_host" => ex.req.head.headers.get(b"host").or(Some(ex.req.host.as_bytes())),
        _ => None,
    }
}
