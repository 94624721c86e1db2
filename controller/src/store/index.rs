//! Who contributes what under a key: the look-ups of the store that are not by an object's own name.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::layered::Map;

/// Key to owners to what each of them says.
#[derive(Debug)]
pub(crate) struct Index<'a, K, O, C> {
    entries: Map<'a, K, BTreeMap<O, C>>,
}

/// Entries of an index: key, owner, content.
pub(crate) type Entries<K, O, C> = Vec<(K, O, C)>;

impl<K, O, C> Default for Index<'_, K, O, C> {
    fn default() -> Self {
        Self { entries: Map::default() }
    }
}

impl<'l, K: Hash + Eq + Clone, O: Ord + Clone, C: PartialEq + Clone> Index<'l, K, O, C> {
    /// The same, to be changed without it.
    pub(crate) fn over(base: &'l Index<'l, K, O, C>) -> Self {
        Self { entries: Map::over(&base.entries) }
    }

    /// Takes one object's `old` entries out and puts its `new` ones in; `touched` hears of each key whose entries are
    /// different afterwards.
    pub(crate) fn replace(&mut self, old: Entries<K, O, C>, new: Entries<K, O, C>, mut touched: impl FnMut(&K)) {
        let mut kept = HashMap::new();
        for (key, owner, content) in new {
            kept.entry(key).or_insert_with(BTreeMap::new).entry(owner).or_insert(content);
        }
        for (key, owner, _) in old {
            if kept.get(&key).is_some_and(|owners| owners.contains_key(&owner)) {
                continue;
            }
            let Some(owners) = self.entries.get_mut(&key) else { continue };
            if owners.remove(&owner).is_some() {
                touched(&key);
            }
            if owners.is_empty() {
                self.entries.remove(&key);
            }
        }
        for (key, owners) in kept {
            let entries = self.entries.get_or_insert(key.clone(), BTreeMap::new);
            for (owner, content) in owners {
                if entries.get(&owner) != Some(&content) {
                    entries.insert(owner, content);
                    touched(&key);
                }
            }
        }
    }

    /// The owners under a key and what they say, in the owners' order.
    pub(crate) fn get<'a>(&'a self, key: &K) -> impl DoubleEndedIterator<Item = (&'a O, &'a C)> + use<'a, 'l, K, O, C> {
        self.entries.get(key).into_iter().flatten()
    }

    /// Whether anyone says anything under a key.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.entries.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn only_keys_that_differ_are_touched() {
        let mut index = Index::default();
        let mut check = |old: &[(char, i32, i32)], new: &[(char, i32, i32)], expected: &str| {
            let mut touched = Vec::new();
            index.replace(old.to_vec(), new.to_vec(), |k| touched.push(*k));
            touched.sort_unstable();
            touched.dedup();
            assert_eq!(touched.iter().collect::<String>(), expected, "{old:?} {new:?}");
        };
        let first = [('a', 1, 1), ('b', 1, 1)];
        check(&[], &first, "ab");
        check(&first, &first, "");
        check(&[], &[('a', 2, 5)], "a");
        check(&first, &[('a', 1, 1), ('c', 1, 1)], "bc");
        check(&[('a', 2, 5)], &[('a', 2, 6)], "a");
        check(&[('a', 2, 6)], &[], "a");
        assert_eq!(index.get(&'a').collect::<Vec<_>>(), [(&1, &1)]);
        assert!(!index.has(&'b'));
    }
}
