//! The paths of one host: a persistent radix tree over the bytes of their normal form.
//!
//! A look-up walks the request's path once and sees every rule whose path begins it, so it costs the path's length,
//! however many rules there are. A change copies the nodes from the root to its place and shares all others with the
//! tree that it was made from.

use std::sync::Arc;

use crate::key::PathKind;

/// How an entry matches at the node that holds it. In the order in which entries of one node are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The request ends at the node.
    Exact,
    /// A Prefix written with a trailing `/`, which matches without it: its node is the path before the slash.
    PrefixSlash,
    /// A Prefix written without it.
    Prefix,
    /// ImplementationSpecific: every request that reaches the node.
    String,
    /// Not in the tree: what nothing in it matches.
    Default,
}

/// A rule: its value and what it is called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry<T> {
    pub(super) rank: Rank,
    /// The path as written. Two spellings of one path (`/%7Ea` and `/~a`) are two entries; the first in byte order
    /// serves, so that the outcome does not depend on which came first.
    pub(super) path: Arc<str>,
    pub(super) value: T,
}

/// The root's label is empty; every other node has a label, and an entry or at least two edges. So a set of rules has
/// one tree, whatever changes led to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node<T> {
    label: Arc<[u8]>,
    /// Ordered by `first`.
    edges: Vec<Edge<T>>,
    entries: Vec<Entry<T>>,
}

#[derive(Debug, PartialEq)]
struct Edge<T> {
    /// The first byte of the node's label, here so that the search for it reads no other node.
    first: u8,
    node: Arc<Node<T>>,
}

impl<T> Clone for Edge<T> {
    fn clone(&self) -> Self {
        Self { first: self.first, node: self.node.clone() }
    }
}

impl Rank {
    pub(super) fn kind(self) -> PathKind {
        match self {
            Self::Exact => PathKind::Exact,
            Self::PrefixSlash | Self::Prefix => PathKind::Prefix,
            Self::String => PathKind::ImplementationSpecific,
            Self::Default => PathKind::Default,
        }
    }
}

impl<T> Entry<T> {
    /// How many bytes of `path` the rule matches, when its node is at `depth` bytes of it.
    ///
    /// Precedence between rules is by this length, then [`Rank`], then depth (so that of two Prefix rules that match
    /// equally much, `/foo` and `/foo/` on `/foo`, the longer spelling wins, and Exact `/foo` beats both).
    pub(super) fn matched(&self, path: &[u8], depth: usize) -> Option<usize> {
        let next = path.get(depth);
        let ends_element = matches!(next, None | Some(b'/'));
        match self.rank {
            Rank::Exact => next.is_none().then_some(depth),
            Rank::PrefixSlash => ends_element.then_some((depth + 1).min(path.len())),
            Rank::Prefix => ends_element.then_some(depth),
            Rank::String => Some(depth),
            Rank::Default => None,
        }
    }
}

/// The place of an entry among those of one node.
pub(super) fn position<T>(entries: &[Entry<T>], rank: Rank, path: &str) -> Result<usize, usize> {
    entries.binary_search_by(|e| (e.rank, &*e.path).cmp(&(rank, path)))
}

/// Puts an entry among those of one node. False when it took the place of one with its rank and spelling.
pub(super) fn put<T>(entries: &mut Vec<Entry<T>>, entry: Entry<T>) -> bool {
    match position(entries, entry.rank, &entry.path) {
        Ok(at) => entries[at] = entry,
        Err(at) => {
            entries.insert(at, entry);
            return true;
        }
    }
    false
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { label: Arc::from([]), edges: Vec::new(), entries: Vec::new() }
    }
}

impl<T> Node<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.entries.is_empty()
    }

    /// The entry that serves a path. Costs the path's length.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Entry<T>> {
        let mut best: Option<(usize, &Entry<T>)> = None;
        self.walk(path, |depth, entries| {
            // Entries of one node are in order of preference, and a deeper node wins a tie.
            let Some((matched, entry)) = entries.iter().find_map(|e| Some((e.matched(path, depth)?, e))) else {
                return;
            };
            let wins = best.is_none_or(|(most, b)| matched > most || (matched == most && entry.rank <= b.rank));
            if wins {
                best = Some((matched, entry));
            }
        });
        best.map(|(_, entry)| entry)
    }

    /// Visits the entries of every node that is a prefix of `path`, shortest first.
    pub(super) fn walk<'a>(&'a self, path: &[u8], mut visit: impl FnMut(usize, &'a [Entry<T>])) {
        let (mut node, mut depth) = (self, 0);
        loop {
            if !node.entries.is_empty() {
                visit(depth, &node.entries);
            }
            let Some(first) = path.get(depth) else { return };
            let Ok(at) = node.edge(*first) else { return };
            node = &node.edges[at].node;
            if !path[depth..].starts_with(&node.label) {
                return;
            }
            depth += node.label.len();
        }
    }

    /// The entries whose place is exactly `place`.
    pub(super) fn at(&self, place: &[u8]) -> &[Entry<T>] {
        let mut found: &[Entry<T>] = &[];
        self.walk(place, |depth, entries| {
            if depth == place.len() {
                found = entries;
            }
        });
        found
    }

    fn edge(&self, first: u8) -> Result<usize, usize> {
        self.edges.binary_search_by_key(&first, |e| e.first)
    }
}

impl<T: Clone> Node<T> {
    /// Puts an entry at its place; see [`put`].
    pub(super) fn insert(&mut self, place: &[u8], entry: Entry<T>) -> bool {
        let (mut node, mut rest) = (self, place);
        while let Some(first) = rest.first() {
            let at = match node.edge(*first) {
                Ok(at) => at,
                Err(at) => {
                    let leaf = Self { label: rest.into(), edges: Vec::new(), entries: vec![entry] };
                    node.edges.insert(at, Edge { first: *first, node: Arc::new(leaf) });
                    return true;
                }
            };
            node = Arc::make_mut(&mut node.edges[at].node);
            let common = node.label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < node.label.len() {
                node.split(common);
            }
            rest = &rest[common..];
        }
        put(&mut node.entries, entry)
    }

    /// Takes an entry away; false, and nothing is copied, when there is none.
    pub(super) fn remove(&mut self, place: &[u8], rank: Rank, path: &str) -> bool {
        let Ok(entry) = position(self.at(place), rank, path) else { return false };
        let (mut node, mut rest) = (self, place);
        while let Some(first) = rest.first() {
            let at = node.edge(*first).expect("the walk above went this way");
            let label = node.edges[at].node.label.len();
            if label == rest.len() {
                Arc::make_mut(&mut node.edges[at].node).entries.remove(entry);
                node.tidy(at);
                return true;
            }
            rest = &rest[label..];
            node = Arc::make_mut(&mut node.edges[at].node);
        }
        node.entries.remove(entry);
        true
    }

    /// Drops or joins the child at `at`, and joins this node, where they are no longer needed.
    fn tidy(&mut self, at: usize) {
        let child = Arc::make_mut(&mut self.edges[at].node);
        if child.is_empty() {
            self.edges.remove(at);
        } else {
            child.join();
        }
        let is_root = self.label.is_empty();
        if !is_root {
            self.join();
        }
    }

    /// Divides the node after `at` bytes of its label; this one becomes the upper part.
    fn split(&mut self, at: usize) {
        let lower = Self {
            label: self.label[at..].into(),
            edges: std::mem::take(&mut self.edges),
            entries: std::mem::take(&mut self.entries),
        };
        self.edges = vec![Edge { first: lower.label[0], node: Arc::new(lower) }];
        self.label = self.label[..at].into();
    }

    /// Takes the only child's place, when there is nothing but it.
    fn join(&mut self) {
        if !self.entries.is_empty() || self.edges.len() != 1 {
            return;
        }
        let Some(edge) = self.edges.pop() else { return };
        let child = Arc::unwrap_or_clone(edge.node);
        self.label = [&*self.label, &*child.label].concat().into();
        self.edges = child.edges;
        self.entries = child.entries;
    }
}
