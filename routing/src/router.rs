//! Host and path to route. Semantics: Ingress v1 (KEP-1453), and where it leaves a choice, ingress-nginx's.
//!
//! 1. The host's entry: the exact name, else the wildcard one label up, else `*`. An IP address and an empty host have
//!    `*` only. Once an entry is chosen, rules of a less specific one are not looked at.
//! 2. In it the rule that matches most of the path, then Exact before Prefix before ImplementationSpecific, then the
//!    longer spelling.
//! 3. Else the entry's [`PathKind::Default`], else that of `*`, else nothing: 404.

use std::borrow::Cow;
use std::sync::Arc;

use crate::key::{PathKind, RouteKey};
use crate::path;

pub use explain::{Candidate, Verdict};
use tree::{Entry, Node, Rank};

mod explain;
mod tree;

/// The longest path of a rule, in bytes of its normal form; a rule beyond it is not routed. nginx's configuration could
/// not hold a longer one either, so no Ingress that worked has one. It bounds the depth of a host's tree, so that dropping
/// one, which is recursive, fits a thread's stack (a test has half of the usual 2 MiB).
pub const RULE_PATH_BYTES_MAX: usize = 4096;

/// The entry for everything that no other host's entry serves.
const ANY_HOST: &str = "*";

/// A routing table's routes, ready to be asked. A clone costs two reference counts and shares everything; a change to
/// one of them copies what it touches and is not seen by the other. Routers of the same routes are equal, whatever changes
/// led to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Router<T> {
    /// Exact names, and `*`.
    names: Hosts<T>,
    /// `*.example.com` by `example.com`.
    wildcards: Hosts<T>,
    len: usize,
}

// Keys are the table's, seeded per process: SipHash's strength against chosen keys is not needed for look-ups of a
// fixed set, and costs a fifth of a find.
type Hosts<T> =
    imbl::GenericHashMap<Arc<str>, Arc<Host<T>>, foldhash::fast::RandomState, imbl::shared_ptr::DefaultSharedPtr>;

/// The rules of one host's entry; never empty.
#[derive(Clone, Debug, PartialEq)]
struct Host<T> {
    /// As rules write it.
    name: Arc<str>,
    paths: Node<T>,
    /// `PathKind::Default`: one, unless keys differ in their path, which means nothing there.
    defaults: Vec<Entry<T>>,
}

/// The route of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a, T> {
    /// What was set for the key.
    pub value: &'a T,
    /// The host of the route's key: of the chosen entry, or `*` for the overall default backend.
    pub host: &'a str,
    /// The kind of the route's key.
    pub kind: PathKind,
    /// The path of the route's key, as written in the rule.
    pub path: &'a str,
}

/// The entry that serves a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMatch<'a> {
    /// Its own.
    Exact(&'a str),
    /// `*.example.com`
    Wildcard(&'a str),
    /// `*`
    Any,
}

impl<T> Found<'_, T> {
    /// The route's key. Allocates.
    pub fn key(&self) -> RouteKey {
        RouteKey { host: self.host.into(), kind: self.kind, path: self.path.into() }
    }
}

impl<T> Clone for Found<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Found<'_, T> {}

impl<'a> HostMatch<'a> {
    /// The entry's host as rules and `Key::Host` write it.
    pub fn name(self) -> &'a str {
        match self {
            Self::Exact(name) | Self::Wildcard(name) => name,
            Self::Any => ANY_HOST,
        }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { names: Hosts::default(), wildcards: Hosts::default(), len: 0 }
    }
}

impl<T: Clone> Router<T> {
    /// Routes of all hosts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hosts that have routes, sorted; wildcards as `*.example.com`, and `*`.
    pub fn hosts(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.names.values().chain(self.wildcards.values()).map(|h| &*h.name).collect();
        names.sort_unstable();
        names
    }

    /// The route of a request. `host` is as from [`path::normalize_host`], `path` as from [`path::normalize`]. Costs
    /// the length of both, whatever the number of routes, and allocates nothing.
    pub fn find(&self, host: &str, path: &str) -> Option<Found<'_, T>> {
        let any = || self.names.get(ANY_HOST).map(|h| &**h);
        let chosen = self.choose(host).map(|(_, h)| h);
        let own = chosen.and_then(|h| Some((h, h.paths.find(path.as_bytes()).or_else(|| h.defaults.first())?)));
        let (host, entry) = own.or_else(|| any().and_then(|h| Some((h, h.defaults.first()?))))?;
        Some(host.found(entry))
    }

    /// The entry that serves a normalised host; none when there is not even `*`.
    pub fn host_of(&self, host: &str) -> Option<HostMatch<'_>> {
        self.choose(host).map(|(matched, _)| matched)
    }

    /// Sets a route's value. False, and nothing is changed, when its path is beyond [`RULE_PATH_BYTES_MAX`]. Costs the
    /// path's length and the edges beside it, whatever the number of routes.
    pub fn set(&mut self, key: &RouteKey, value: T) -> bool {
        let Some((place, rank)) = place_of(key) else { return false };
        let (hosts, name) = self.hosts_of_mut(&key.host);
        let entry = Entry { rank, path: key.path.as_str().into(), value };
        let added = match hosts.get_mut(name) {
            Some(host) => Arc::make_mut(host).insert(&place, entry),
            None => {
                let mut host = Host::new(&key.host);
                host.insert(&place, entry);
                hosts.insert(name.into(), Arc::new(host));
                true
            }
        };
        self.len += usize::from(added);
        true
    }

    /// Takes a route away; false when there was none.
    pub fn remove(&mut self, key: &RouteKey) -> bool {
        let Some((place, rank)) = place_of(key) else { return false };
        let (hosts, name) = self.hosts_of_mut(&key.host);
        // Asked first, so that nothing is copied for a key that is not there.
        if !hosts.get(name).is_some_and(|h| h.has(&place, rank, &key.path)) {
            return false;
        }
        let Some(host) = hosts.get_mut(name) else { return false };
        let host = Arc::make_mut(host);
        host.remove(&place, rank, &key.path);
        if host.paths.is_empty() && host.defaults.is_empty() {
            hosts.remove(name);
        }
        self.len -= 1;
        true
    }

    /// Every rule that was considered for a request, in the order of consideration, with why it lost; at most one wins,
    /// and it is the one that [`Self::find`] returns. For people: it allocates.
    pub fn explain(&self, host: &str, path: &str) -> Vec<Candidate<'_, T>> {
        explain::explain(self, host, path)
    }

    fn hosts_of_mut<'k>(&mut self, host: &'k str) -> (&mut Hosts<T>, &'k str) {
        match host.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcards, parent),
            None => (&mut self.names, host),
        }
    }

    fn choose(&self, host: &str) -> Option<(HostMatch<'_>, &Host<T>)> {
        self.entries_for(host).next()
    }

    /// The entries that a host matches, the chosen one first.
    fn entries_for<'a>(&'a self, host: &str) -> impl Iterator<Item = (HostMatch<'a>, &'a Host<T>)> {
        let is_name = !host.is_empty() && host != ANY_HOST && !path::is_ip_literal(host);
        let exact = is_name.then(|| self.names.get(host)).flatten().map(|h| (HostMatch::Exact(&h.name), &**h));
        let parent = if is_name { host.split_once('.') } else { None };
        let wildcard = move || {
            let host = self.wildcards.get(parent?.1)?;
            Some((HostMatch::Wildcard(&host.name), &**host))
        };
        let any = || self.names.get(ANY_HOST).map(|h| (HostMatch::Any, &**h));
        // Lazily, since a request needs only the first.
        exact.into_iter().chain(std::iter::once_with(wildcard).flatten()).chain(std::iter::once_with(any).flatten())
    }
}

impl<T> Host<T> {
    fn new(name: &str) -> Self {
        Self { name: name.into(), paths: Node::default(), defaults: Vec::new() }
    }

    fn found<'a>(&'a self, entry: &'a Entry<T>) -> Found<'a, T> {
        Found { value: &entry.value, host: &self.name, kind: entry.rank.kind(), path: &entry.path }
    }

    fn has(&self, place: &[u8], rank: Rank, path: &str) -> bool {
        let entries = if rank == Rank::Default { &self.defaults } else { self.paths.at(place) };
        tree::position(entries, rank, path).is_ok()
    }
}

impl<T: Clone> Host<T> {
    /// Whether the entry is one more, rather than another value for one that was there.
    fn insert(&mut self, place: &[u8], entry: Entry<T>) -> bool {
        if entry.rank != Rank::Default {
            return self.paths.insert(place, entry);
        }
        tree::put(&mut self.defaults, entry)
    }

    fn remove(&mut self, place: &[u8], rank: Rank, path: &str) {
        if rank != Rank::Default {
            self.paths.remove(place, rank, path);
        } else if let Ok(at) = tree::position(&self.defaults, rank, path) {
            self.defaults.remove(at);
        }
    }
}

/// Where a route stands in its host's tree, and how it matches there.
fn place_of(key: &RouteKey) -> Option<(Cow<'_, [u8]>, Rank)> {
    let mut place = match path::normalize_rule(&key.path) {
        Cow::Borrowed(p) => Cow::Borrowed(p.as_bytes()),
        Cow::Owned(p) => Cow::Owned(p.into_bytes()),
    };
    if place.len() > RULE_PATH_BYTES_MAX {
        return None;
    }
    let rank = match key.kind {
        PathKind::Exact => Rank::Exact,
        PathKind::ImplementationSpecific => Rank::String,
        PathKind::Default => Rank::Default,
        PathKind::Prefix if place.ends_with(b"/") => Rank::PrefixSlash,
        PathKind::Prefix => Rank::Prefix,
    };
    if rank == Rank::PrefixSlash {
        match &mut place {
            Cow::Borrowed(p) => *p = &p[..p.len() - 1],
            Cow::Owned(p) => drop(p.pop()),
        }
    }
    Some((place, rank))
}
