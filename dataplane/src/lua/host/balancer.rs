//! `ngx.balancer`. Texts are lua-nginx-module's (`ngx_http_lua_balancer.c`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::exchange::Exchange;
use crate::lua::network;

/// `set_current_peer`
///
/// # Errors
/// Not an address, or one that the script's namespace may not reach.
pub(super) fn set_peer(ex: &mut Exchange, address: &[u8], port: i32) -> Result<(), &'static str> {
    let text = std::str::from_utf8(address).map_err(|_| "no host allowed")?;
    if text.starts_with("unix:") {
        return Err("unix domain sockets are not supported");
    }
    let (ip, own_port) = parse(text).ok_or("no host allowed")?;
    let port = own_port.or(u16::try_from(port).ok().filter(|p| *p > 0)).ok_or("invalid port")?;
    if !network::may_reach(ex, ip) {
        return Err("the address is not reachable for the Lua of a namespace");
    }
    ex.lua.peer = Some(SocketAddr::new(ip, port));
    Ok(())
}

/// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, `2001:db8::1`
fn parse(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(|ip| (ip, None))
}

/// `set_more_tries`: true when fewer were granted than asked for.
pub(super) fn more_tries(ex: &mut Exchange, count: i32) -> bool {
    let limit = ex.route.as_ref().map_or(1, |route| route.policy.tries);
    let made = u32::try_from(ex.tries.len()).unwrap_or(u32::MAX);
    let left = limit.saturating_sub(made + 1);
    let asked = u32::try_from(count).unwrap_or_default();
    ex.lua.more_tries = asked.min(left);
    asked > left
}

/// `get_last_failure`: 0 on the first try, else the state in the lowest byte (2 `next`, 4 `failed`) and the status above.
pub(super) fn last_failure(ex: &Exchange) -> i32 {
    // The try that is about to start is not in the list yet.
    let Some(last) = ex.tries.last() else { return 0 };
    let state = if matches!(last.status, 403 | 404) { 2 } else { 4 };
    let status = if last.status == 0 { 502 } else { i32::from(last.status) };
    state | status << 8
}

/// `set_timeouts`, in seconds; 0: the route's.
pub(super) fn set_timeouts(ex: &mut Exchange, seconds: [f64; 3]) {
    // A day is longer than any connection waits; the bound keeps the arithmetic safe.
    ex.lua.timeouts = seconds.map(|s| (s > 0.0).then(|| Duration::from_secs_f64(s.clamp(0.001, 86_400.0))));
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses_with_and_without_ports() {
        let check = |text: &str, is: Option<(&str, Option<u16>)>| {
            assert_eq!(parse(text), is.map(|(ip, port)| (ip.parse().unwrap(), port)), "{text}");
        };
        check("192.0.2.1", Some(("192.0.2.1", None)));
        check("192.0.2.1:80", Some(("192.0.2.1", Some(80))));
        check("2001:db8::1", Some(("2001:db8::1", None)));
        check("[2001:db8::1]", Some(("2001:db8::1", None)));
        check("[2001:db8::1]:80", Some(("2001:db8::1", Some(80))));
        check("example.com", None);
        check("", None);
    }
}
