//! After any history of changes the table is what it would be if it were built from nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test they are how it fails; clippy knows only `#[test]` functions"
)]

mod history {
    pub(crate) mod objects;
}

use std::collections::{BTreeMap, BTreeSet};

use controller::store::{Object, ObjectId, Update};
use controller::table::Step;
use controller::translate::Options;
use controller::{ObjectRef, Problem, Translator};
use history::objects::{SLOTS, Slot};
use proptest::prelude::*;
use routing::{Change, Key, Table};

/// A translator, and what its steps have said so far.
struct Followed {
    translator: Translator,
    objects: BTreeMap<ObjectId, Object>,
    table: Table,
    stand_ins: BTreeSet<Key>,
    problems: BTreeMap<ObjectRef, Vec<Problem>>,
}

impl Followed {
    fn new() -> Self {
        let options = Options { watch_without_class: true, ..Options::default() };
        let translator = Translator::new(options);
        Self {
            translator,
            objects: BTreeMap::new(),
            table: Table::default(),
            stand_ins: BTreeSet::new(),
            problems: BTreeMap::new(),
        }
    }

    fn change(&mut self, updates: Vec<Update>) -> Step {
        for update in &updates {
            match update {
                Update::Apply(object) => drop(self.objects.insert(object.id(), object.clone())),
                Update::Delete(id) => drop(self.objects.remove(id)),
                Update::Unknown(_) => {}
            }
        }
        let step = self.translator.change(updates);
        self.table.apply(&step.changes);
        self.table.apply(&step.retold);
        let told = step.changes.iter().chain(&step.retold).map(Change::key);
        self.stand_ins.retain(|key| told.clone().all(|told| told != key));
        self.stand_ins.extend(step.stand_ins.clone());
        self.problems.extend(step.problems.clone());
        self.problems.retain(|_, problems| !problems.is_empty());
        assert_eq!(self.table, self.translator.table(), "the changes lead to the table");
        let problems: Vec<Problem> = self.problems.values().flatten().cloned().collect();
        assert_eq!(problems, self.translator.problems(), "the changed problems lead to the problems");
        step
    }

    /// The same objects in a new translator.
    fn rebuilt(&self) -> Self {
        let mut fresh = Self::new();
        fresh.change(self.objects.values().cloned().map(Update::Apply).collect());
        fresh
    }

    fn assert_is_as_rebuilt(&self) {
        let fresh = self.rebuilt();
        let missing = self.table.diff(&fresh.table);
        let there: Vec<_> = missing.iter().map(|change| self.table.0.get(change.key())).collect();
        assert!(missing.is_empty(), "{missing:#?}\nmissing; there was {there:#?}");
        assert_eq!(self.translator.problems(), fresh.translator.problems());
        assert_eq!(self.stand_ins, fresh.stand_ins);
    }
}

/// A change of one slot's object: one of its variants, or none.
fn update(slot: &Slot, variant: usize, is_good: bool) -> Update {
    let variants = (slot.variants)(is_good);
    match variants.into_iter().nth(variant) {
        Some(object) => Update::Apply(object),
        None => Update::Delete(slot.id()),
    }
}

/// Batches of (slot, variant); a variant beyond the last deletes.
fn histories() -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    let step = (0..SLOTS.len(), 0..7_usize);
    prop::collection::vec(prop::collection::vec(step, 1..6), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Without objects that keep a last good value, history leaves no trace at all, at no point.
    #[test]
    fn incremental_is_as_rebuilt(history in histories()) {
        let mut followed = Followed::new();
        for batch in history {
            followed.change(batch.iter().map(|(slot, variant)| update(&SLOTS[*slot], *variant, true)).collect());
            followed.assert_is_as_rebuilt();
        }
    }

    /// With them, what was bad for a while leaves no trace once it is good or gone.
    #[test]
    fn what_was_bad_leaves_no_trace(history in histories(), end in prop::collection::vec(0..7_usize, SLOTS.len())) {
        let mut followed = Followed::new();
        for batch in history {
            let change = |(slot, variant): &(usize, usize)| match *variant {
                6 => Update::Unknown(SLOTS[*slot].id()),
                variant => update(&SLOTS[*slot], variant, false),
            };
            followed.change(batch.iter().map(change).collect());
        }
        // In any order: one by one, so that what depends on another object sees it come and go.
        for (slot, variant) in SLOTS.iter().zip(end) {
            followed.change(vec![update(slot, variant, true)]);
        }
        followed.assert_is_as_rebuilt();
    }

    /// The order in which objects come does not matter.
    #[test]
    fn order_does_not_matter(variants in prop::collection::vec(0..7_usize, SLOTS.len())) {
        let mut followed = Followed::new();
        for (slot, variant) in SLOTS.iter().zip(variants).rev() {
            followed.change(vec![update(slot, variant, true)]);
        }
        followed.assert_is_as_rebuilt();
        followed.change(SLOTS.iter().map(|slot| Update::Delete(slot.id())).collect());
        assert_eq!(followed.table, Followed::new().rebuilt().table, "nothing is left of nothing");
    }
}
