//! What a batch does. A key that stays as it is although its controller cannot tell its value, or tells one that is not
//! understood here, is of use only with what its value names: that stays too, though the controller has none of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use routing::wire::{self, CommitFrame};
use routing::{Change, Key, Value, names};

use super::{Batch, Held, Step};

/// A batch's effect on what is held.
#[derive(Debug)]
pub(in crate::push) struct Plan {
    /// What the server is to do.
    pub(in crate::push) changes: Vec<Change>,
    /// Keys that go.
    pub(super) gone: Vec<Key>,
    /// Keys that the controller has no more, and that stay.
    pub(super) orphans: BTreeSet<Key>,
}

impl Plan {
    pub(super) fn new(batch: &Batch, held: &Held, commit: &CommitFrame) -> Self {
        let said = batch.0.iter().filter_map(|(key, step)| change(key, step, held));
        let is_dropped = |key: &&Key| match batch.0.get(*key) {
            Some(step) => matches!(step, Step::Delete),
            None => commit.whole || held.orphans.contains(*key),
        };
        // Without whole commits and orphans, nothing goes that the batch does not name.
        let unnamed = held.table.keys().chain(held.without_value()).take_while(|_| commit.whole).chain(&held.orphans);
        let dropped: BTreeSet<&Key> = batch.0.keys().chain(unnamed).filter(is_dropped).collect();
        let named = if dropped.is_empty() { BTreeSet::new() } else { named_by_what_stays(batch, held, commit) };
        let stays = |key: &&Key| named.contains(*key) && held.table.contains_key(*key);
        let (orphans, gone): (Vec<&Key>, Vec<&Key>) = dropped.into_iter().partition(stays);
        let changes = said.chain(gone.iter().map(|key| Change::Delete((*key).clone()))).collect();
        let (gone, orphans) = (gone.into_iter().cloned().collect(), orphans.into_iter().cloned().collect());
        Self { changes, gone, orphans }
    }
}

/// Where there is no last good value, what is not understood is closed, not absent.
fn change(key: &Key, step: &Step, held: &Held) -> Option<Change> {
    match step {
        Step::Set(entry) => held.takes(key, entry).then(|| Change::Set(key.clone(), entry.value.clone())),
        Step::Keep(_) => held.table.get(key).filter(|entry| entry.stand_in).map(|_| Change::Delete(key.clone())),
        Step::Unreadable(_) if held.table.contains_key(key) => None,
        Step::Unreadable(why) => Some(Change::Set(key.clone(), Arc::new(wire::closed(key, None, why)?))),
        Step::Delete => None,
    }
}

/// What the values that stay as they are name, and what that names in turn.
fn named_by_what_stays(batch: &Batch, held: &Held, commit: &CommitFrame) -> BTreeSet<Key> {
    let stays = |key: &&Key| match batch.0.get(*key) {
        Some(Step::Set(entry)) => !held.takes(key, entry),
        Some(Step::Keep(_) | Step::Unreadable(_)) => true,
        Some(Step::Delete) => false,
        None => !commit.whole,
    };
    let before = held.untold.keys().chain(held.unreadable.keys());
    let mut next: Vec<Key> = before.chain(batch.0.keys()).filter(stays).cloned().collect();
    let mut named = BTreeSet::new();
    while let Some(key) = next.pop() {
        let value = value_after(&key, batch, held);
        for name in value.map(|value| names(&key, value)).into_iter().flatten() {
            if named.insert(name.clone()) {
                next.push(name);
            }
        }
    }
    named
}

fn value_after<'a>(key: &Key, batch: &'a Batch, held: &'a Held) -> Option<&'a Value> {
    match batch.0.get(key) {
        Some(Step::Set(entry)) if held.takes(key, entry) => Some(&entry.value),
        _ => held.table.get(key).map(|entry| entry.value.as_ref()),
    }
}
