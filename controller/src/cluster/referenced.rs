//! Which objects are named by others, and what is known of each: the bookkeeping for Secrets and ConfigMaps.

use std::collections::HashMap;

use tokio::task::AbortHandle;

use super::Reference;
use crate::store::ObjectId;

/// What other objects name.
#[derive(Default)]
pub(super) struct Referenced {
    /// By who names.
    named: HashMap<ObjectId, Vec<Reference>>,
    wanted: HashMap<ObjectId, Wanted>,
}

/// An object that is named.
#[derive(Default)]
pub(super) struct Wanted {
    namers: usize,
    data_namers: usize,
    /// The watch that tells all of it.
    pub(super) source: Option<usize>,
    /// Of what is known; 0: it is not there, or nothing is known.
    pub(super) version: u64,
    /// The newest version that is known to exist.
    pub(super) hint: u64,
    /// Something is known: that it is there, that it is not, or that it cannot be told.
    pub(super) answered: bool,
    pub(super) fetch: Option<Fetch>,
    /// Failures of its fetch in a row.
    pub(super) failures: u32,
}

/// A fetch under way.
pub(super) struct Fetch {
    pub(super) ticket: u64,
    pub(super) task: AbortHandle,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wanted {
    /// Whether its data are needed whatever its labels say.
    pub(super) fn needs_data(&self) -> bool {
        self.data_namers > 0
    }
}

impl Referenced {
    /// Takes what an object names now. Which objects are wanted anew (or with data, which they were not before), and
    /// which no more.
    pub(super) fn name(&mut self, by: &ObjectId, now: Vec<Reference>) -> (Vec<ObjectId>, Vec<ObjectId>) {
        let before = match now.is_empty() {
            true => self.named.remove(by).unwrap_or_default(),
            false => self.named.insert(by.clone(), now.clone()).unwrap_or_default(),
        };
        if before == now {
            return Default::default();
        }
        let mut new = Vec::new();
        for Reference { id, data } in now {
            let wanted = self.wanted.entry(id.clone()).or_default();
            if wanted.namers == 0 || (data && !wanted.needs_data()) {
                // What was known of it is not enough.
                wanted.answered = false;
                new.push(id);
            }
            wanted.namers += 1;
            wanted.data_namers += usize::from(data);
        }
        let mut gone = Vec::new();
        for Reference { id, data } in before {
            let Some(wanted) = self.wanted.get_mut(&id) else { continue };
            wanted.namers -= 1;
            wanted.data_namers -= usize::from(data);
            if wanted.namers == 0 {
                self.wanted.remove(&id);
                gone.push(id);
            }
        }
        (new, gone)
    }

    pub(super) fn get_mut(&mut self, id: &ObjectId) -> Option<&mut Wanted> {
        self.wanted.get_mut(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectId, &Wanted)> {
        self.wanted.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Referenced;
    use crate::cluster::Reference;
    use crate::store::{Kind, ObjectId};
    use routing::ObjectName;

    fn id(kind: Kind, name: &str) -> ObjectId {
        ObjectId::new(kind, ObjectName::new("n", name))
    }

    fn secret(name: &str, data: bool) -> Reference {
        Reference { id: id(Kind::Secret, name), data }
    }

    #[test]
    fn an_object_is_wanted_from_its_first_namer_to_its_last() {
        let mut referenced = Referenced::default();
        let (one, two) = (id(Kind::Ingress, "one"), id(Kind::LuaPluginBinding, "two"));
        let mut check = |by: &ObjectId, names: &[Reference], new: &[&str], gone: &[&str]| {
            let ids = |names: &[&str]| names.iter().map(|n| id(Kind::Secret, n)).collect::<Vec<_>>();
            assert_eq!(referenced.name(by, names.to_vec()), (ids(new), ids(gone)), "{by:?} {names:?}");
        };
        check(&two, &[secret("a", false), secret("b", false)], &["a", "b"], &[]);
        check(&two, &[secret("a", false), secret("b", false)], &[], &[]);
        check(&one, &[secret("a", true)], &["a"], &[]);
        check(&two, &[secret("b", false), secret("b", false)], &[], &[]);
        check(&one, &[secret("c", true), secret("c", true)], &["c"], &["a"]);
        check(&two, &[], &[], &["b"]);
        check(&one, &[], &[], &["c"]);
        assert!(referenced.wanted.is_empty() && referenced.named.is_empty());
    }

    #[test]
    fn what_is_known_without_data_answers_nobody_who_needs_them() {
        let mut referenced = Referenced::default();
        let a = id(Kind::Secret, "a");
        let mut names = |by: &str, data| {
            referenced.name(&id(Kind::Ingress, by), vec![secret("a", data)]);
            std::mem::replace(&mut referenced.get_mut(&a).unwrap().answered, true)
        };
        assert!(!names("one", false), "new");
        assert!(names("two", false), "known");
        assert!(!names("three", true), "its data are needed now");
        assert!(names("four", true), "and known");
    }
}
