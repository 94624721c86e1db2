//! Who has read which fact: the reverse of the readers' records.

use std::collections::{HashMap, HashSet};

use slab::Slab;

use crate::store::Fact;

/// A number that stands for a goal.
pub(super) type NodeId = usize;
/// A number that stands for a fact, as long as someone has read it.
pub(super) type FactId = usize;

/// Facts by number, since a fact's name is long and most facts have many readers.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    ids: HashMap<Fact, FactId>,
    facts: Slab<(Fact, HashSet<NodeId>)>,
}

impl Dependents {
    /// Replaces what a goal has read. Returns the facts' numbers, sorted: the next call's `old`.
    pub(super) fn record(&mut self, node: NodeId, old: &[FactId], reads: Vec<Fact>) -> Vec<FactId> {
        let mut new: Vec<FactId> = reads.into_iter().map(|fact| self.id(fact)).collect();
        new.sort_unstable();
        new.dedup();
        if new == old {
            return new;
        }
        for id in &new {
            self.facts[*id].1.insert(node);
        }
        for id in old.iter().filter(|id| new.binary_search(id).is_err()) {
            self.facts[*id].1.remove(&node);
            if self.facts[*id].1.is_empty() {
                let (fact, _) = self.facts.remove(*id);
                self.ids.remove(&fact);
            }
        }
        new
    }

    /// The goals that have read a fact.
    pub(super) fn of(&self, fact: &Fact) -> impl Iterator<Item = NodeId> {
        let readers = self.ids.get(fact).map(|id| &self.facts[*id].1);
        readers.into_iter().flatten().copied()
    }

    fn id(&mut self, fact: Fact) -> FactId {
        if let Some(id) = self.ids.get(&fact) {
            return *id;
        }
        let id = self.facts.insert((fact.clone(), HashSet::new()));
        self.ids.insert(fact, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::Dependents;
    use crate::store::Fact;

    #[test]
    fn the_record_is_reversed_and_forgotten() {
        let mut dependents = Dependents::default();
        let fact = |name: &str| Fact::Class(name.into());
        let readers = |d: &Dependents, name: &str| {
            let mut found: Vec<_> = d.of(&fact(name)).collect();
            found.sort_unstable();
            found
        };
        let one = dependents.record(1, &[], vec![fact("a"), fact("b"), fact("a")]);
        let two = dependents.record(2, &[], vec![fact("b")]);
        assert_eq!((readers(&dependents, "a"), readers(&dependents, "b")), (vec![1], vec![1, 2]));
        let one = dependents.record(1, &one, vec![fact("c")]);
        assert_eq!((readers(&dependents, "a"), readers(&dependents, "b")), (vec![], vec![2]));
        dependents.record(1, &one, vec![]);
        dependents.record(2, &two, vec![]);
        assert!(dependents.ids.is_empty() && dependents.facts.is_empty());
    }
}
