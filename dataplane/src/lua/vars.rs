//! `ngx.var`: nginx's variables, ingress-nginx's, and those that plugins declare.
//!
//! A name means what nginx's core modules mean by it (`ngx_http_variables.c`, `ngx_http_upstream.c`,
//! `ngx_http_proxy_module.c`); one that nothing knows, or that has no value, reads as nil. Writable are `$args` and the
//! variables of `spec.variables`; the error texts are those of lua-nginx-module's `ngx_http_lua_variable.c`.

use std::net::IpAddr;

use crate::exchange::Exchange;
use crate::table::CompiledRoute;

mod client;
mod ingress;
mod parse;
mod response;
pub mod time;
mod upstream;

/// No variable that exists has a longer name before its prefix is cut; a longer one is a header's or an argument's,
/// and those are bounded by the request head.
const LONGEST_BUILTIN: usize = 40;

/// The value of a variable. Lends from the exchange; a value that has to be made is made in `ex.lua.scratch`.
pub fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    if name.iter().any(u8::is_ascii_uppercase) {
        let lower = name.to_ascii_lowercase();
        return get_lower(ex, &lower);
    }
    get_lower(ex, name)
}

/// Sets a variable, or clears it.
///
/// # Errors
/// The text that the script gets: the variable does not exist, or is not changeable.
pub fn set(ex: &mut Exchange, name: &[u8], value: Option<&[u8]>) -> Result<(), String> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    if name == "args" {
        ex.req.args = value.map(<[u8]>::to_vec);
        ex.req.args_changed = true;
        return Ok(());
    }
    if let Some(slot) = ex.lua.vars.iter_mut().find(|(n, _)| *n == name) {
        slot.1 = value.map(<[u8]>::to_vec);
        return Ok(());
    }
    if declared(ex, &name).is_some() {
        ex.lua.vars.push((name, value.map(<[u8]>::to_vec)));
        return Ok(());
    }
    if is_builtin(name.as_bytes()) {
        return Err(format!("variable \"{name}\" not changeable"));
    }
    Err(format!(
        "variable \"{name}\" not found for writing; maybe it is a built-in variable that is not changeable or you forgot to \
         use \"set ${name} '';\" in the config file to define it first"
    ))
}

/// Position of a declared variable among those of the route.
fn declared(ex: &Exchange, name: &str) -> Option<usize> {
    ex.route.as_ref()?.plan.variables.iter().position(|(n, _)| n == name)
}

fn get_lower<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    if let Some(at) = ex.lua.vars.iter().position(|(n, _)| n.as_bytes() == name) {
        return ex.lua.vars[at].1.as_deref();
    }
    if let Some(route) = &ex.route
        && let Some(at) = route.plan.variables.iter().position(|(n, _)| n.as_bytes() == name)
    {
        let route: &'a CompiledRoute = ex.route.as_deref()?;
        return Some(&route.plan.variables[at].1);
    }
    match Area::of(name)? {
        Area::Client => client::get(ex, name),
        Area::Response => response::get(ex, name),
        Area::Upstream => upstream::get(ex, name),
        Area::Ingress => ingress::get(ex, name),
        Area::Time => time::get(ex, name),
        Area::Http => client::header(ex, &name[5..]),
        Area::Arg => parse::argument(ex.req.args.as_deref()?, &name[4..]),
        Area::Cookie => client::cookie(ex, &name[7..]),
        Area::SentHttp => response::header(ex, &name[10..]),
        Area::UpstreamHttp => upstream::header(ex, &name[14..]),
        Area::UpstreamCookie => upstream::cookie(ex, &name[16..]),
    }
}

/// Which file knows a variable.
#[derive(Clone, Copy)]
enum Area {
    Client,
    Response,
    Upstream,
    Ingress,
    Time,
    Http,
    Arg,
    Cookie,
    SentHttp,
    UpstreamHttp,
    UpstreamCookie,
}

impl Area {
    fn of(name: &[u8]) -> Option<Self> {
        if name.len() <= LONGEST_BUILTIN
            && let Some(area) = Self::of_builtin(name)
        {
            return Some(area);
        }
        Some(match name {
            [b'h', b't', b't', b'p', b'_', _, ..] => Self::Http,
            [b'a', b'r', b'g', b'_', _, ..] => Self::Arg,
            _ if name.starts_with(b"cookie_") => Self::Cookie,
            _ if name.starts_with(b"sent_http_") => Self::SentHttp,
            _ if name.starts_with(b"upstream_http_") => Self::UpstreamHttp,
            _ if name.starts_with(b"upstream_cookie_") => Self::UpstreamCookie,
            _ => return None,
        })
    }

    fn of_builtin(name: &[u8]) -> Option<Self> {
        let has = |names: &[&str]| names.iter().any(|n| n.as_bytes() == name);
        if has(client::NAMES) {
            return Some(Self::Client);
        }
        if has(time::NAMES) {
            return Some(Self::Time);
        }
        if has(response::NAMES) {
            return Some(Self::Response);
        }
        if has(upstream::NAMES) {
            return Some(Self::Upstream);
        }
        has(ingress::NAMES).then_some(Self::Ingress)
    }
}

/// Variables that nginx itself has by name: writing one of them has a text of its own.
fn is_builtin(name: &[u8]) -> bool {
    Area::of_builtin(name).is_some()
}

/// Makes a value in the scratch buffer.
fn made(ex: &mut Exchange, value: impl std::fmt::Display) -> Option<&[u8]> {
    use std::io::Write;
    ex.lua.scratch.clear();
    write!(ex.lua.scratch, "{value}").ok()?;
    Some(&ex.lua.scratch)
}

/// Values of the same name joined as nginx joins them; a single one is lent as it is.
fn joined<'a>(
    headers: &'a http1::Headers,
    scratch: &'a mut Vec<u8>,
    name: &[u8],
    separator: &[u8],
) -> Option<&'a [u8]> {
    let mut values = headers.iter().filter(|(n, _)| parse::is_variable_of(n, name)).map(|(_, v)| v);
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(first) };
    scratch.clear();
    scratch.extend_from_slice(first);
    for value in std::iter::once(second).chain(values) {
        scratch.extend_from_slice(separator);
        scratch.extend_from_slice(value);
    }
    Some(scratch)
}

/// An address as nginx prints it: without brackets, an IPv4-mapped one as IPv4.
fn ip_text(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
