//! Variables of the upstream and its tries; several tries are separated by commas, as nginx writes them.

use std::fmt::Write;

use super::{ip_text, joined, made, parse};
use crate::exchange::{Exchange, Try};
use crate::table::{Action, Upstream};

pub(super) const NAMES: &[&str] = &[
    "proxy_host",
    "proxy_port",
    "upstream_addr",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_time",
    "upstream_status",
];

pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    let of_tries: fn(&mut String, &Try) -> std::fmt::Result = match name {
        b"upstream_addr" => |out, t| match ip_text(t.address.ip()) {
            std::net::IpAddr::V4(ip) => write!(out, "{ip}:{}", t.address.port()),
            std::net::IpAddr::V6(ip) => write!(out, "[{ip}]:{}", t.address.port()),
        },
        b"upstream_status" => |out, t| if t.status == 0 { out.write_char('-') } else { write!(out, "{}", t.status) },
        b"upstream_connect_time" => |out, t| seconds(out, t.connect_time),
        b"upstream_header_time" => |out, t| seconds(out, t.header_time),
        b"upstream_response_time" => |out, t| seconds(out, t.response_time),
        b"proxy_host" => {
            let upstream = only_upstream(ex)?;
            return made(ex, upstream_name(&upstream));
        }
        b"proxy_port" => {
            let upstream = only_upstream(ex)?;
            return made(ex, upstream.spec.port);
        }
        _ => return None,
    };
    if ex.tries.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (i, attempt) in ex.tries.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        of_tries(&mut text, attempt).ok()?;
    }
    ex.lua.scratch = text.into_bytes();
    Some(&ex.lua.scratch)
}

/// `$upstream_http_NAME`: a header of the upstream's response as it came, whatever scripts have made of it since.
pub(super) fn header<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    if !answered(ex) {
        return None;
    }
    joined(&ex.upstream_head.headers, &mut ex.lua.scratch, name, b", ")
}

/// The last try got a head, which `upstream_head` is then.
fn answered(ex: &Exchange) -> bool {
    ex.tries.last().is_some_and(|t| t.status != 0)
}

/// `$upstream_cookie_NAME`: the value of a cookie that the upstream sets.
pub(super) fn cookie<'a>(ex: &'a Exchange, name: &[u8]) -> Option<&'a [u8]> {
    if !answered(ex) {
        return None;
    }
    // The last one wins, as in nginx: a later Set-Cookie overwrites an earlier one.
    ex.upstream_head.headers.get_all(b"set-cookie").filter_map(|set| parse::cookie(set, name)).last()
}

/// Seconds with milliseconds; `-` when it never came to that.
fn seconds(out: &mut String, time: Option<f64>) -> std::fmt::Result {
    match time {
        Some(time) => write!(out, "{time:.3}"),
        None => out.write_char('-'),
    }
}

/// The upstream of the route; the first when weights choose among several.
pub(super) fn only_upstream(ex: &Exchange) -> Option<std::sync::Arc<Upstream>> {
    match &ex.route.as_ref()?.action {
        Action::Forward(upstreams) => Some(upstreams.first()?.0.clone()),
        Action::Refuse { .. } => None,
    }
}

/// As ingress-nginx names it: `namespace-service-port`.
pub(super) fn upstream_name(upstream: &Upstream) -> String {
    let service = &upstream.spec.service;
    format!("{}-{}-{}", service.namespace, service.name, upstream.spec.port)
}
