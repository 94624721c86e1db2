//! Why a request has the route that it has: for `moongate explain`, and to find out why a rule is not taken.

use std::cmp::Reverse;

use super::tree::{Entry, Rank};
use super::{ANY_HOST, Found, Host, Router};

/// A rule that was considered for a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate<'a, T> {
    /// The rule.
    pub route: Found<'a, T>,
    /// What became of it.
    pub verdict: Verdict,
}

/// Why a candidate won or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// It serves the request.
    #[error("serves the request")]
    Serves,
    /// It matches less of the path than the one that serves.
    #[error("matches less of the path")]
    Shorter,
    /// It matches as much, but Exact goes before Prefix, and Prefix before ImplementationSpecific.
    #[error("matches as much of the path, but its pathType comes later")]
    LaterKind,
    /// Prefix `/foo` where there is `/foo/`.
    #[error("matches as much of the path, but is spelled shorter")]
    ShorterSpelling,
    /// The same path in another spelling (`/%7Ea` and `/~a`), later in byte order.
    #[error("is the same path in another spelling, later in byte order")]
    OtherSpelling,
    /// An Exact rule that differs from the path in its end, a trailing slash above all.
    #[error("is Exact, and the path is not equal to it")]
    NotEqual,
    /// A Prefix rule that ends inside an element of the path: `/foo` and `/foobar`.
    #[error("is a Prefix that ends inside an element of the path")]
    InsideElement,
    /// It belongs to a host that was not chosen, since there is a more specific one.
    #[error("belongs to a less specific host")]
    LessSpecificHost,
    /// A default backend that was not needed.
    #[error("is a default backend, and there is a better match")]
    NotNeeded,
}

/// A rule at its place in the walk of a path.
struct Step<'a, T> {
    entry: &'a Entry<T>,
    depth: usize,
    matched: Option<usize>,
}

pub(super) fn explain<'a, T: Clone>(router: &'a Router<T>, host: &str, path: &str) -> Vec<Candidate<'a, T>> {
    let mut entries = router.entries_for(host).map(|(_, h)| h);
    let Some(chosen) = entries.next() else { return Vec::new() };
    let mut out = Vec::new();
    let steps = steps(chosen, path);
    for step in &steps {
        let verdict = verdict(step, &steps[0]);
        out.push(Candidate { route: chosen.found(step.entry), verdict });
    }
    let any = router.names.get(ANY_HOST).map(|h| &**h).filter(|h| h.name != chosen.name);
    for host in [Some(chosen), any].into_iter().flatten() {
        for entry in &host.defaults {
            let is_first = out.iter().all(|c| c.verdict != Verdict::Serves);
            let verdict = if is_first { Verdict::Serves } else { Verdict::NotNeeded };
            out.push(Candidate { route: host.found(entry), verdict });
        }
    }
    for host in entries {
        let rules = self::steps(host, path).into_iter().filter(|s| s.matched.is_some()).map(|s| s.entry);
        // The defaults of `*` stand above: they are considered for every host.
        let defaults = host.defaults.iter().filter(|_| &*host.name != ANY_HOST);
        let lost = |e| Candidate { route: host.found(e), verdict: Verdict::LessSpecificHost };
        out.extend(rules.chain(defaults).map(lost));
    }
    out
}

/// The rules of a host that match, in order of precedence, then those that nearly do.
fn steps<'a, T>(host: &'a Host<T>, path: &str) -> Vec<Step<'a, T>> {
    let mut steps = Vec::new();
    host.paths.walk(path.as_bytes(), |depth, entries| {
        let step = |entry: &'a Entry<T>| Step { entry, depth, matched: entry.matched(path.as_bytes(), depth) };
        steps.extend(entries.iter().map(step));
    });
    // The rule that a user most often takes for a match.
    let with_slash = format!("{path}/");
    let exact = host.paths.at(with_slash.as_bytes()).iter().filter(|e| e.rank == Rank::Exact);
    steps.extend(exact.map(|entry| Step { entry, depth: with_slash.len(), matched: None }));
    // The sort is stable: within a node, entries are in order of preference.
    steps.sort_by_key(|s| (s.matched.is_none(), Reverse(s.matched), s.entry.rank, Reverse(s.depth)));
    steps
}

fn verdict<T>(step: &Step<'_, T>, first: &Step<'_, T>) -> Verdict {
    let same_kind = step.entry.rank.kind() == first.entry.rank.kind();
    match step.matched {
        None if step.entry.rank == Rank::Exact => Verdict::NotEqual,
        None => Verdict::InsideElement,
        Some(_) if std::ptr::eq(step.entry, first.entry) => Verdict::Serves,
        matched if matched < first.matched => Verdict::Shorter,
        _ if !same_kind => Verdict::LaterKind,
        _ if (step.entry.rank, step.depth) != (first.entry.rank, first.depth) => Verdict::ShorterSpelling,
        _ => Verdict::OtherSpelling,
    }
}
