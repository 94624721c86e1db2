//! What a VM was given for objects of the table: compiled scripts, tables of configs and routes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::clock::FastHash;

/// Entries before the first look at which of them are still needed.
const LOOK_AT: usize = 16;

/// Things by the number of the object that they were made for. Each goes once its object is in no table and no request
/// any more: configs change without a new VM, and the VM has its limit.
pub(super) struct Loaded<T> {
    entries: HashMap<u64, Entry<T>, FastHash>,
    /// At so many entries those without an object go. Twice what was left the last time, so that it costs little
    /// however many there are.
    look_at: usize,
}

struct Entry<T> {
    thing: T,
    object: Weak<dyn Send + Sync>,
}

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self { entries: HashMap::default(), look_at: LOOK_AT }
    }
}

impl<T: Clone> Loaded<T> {
    pub(super) fn get(&self, id: u64) -> Option<T> {
        self.entries.get(&id).map(|entry| entry.thing.clone())
    }

    /// Keeps a thing for as long as there is its object.
    pub(super) fn keep<O: Send + Sync + 'static>(&mut self, id: u64, object: &Arc<O>, thing: T) {
        if self.entries.len() >= self.look_at {
            self.entries.retain(|_, entry| entry.object.strong_count() > 0);
            self.look_at = LOOK_AT.max(2 * self.entries.len());
        }
        let object: Weak<O> = Arc::downgrade(object);
        self.entries.insert(id, Entry { thing, object });
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{LOOK_AT, Loaded};

    #[test]
    fn what_has_no_object_any_more_goes() {
        let mut loaded = Loaded::default();
        let kept: Vec<Arc<()>> = (0..3).map(|_| Arc::new(())).collect();
        kept.iter().zip(0..).for_each(|(object, id)| loaded.keep(id, object, id));
        for id in 3..1000 {
            loaded.keep(id, &Arc::new(()), id);
            assert!(loaded.entries.len() <= LOOK_AT, "{} entries for 3 objects", loaded.entries.len());
        }
        assert_eq!([0, 1, 2].map(|id| loaded.get(id)), [Some(0), Some(1), Some(2)]);
        // Many that are needed are not looked at for each further one.
        let many: Vec<Arc<u64>> = (1000..1100).map(Arc::new).collect();
        many.iter().for_each(|id| loaded.keep(**id, id, **id));
        assert!(loaded.entries.len() >= 103 && loaded.look_at > 103);
    }
}
