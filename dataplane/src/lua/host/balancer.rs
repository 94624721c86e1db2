//! `ngx.balancer`. Texts are lua-nginx-module's (`ngx_http_lua_balancer.c`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::exchange::Exchange;
use crate::table::Action;

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
    let peer = SocketAddr::new(ip, port);
    if !super::is_operator(ex) && !is_public(ip) && !is_endpoint(ex, peer) {
        return Err("the address is not reachable for the Lua of a namespace");
    }
    ex.lua.peer = Some(peer);
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

/// An endpoint of the route's own Services.
fn is_endpoint(ex: &Exchange, peer: SocketAddr) -> bool {
    let Some(route) = &ex.route else { return false };
    let Action::Forward(upstreams) = &route.action else { return false };
    upstreams.iter().any(|(upstream, _)| upstream.endpoints.load().active.contains(&peer))
}

/// Reachable from anywhere: not private, shared, link-local, loopback, documentation, multicast or reserved.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let protocol = a == 192 && b == 0 && c == 0;
            let benchmark = a == 198 && (b == 18 || b == 19);
            let other = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
            !(other || shared || protocol || benchmark || a == 0 || a >= 224)
        }
        IpAddr::V6(ip) => {
            // Global unicast is 2000::/3; within it 2001:db8::/32 is documentation, 2002::/16 leads to IPv4.
            let s = ip.segments();
            s[0] & 0xe000 == 0x2000 && !(s[0] == 0x2001 && s[1] == 0xdb8) && s[0] != 0x2002
        }
    }
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
    use super::{is_public, parse};

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

    #[test]
    fn what_anyone_may_reach() {
        let public = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "172.32.0.1", "100.128.0.1"];
        let not = [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "2001:db8::1",
            "2002:a00:1::1",
            "64:ff9b::a00:1",
        ];
        for ip in public {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in not {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
