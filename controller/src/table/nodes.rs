//! The goals that are needed, by number.

use std::ops::{Index, IndexMut};

use super::Node;
use super::dependents::NodeId;
use crate::layered::Map;

/// Nodes by number; no number is used twice.
#[derive(Debug, Default)]
pub(super) struct Nodes<'a> {
    nodes: Map<'a, NodeId, Node>,
    next: NodeId,
}

impl<'l> Nodes<'l> {
    /// The same, to be changed without it.
    pub(super) fn over(base: &'l Nodes<'l>) -> Self {
        Self { nodes: Map::over(&base.nodes), next: base.next }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Node> {
        self.nodes.remove(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(|(_, node)| node)
    }
}

impl Index<NodeId> for Nodes<'_> {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        self.nodes.get(&id).expect("a number is kept no longer than its node")
    }
}

impl IndexMut<NodeId> for Nodes<'_> {
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a number is kept no longer than its node")
    }
}
