//! The problems of each object, whichever goal told them.

use std::collections::{BTreeMap, BTreeSet};

use super::dependents::NodeId;
use crate::layered::Map;
use crate::problem::{ObjectRef, Problem};

/// Problems by object and by the goal that told them.
#[derive(Debug, Default)]
pub(super) struct Problems<'a> {
    told: Map<'a, ObjectRef, BTreeMap<NodeId, Vec<Problem>>>,
    changed: BTreeSet<ObjectRef>,
}

impl<'l> Problems<'l> {
    /// The same, to be changed without it.
    pub(super) fn over(base: &'l Problems<'l>) -> Self {
        Self { told: Map::over(&base.told), changed: BTreeSet::new() }
    }

    /// Replaces what a goal tells.
    pub(super) fn replace(&mut self, node: NodeId, old: &[Problem], new: &[Problem]) {
        if old == new {
            return;
        }
        for problem in old {
            self.changed.insert(problem.object.clone());
            if let Some(by_node) = self.told.get_mut(&problem.object) {
                by_node.remove(&node);
                if by_node.is_empty() {
                    self.told.remove(&problem.object);
                }
            }
        }
        for problem in new {
            self.changed.insert(problem.object.clone());
            let by_node = self.told.get_or_insert(problem.object.clone(), BTreeMap::new);
            by_node.entry(node).or_default().push(problem.clone());
        }
    }

    /// An object's problems in the order of their fields, each once.
    pub(super) fn of(&self, object: &ObjectRef) -> Vec<Problem> {
        let told = self.told.get(object).into_iter().flat_map(BTreeMap::values).flatten();
        told.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// How many objects have one.
    pub(super) fn count(&self) -> usize {
        self.told.iter().count()
    }

    /// All problems, by object.
    pub(super) fn all(&self) -> Vec<Problem> {
        let objects: BTreeSet<&ObjectRef> = self.told.iter().map(|(object, _)| object).collect();
        objects.into_iter().flat_map(|object| self.of(object)).collect()
    }

    /// The objects whose problems have changed since the last call, with their problems now.
    pub(super) fn take_changed(&mut self) -> BTreeMap<ObjectRef, Vec<Problem>> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|object| (object.clone(), self.of(&object))).collect()
    }
}
