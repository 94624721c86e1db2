//! What an Ingress claims: routes, hosts and certificates.

use routing::{ObjectName, PathKind, RouteKey};

use super::index::Entries;
use super::object::{Age, Backend, Ingress};

/// Where in an Ingress a route is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `spec.rules[rule].http.paths[path]`
    Path {
        /// Index of the rule.
        rule: u32,
        /// Index of the path in it.
        path: u32,
    },
    /// `spec.defaultBackend`
    DefaultBackend,
}

impl Place {
    /// The field of the backend.
    pub fn backend(&self) -> String {
        match self {
            Self::Path { .. } => format!("{self}.backend"),
            Self::DefaultBackend => self.to_string(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path { rule, path } => write!(f, "spec.rules[{rule}].http.paths[{path}]"),
            Self::DefaultBackend => f.write_str("spec.defaultBackend"),
        }
    }
}

/// An Ingress's claim to the certificate of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClaim {
    /// A Secret of the Ingress's namespace; none: the default certificate.
    pub secret: Option<String>,
    /// The host is named in the entry's `hosts`. Otherwise a rule names the host, and the certificate counts only if
    /// it is valid for it, as in ingress-nginx.
    pub named: bool,
}

/// A path of an Ingress, and the Service that it goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathTo {
    /// The Service, of the Ingress's namespace.
    pub service: String,
    /// The rule's host; `*` for a rule without one, and for the default backend.
    pub host: String,
    /// The path; `/` for the default backend.
    pub path: String,
}

/// Who claims a route: the oldest Ingress wins, and within one the first place.
pub type Claimant = (Age, Place);

/// The routes that an Ingress claims.
///
/// A default backend is a route of kind Default: of each host that the rules name, or of `*` where there are no rules.
/// So is a rule without `http`.
pub(crate) fn routes(ingress: &Ingress) -> Entries<RouteKey, Claimant, Backend> {
    let age = &ingress.header.age;
    let mut claims = Vec::new();
    for (rule_index, rule) in (0..).zip(&ingress.rules) {
        for (path_index, path) in (0..).zip(rule.paths.iter().flatten()) {
            let key = RouteKey { host: rule.host.clone(), kind: path.kind, path: path.path.clone() };
            let place = Place::Path { rule: rule_index, path: path_index };
            claims.push((key, (age.clone(), place), path.backend.clone()));
        }
    }
    let Some(backend) = &ingress.default_backend else { return claims };
    let everything = ["*".to_owned()];
    let hosts: Vec<&String> = match ingress.rules.is_empty() {
        true => everything.iter().collect(),
        false => ingress.rules.iter().map(|r| &r.host).collect(),
    };
    for host in hosts {
        // The same host twice is the same entry twice.
        let key = RouteKey { host: host.clone(), kind: PathKind::Default, path: "/".into() };
        claims.push((key, (age.clone(), Place::DefaultBackend), backend.clone()));
    }
    claims
}

/// The Services that an Ingress sends its paths to.
pub(crate) fn backends(ingress: &Ingress) -> Entries<ObjectName, PathTo, ()> {
    let paths = ingress.rules.iter().flat_map(|rule| {
        rule.paths.iter().flatten().map(|path| (rule.host.as_str(), path.path.as_str(), &path.backend))
    });
    let default = ingress.default_backend.iter().map(|backend| ("*", "/", backend));
    let all = paths.chain(default).filter_map(|(host, path, backend)| match backend {
        Backend::Service { name, .. } => {
            let to = PathTo { service: name.clone(), host: host.into(), path: path.into() };
            Some((ingress.header.age.name.clone(), to, ()))
        }
        Backend::Resource(_) => None,
    });
    all.collect()
}

/// The hosts that an Ingress names, in rules and in TLS; `*` for its default backend.
pub(crate) fn hosts(ingress: &Ingress) -> Entries<String, Age, ()> {
    let age = &ingress.header.age;
    let rules = ingress.rules.iter().map(|r| &r.host);
    let tls = ingress.tls.iter().flat_map(|t| &t.hosts);
    let mut hosts: Entries<String, Age, ()> = rules.chain(tls).map(|h| (h.clone(), age.clone(), ())).collect();
    if ingress.rules.is_empty() && ingress.default_backend.is_some() {
        hosts.push(("*".into(), age.clone(), ()));
    }
    hosts
}

/// The certificates that an Ingress claims, by host. The owner's number is the index in `spec.tls`.
pub(crate) fn certificates(ingress: &Ingress) -> Entries<String, (Age, u32), TlsClaim> {
    let age = &ingress.header.age;
    let mut claims = Vec::new();
    for (index, entry) in (0..).zip(&ingress.tls) {
        for host in &entry.hosts {
            claims.push((host.clone(), (age.clone(), index), TlsClaim { secret: entry.secret.clone(), named: true }));
        }
        if entry.secret.is_none() {
            continue;
        }
        let unnamed = ingress.rules.iter().filter(|r| r.host != "*" && !names(ingress, &r.host));
        for rule in unnamed {
            let claim = TlsClaim { secret: entry.secret.clone(), named: false };
            claims.push((rule.host.clone(), (age.clone(), index), claim));
        }
    }
    claims
}

fn names(ingress: &Ingress, host: &str) -> bool {
    ingress.tls.iter().flat_map(|t| &t.hosts).any(|h| h == host)
}
