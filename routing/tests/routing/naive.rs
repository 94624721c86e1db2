//! The semantics written down a second time, without any thought of cost: lists that are searched from end to end. What
//! the router and the normal forms are held against, here and in `fuzz/`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use routing::{PathKind, RouteKey};

/// A routing table as a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naive(pub(crate) BTreeMap<RouteKey, u32>);

impl Naive {
    /// The route of a request in normal form.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<(&RouteKey, u32)> {
        let chosen = self.host_of(host)?;
        let rules = self.0.iter().filter(|(k, _)| k.host == chosen && k.kind != PathKind::Default);
        let matching = rules.filter_map(|(key, value)| Some((matched(key, path)?, key, *value)));
        // Most of the path, then the kind, then the longer spelling; what is left is one path in several spellings.
        let best = matching.min_by_key(|(n, k, _)| (Reverse(*n), k.kind, Reverse(rule_path(&k.path).len()), &k.path));
        let default = |host: &str| self.0.iter().find(|(k, _)| k.host == host && k.kind == PathKind::Default);
        let default = || default(&chosen).or_else(|| default("*")).map(|(k, v)| (k, *v));
        best.map(|(_, k, v)| (k, v)).or_else(default)
    }

    /// The host entry that serves a host.
    pub(crate) fn host_of(&self, host: &str) -> Option<String> {
        let mut names = Vec::new();
        if !host.is_empty() && host.parse::<Ipv4Addr>().is_err() && !host.starts_with('[') {
            names.push(host.to_owned());
            let labels: Vec<&str> = host.split('.').collect();
            if labels.len() > 1 {
                names.push(format!("*.{}", labels[1..].join(".")));
            }
        }
        names.push("*".to_owned());
        names.into_iter().find(|name| self.0.keys().any(|k| k.host == *name))
    }

    /// The hosts that have routes.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = self.0.keys().map(|k| k.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

/// How many bytes of a path a rule matches.
fn matched(key: &RouteKey, path: &str) -> Option<usize> {
    let rule = rule_path(&key.path);
    let matches = match key.kind {
        PathKind::Exact => rule == path,
        PathKind::ImplementationSpecific => path.starts_with(&rule),
        PathKind::Prefix => {
            let rule: Vec<&str> = rule.strip_suffix('/').unwrap_or(&rule).split('/').collect();
            let path: Vec<&str> = path.split('/').collect();
            path.starts_with(&rule)
        }
        PathKind::Default => false,
    };
    matches.then(|| rule.len().min(path.len()))
}

/// The normal form of a rule's path.
fn rule_path(path: &str) -> String {
    let path = if path.is_empty() { "/" } else { path };
    units(path.as_bytes()).into_iter().map(spell).collect()
}

/// The normal form of a request's path, or nothing.
pub(crate) fn normalize(path: &[u8], merge_slashes: bool) -> Option<String> {
    if path.first() != Some(&b'/') {
        return None;
    }
    let mut text = String::new();
    for unit in units(path) {
        match unit {
            (true, 0) | (false, b'%' | b'#' | 0..=b' ' | 0x7f) => return None,
            unit => text.push_str(&spell(unit)),
        }
    }
    let mut segments: Vec<&str> = text[1..].split('/').collect();
    let is_directory = matches!(segments.last(), Some(&("" | "." | "..")));
    if merge_slashes {
        segments.retain(|s| !s.is_empty());
    } else if segments.last() == Some(&"") {
        segments.pop();
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments {
        match segment {
            "." => {}
            ".." => drop(kept.pop()?),
            s if s.starts_with("..;") => return None,
            s => kept.push(s),
        }
    }
    let mut out: String = kept.iter().map(|s| format!("/{s}")).collect();
    if is_directory {
        out.push('/');
    }
    Some(out)
}

/// The normal form of an authority, or nothing.
pub(crate) fn normalize_host(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?;
    let end_of_host = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at(end_of_host);
    if !port.is_empty() {
        let port = port.strip_prefix(':')?;
        let is_number = port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if !port.is_empty() && !is_number {
            return None;
        }
    }
    if let Some(address) = host.strip_prefix('[') {
        address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
        return Some(host.to_lowercase());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    (is_name || text.is_empty()).then(|| name.to_lowercase())
}

/// The bytes that a path stands for, each with whether it is written as an escape.
fn units(path: &[u8]) -> Vec<(bool, u8)> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < path.len() {
        let digits = path.get(i + 1..i + 3).filter(|d| path[i] == b'%' && d.iter().all(u8::is_ascii_hexdigit));
        match digits {
            Some(digits) => {
                let digits = std::str::from_utf8(digits).unwrap();
                out.push((true, u8::from_str_radix(digits, 16).unwrap()));
                i += 3;
            }
            None => {
                out.push((false, path[i]));
                i += 1;
            }
        }
    }
    out
}

/// How a byte, escaped or not, is spelled in normal form.
fn spell((escaped, byte): (bool, u8)) -> String {
    const UNRESERVED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const OTHERS: &str = "/!$&'()*+,;=:@";
    let byte_is_in = |set: &str| set.as_bytes().contains(&byte);
    if byte_is_in(UNRESERVED) || (!escaped && byte_is_in(OTHERS)) {
        return char::from(byte).to_string();
    }
    format!("%{byte:02X}")
}
