//! A map that may lie over another one, which it leaves as it is: what would be if something were added.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map, or the difference to one.
#[derive(Debug)]
pub(crate) struct Map<'a, K, V> {
    base: Option<&'a Map<'a, K, V>>,
    /// None: not there, whatever the base says. Without a base there is no such entry.
    own: HashMap<K, Option<V>>,
}

impl<K, V> Default for Map<'_, K, V> {
    fn default() -> Self {
        Self { base: None, own: HashMap::new() }
    }
}

impl<'a, K: Hash + Eq, V> Map<'a, K, V> {
    /// The same as `base`, to be changed without it.
    pub(crate) fn over(base: &'a Map<'a, K, V>) -> Self {
        Self { base: Some(base), own: HashMap::new() }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match (self.own.get(key), self.base) {
            (Some(own), _) => own.as_ref(),
            (None, Some(base)) => base.get(key),
            (None, None) => None,
        }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Every entry, in no order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&K, &V)> + '_> {
        let own = self.own.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        match self.base {
            None => Box::new(own),
            Some(base) => Box::new(own.chain(base.iter().filter(|(key, _)| !self.own.contains_key(*key)))),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Map<'_, K, V> {
    /// To change a value; one of the base is copied first.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some(base) = self.base
            && !self.own.contains_key(key)
        {
            self.own.insert(key.clone(), Some(base.get(key)?.clone()));
        }
        self.own.get_mut(key)?.as_mut()
    }

    /// To change a value, which is made if it is not there.
    pub(crate) fn get_or_insert(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let base = self.base;
        let own = self.own.entry(key);
        let own = own.or_insert_with_key(|key| base.and_then(|base| base.get(key)).cloned());
        own.get_or_insert_with(make)
    }

    /// Returns what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match (self.base, self.own.get(&key)) {
            (Some(base), None) => {
                let before = base.get(&key).cloned();
                self.own.insert(key, Some(value));
                before
            }
            _ => self.own.insert(key, Some(value)).flatten(),
        }
    }

    /// Returns what was there.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let Some(base) = self.base else { return self.own.remove(key).flatten() };
        let before = base.get(key);
        match before {
            // The base has it, or has had no say since.
            Some(before) => match self.own.insert(key.clone(), None) {
                Some(own) => own,
                None => Some(before.clone()),
            },
            None => self.own.remove(key).flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Map;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn content<'a>(map: &'a Map<'_, u8, u8>) -> BTreeMap<&'a u8, &'a u8> {
        map.iter().collect()
    }

    proptest! {
        /// A map over another behaves as a copy of it, and leaves it alone.
        #[test]
        fn it_is_a_copy_that_copies_nothing(
            base in prop::collection::btree_map(0..8u8, any::<u8>(), 0..8),
            steps in prop::collection::vec((0..4, 0..8u8, any::<u8>()), 0..40),
        ) {
            let mut below = Map::default();
            for (key, value) in &base {
                below.insert(*key, *value);
            }
            let mut copy = base.clone();
            let mut over = Map::over(&below);
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(over.insert(key, value), copy.insert(key, value)),
                    1 => prop_assert_eq!(over.remove(&key), copy.remove(&key)),
                    2 => prop_assert_eq!(over.get_mut(&key).map(|v| { *v ^= 1; *v }), copy.get_mut(&key).map(|v| { *v ^= 1; *v })),
                    _ => prop_assert_eq!(over.get_or_insert(key, || value), copy.entry(key).or_insert(value)),
                }
                prop_assert_eq!(over.get(&key), copy.get(&key));
                prop_assert_eq!(over.contains(&key), copy.contains_key(&key));
                prop_assert_eq!(content(&over), copy.iter().collect());
            }
            prop_assert_eq!(over.is_empty(), copy.is_empty());
            prop_assert_eq!(content(&below), base.iter().collect());
        }
    }
}
