//! Who has read which fact: the reverse of the readers' records.

use std::collections::HashSet;

use crate::layered::Map;
use crate::store::Fact;

/// A number that stands for a goal.
pub(super) type NodeId = usize;
/// A number that stands for a fact, as long as someone has read it.
pub(super) type FactId = usize;

/// Facts by number, since a fact's name is long and most facts have many readers.
#[derive(Debug, Default)]
pub(super) struct Dependents<'a> {
    ids: Map<'a, Fact, FactId>,
    facts: Map<'a, FactId, (Fact, HashSet<NodeId>)>,
    next: FactId,
}

impl<'l> Dependents<'l> {
    /// The same, to be changed without it.
    pub(super) fn over(base: &'l Dependents<'l>) -> Self {
        Self { ids: Map::over(&base.ids), facts: Map::over(&base.facts), next: base.next }
    }

    /// Replaces what a goal has read. Returns the facts' numbers, sorted: the next call's `old`.
    pub(super) fn record(&mut self, node: NodeId, old: &[FactId], reads: Vec<Fact>) -> Vec<FactId> {
        let mut new: Vec<FactId> = reads.into_iter().map(|fact| self.id(fact)).collect();
        new.sort_unstable();
        new.dedup();
        if new == old {
            return new;
        }
        for id in new.iter().filter(|id| old.binary_search(id).is_err()) {
            if let Some((_, readers)) = self.facts.get_mut(id) {
                readers.insert(node);
            }
        }
        for id in old.iter().filter(|id| new.binary_search(id).is_err()) {
            let Some((_, readers)) = self.facts.get_mut(id) else { continue };
            readers.remove(&node);
            if readers.is_empty()
                && let Some((fact, _)) = self.facts.remove(id)
            {
                self.ids.remove(&fact);
            }
        }
        new
    }

    /// The goals that have read a fact.
    pub(super) fn of(&self, fact: &Fact) -> impl Iterator<Item = NodeId> {
        let readers = self.ids.get(fact).and_then(|id| self.facts.get(id)).map(|(_, readers)| readers);
        readers.into_iter().flatten().copied()
    }

    /// Everything that somebody has read.
    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.ids.iter().map(|(fact, _)| fact)
    }

    fn id(&mut self, fact: Fact) -> FactId {
        if let Some(id) = self.ids.get(&fact) {
            return *id;
        }
        let id = self.next;
        self.next += 1;
        self.facts.insert(id, (fact.clone(), HashSet::new()));
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
        let readers = |d: &Dependents<'_>, name: &str| {
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
