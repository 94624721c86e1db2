//! Where the Lua of a namespace may connect to: public addresses, the Services and endpoints of its own namespace, and
//! what MoongateConfig allows (`spec.lua.network.allow`). Everything that opens a connection for a script asks here,
//! with the address that a name has resolved to.

use std::net::IpAddr;

use routing::value::{self, Cidr};

use super::host::scope;
use crate::exchange::Exchange;
use crate::table::Scope;

/// What a namespace may reach beside public addresses.
#[derive(Debug, Default, PartialEq)]
pub struct Reach {
    /// Sorted.
    own: Vec<IpAddr>,
    allowed: Vec<Cidr>,
}

impl From<&value::Namespace> for Reach {
    fn from(namespace: &value::Namespace) -> Self {
        let mut own: Vec<_> = namespace.own_addresses.iter().map(IpAddr::to_canonical).collect();
        own.sort_unstable();
        Self { own, allowed: namespace.allowed.clone() }
    }
}

impl Reach {
    /// Whether an address is among them.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.own.binary_search(&ip.to_canonical()).is_ok() || self.allowed.iter().any(|range| range.contains(ip))
    }
}

/// Whether the script that runs may connect to an address.
pub fn may_reach(ex: &Exchange, ip: IpAddr) -> bool {
    match scope(ex) {
        Some(Scope::Operator) => true,
        Some(Scope::Namespace(name)) => {
            is_public(ip) || ex.worker.snapshot(|s| s.reach.get(name).is_some_and(|reach| reach.has(ip)))
        }
        None => false,
    }
}

/// Reachable from anywhere: not private, shared, link-local, loopback, documentation, multicast or reserved (IANA's
/// special-purpose registries), and no form of IPv6 that carries an IPv4 address.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let protocol = a == 192 && b == 0 && c == 0;
            let relay = a == 192 && b == 88 && c == 99;
            let benchmark = a == 198 && (b == 18 || b == 19);
            let other = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
            !(other || shared || protocol || relay || benchmark || a == 0 || a >= 224)
        }
        IpAddr::V6(ip) => {
            // Global unicast is 2000::/3. Of it 2001::/23 is for protocols (Teredo), 2001:db8::/32 and 3fff::/20 are
            // documentation, 2002::/16 leads to IPv4.
            let s = ip.segments();
            let protocol = s[0] == 0x2001 && s[1] < 0x200;
            let documentation = (s[0] == 0x2001 && s[1] == 0xdb8) || (s[0] == 0x3fff && s[1] < 0x1000);
            s[0] & 0xe000 == 0x2000 && !(protocol || documentation || s[0] == 0x2002)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reach, is_public};
    use routing::value::Namespace;

    #[test]
    fn a_namespace_reaches_its_own_and_what_is_allowed() {
        let namespace = Namespace {
            own_addresses: vec!["10.96.0.7".parse().unwrap(), "10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            allowed: vec!["192.168.4.0/24".parse().unwrap()],
            ..Namespace::default()
        };
        let reach = Reach::from(&namespace);
        for ip in ["10.0.0.1", "10.96.0.7", "::ffff:10.0.0.1", "fd00::1", "192.168.4.9", "::ffff:192.168.4.9"] {
            assert!(reach.has(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["10.0.0.2", "192.168.5.1", "127.0.0.1", "169.254.169.254", "fd00::2"] {
            assert!(!reach.has(ip.parse().unwrap()), "{ip}");
        }
        assert!(!Reach::default().has("10.0.0.1".parse().unwrap()));
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
            "192.88.99.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "2001:db8::1",
            "2001:0:a00:1::1",
            "3fff::1",
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
