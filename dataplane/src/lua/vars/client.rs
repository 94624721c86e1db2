//! Variables of the connection and the request.

use std::net::IpAddr;

use super::{ip_text, joined, made, parse};
use crate::exchange::Exchange;
use crate::exchange::body::Held;

pub(super) const NAMES: &[&str] = &[
    "args",
    "binary_remote_addr",
    "connection",
    "connection_requests",
    "content_length",
    "content_type",
    "document_uri",
    "host",
    "hostname",
    "https",
    "is_args",
    "nginx_version",
    "pid",
    "pipe",
    "proxy_add_x_forwarded_for",
    "query_string",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request",
    "request_body",
    "request_id",
    "req_id",
    "request_length",
    "request_method",
    "request_uri",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "ssl_cipher",
    "ssl_protocol",
    "ssl_server_name",
    "the_real_ip",
    "uri",
];

/// What `$nginx_version` and `ngx.config.nginx_version` say: libraries test it for features of nginx's core.
pub(super) const NGINX_VERSION: &str = "1.29.4";

pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    match name {
        // A bare `?` is no query string, unless a script made it so.
        b"args" | b"query_string" => ex.req.args.as_deref().filter(|a| !a.is_empty() || ex.req.args_changed),
        b"is_args" => Some(if ex.req.args.as_ref().is_some_and(|a| !a.is_empty()) { b"?" } else { b"" }),
        b"uri" | b"document_uri" => Some(&ex.req.path),
        b"request_uri" => Some(request_uri(ex)),
        b"request_method" => Some(ex.req.head.method.as_str().as_bytes()),
        b"request" => request_line(ex),
        b"request_length" => {
            let length = ex.req.head_bytes as u64 + ex.req.body.received;
            made(ex, length)
        }
        b"request_id" | b"req_id" => Some(ex.request_id().as_bytes()),
        b"request_body" => match &ex.req.body.held {
            Some(Held::Memory(bytes)) if !bytes.is_empty() => Some(bytes),
            _ => None,
        },
        b"content_type" => ex.req.head.headers.get(b"content-type"),
        b"content_length" => ex.req.head.headers.get(b"content-length"),
        b"scheme" => Some(ex.req.scheme.as_bytes()),
        b"https" => Some(if ex.req.scheme == "https" { b"on" } else { b"" }),
        b"host" => Some(host(ex)),
        b"remote_user" => {
            ex.lua.scratch = parse::basic_user(ex.req.head.headers.get(b"authorization")?)?;
            Some(&ex.lua.scratch)
        }
        b"proxy_add_x_forwarded_for" => forwarded_for(ex),
        _ => connection(ex, name),
    }
}

/// Facts of the sockets, of TLS and of the process.
fn connection<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    if name == b"remote_addr" && ex.req.client == ex.conn.peer {
        // The variable that most scripts read, printed once a connection.
        return Some(ex.conn.peer_text.as_bytes());
    }
    let conn = ex.conn.clone();
    match name {
        b"remote_addr" | b"the_real_ip" => made(ex, ip_text(ex.req.client.ip())),
        b"remote_port" => made(ex, ex.req.client.port()),
        b"binary_remote_addr" => {
            ex.lua.scratch.clear();
            match ip_text(ex.req.client.ip()) {
                IpAddr::V4(ip) => ex.lua.scratch.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => ex.lua.scratch.extend_from_slice(&ip.octets()),
            }
            Some(&ex.lua.scratch)
        }
        b"realip_remote_addr" => made(ex, ip_text(conn.peer.ip())),
        b"realip_remote_port" => made(ex, conn.peer.port()),
        b"server_addr" => made(ex, ip_text(conn.local.ip())),
        b"server_port" => made(ex, conn.local.port()),
        b"server_name" => match &ex.route {
            Some(route) => Some(route.key.host.as_bytes()),
            None => Some(ex.req.host.as_bytes()),
        },
        b"server_protocol" => Some(ex.req.protocol().as_bytes()),
        b"hostname" => made(ex, hostname()),
        b"connection" => made(ex, conn.serial),
        b"connection_requests" => made(ex, ex.req.serial),
        // Pipelined requests are read one by one: nothing tells whether another one waits.
        b"pipe" => Some(b"."),
        b"pid" => made(ex, std::process::id()),
        b"nginx_version" => Some(NGINX_VERSION.as_bytes()),
        b"ssl_protocol" => Some(conn.tls.as_ref()?.protocol.as_bytes()),
        b"ssl_cipher" => made(ex, &conn.tls.as_ref()?.cipher),
        b"ssl_server_name" => made(ex, conn.tls.as_ref()?.server_name.as_ref()?),
        _ => None,
    }
}

/// `$http_NAME`: several headers of one name are joined.
pub(super) fn header<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    let separator: &[u8] = if name == b"cookie" { b"; " } else { b", " };
    joined(&ex.req.head.headers, &mut ex.lua.scratch, name, separator)
}

/// `$cookie_NAME`
pub(super) fn cookie<'a>(ex: &'a Exchange, name: &[u8]) -> Option<&'a [u8]> {
    ex.req.head.headers.get_all(b"cookie").find_map(|header| parse::cookie(header, name))
}

/// `$request_uri`: the target as it was sent, without scheme and authority.
pub(super) fn request_uri(ex: &Exchange) -> &[u8] {
    ex.req.head.target.get(ex.req.head.path_start..).unwrap_or_default()
}

fn request_line(ex: &mut Exchange) -> Option<&[u8]> {
    let (head, scratch) = (&ex.req.head, &mut ex.lua.scratch);
    scratch.clear();
    scratch.extend_from_slice(head.method.as_str().as_bytes());
    scratch.push(b' ');
    scratch.extend_from_slice(&head.target);
    scratch.push(b' ');
    scratch.extend_from_slice(ex.req.protocol().as_bytes());
    Some(&ex.lua.scratch)
}

/// `$host`: the request's host, else the server's name.
fn host(ex: &Exchange) -> &[u8] {
    match &ex.route {
        Some(route) if ex.req.host.is_empty() => route.key.host.as_bytes(),
        _ => ex.req.host.as_bytes(),
    }
}

/// `$proxy_add_x_forwarded_for`: what the client sent, and its address.
fn forwarded_for(ex: &mut Exchange) -> Option<&[u8]> {
    use std::io::Write;
    let scratch = &mut ex.lua.scratch;
    scratch.clear();
    for value in ex.req.head.headers.get_all(b"x-forwarded-for") {
        scratch.extend_from_slice(value);
        scratch.extend_from_slice(b", ");
    }
    write!(scratch, "{}", ip_text(ex.req.client.ip())).ok()?;
    Some(scratch)
}

/// The machine's name, read once.
fn hostname() -> &'static str {
    static NAME: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let read = |path| std::fs::read_to_string(path).ok().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty());
        read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_else(|| "localhost".into())
    });
    &NAME
}
