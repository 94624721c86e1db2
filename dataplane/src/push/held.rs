//! What the table has, as it was sent: values with the hashes of the controller's, of what took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use routing::key::PluginKey;
use routing::wire::{CommitFrame, Set};
use routing::{Change, Hash, Key, KeyProblem, ObjectName, Value};

mod plan;

use plan::Plan;

/// A value that is in effect.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) hash: Hash,
    pub(super) needs: Vec<String>,
    /// The controller could not tell the value, and there was none here.
    pub(super) stand_in: bool,
    pub(super) value: Arc<Value>,
}

/// What a controller sent between two commits: the last word on each key.
#[derive(Debug, Default)]
pub(super) struct Batch(pub(super) BTreeMap<Key, Step>);

/// A key's step.
#[derive(Debug)]
pub(super) enum Step {
    /// It has this value.
    Set(Entry),
    /// It cannot be told: what is good of it stays, and is reported with this hash.
    Keep(Hash),
    /// It has a value that this data plane does not understand.
    Unreadable(String),
    /// It is gone.
    Delete,
}

/// The table as of a commit. Cloning is cheap: writers to disk and streams keep what it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// What is in effect.
    pub(super) table: OrdMap<Key, Entry>,
    /// Term and counter of the last commit.
    pub(super) applied: Option<(u64, u64)>,
    /// Its resource versions.
    pub(super) versions: BTreeMap<String, String>,
    /// Another version wrote it: its hashes say nothing.
    pub(super) is_foreign: bool,
    /// Keys whose value is not understood.
    pub(super) unreadable: BTreeMap<Key, String>,
    /// Keys whose value the controller cannot tell, with the hash of what it said instead. What the table has of them is
    /// the last good value, where there was one.
    pub(super) untold: OrdMap<Key, Hash>,
    /// Keys of the table that the controller has no more. A value that stays needs them.
    pub(super) orphans: BTreeSet<Key>,
    /// Keys that failed. Where there is no last good value the server has a problem of them all the same.
    pub(super) failed: BTreeSet<Key>,
    /// Scripts that are gone, and that a plugin whose newer version fails still has: they are needed after a restart.
    pub(super) kept: BTreeMap<Hash, Entry>,
    /// Certificates that the last run had, and did not keep on disk; until a controller's first commit.
    pub(super) left_out: BTreeSet<ObjectName>,
}

impl Batch {
    pub(super) fn set(&mut self, set: Set) {
        let key = set.key.clone();
        let step = match set.missing() {
            Some(need) => Step::Unreadable(format!("this data plane does not have the feature {need:?}")),
            None => Step::Set(set.into()),
        };
        self.0.insert(key, step);
    }

    /// What it does.
    pub(super) fn plan(&self, held: &Held, commit: &CommitFrame) -> Plan {
        Plan::new(self, held, commit)
    }
}

impl From<Set> for Entry {
    fn from(set: Set) -> Self {
        Self { hash: set.hash, needs: set.needs, stand_in: set.stand_in, value: set.value }
    }
}

impl Held {
    /// The server has done a batch's plan; `failing` are all keys that do not have what was sent last.
    pub(super) fn apply(&mut self, batch: Batch, plan: Plan, commit: CommitFrame, failing: &[KeyProblem]) {
        let failed: BTreeSet<&Key> = failing.iter().map(|problem| &problem.key).collect();
        if commit.whole {
            self.unreadable.clear();
            self.untold.clear();
            self.failed.clear();
        }
        for (key, step) in batch.0 {
            self.unreadable.remove(&key);
            self.untold.remove(&key);
            self.failed.remove(&key);
            match step {
                Step::Set(entry) if !self.takes(&key, &entry) => drop(self.untold.insert(key, entry.hash)),
                Step::Set(entry) if !keeps_last(&key, &entry, &failed) => drop(self.table.insert(key, entry)),
                Step::Set(_) => drop(self.failed.insert(key)),
                Step::Keep(hash) => {
                    if !self.has_good(&key) {
                        self.table.remove(&key);
                    }
                    self.untold.insert(key, hash);
                }
                Step::Unreadable(why) => drop(self.unreadable.insert(key, why)),
                // The plan says whether it goes.
                Step::Delete => {}
            }
        }
        plan.gone.into_iter().for_each(|key| self.delete(key));
        self.orphans = plan.orphans;
        let used = self.scripts_of(failed.iter().filter_map(|key| plugin(key)));
        self.kept.retain(|hash, _| used.contains(hash) && !self.table.contains_key(&Key::Script(*hash)));
        (self.applied, self.versions, self.is_foreign) = (Some((commit.term, commit.counter)), commit.versions, false);
    }

    /// Keys that the server knows of though none of their values is held: a controller that has them no more must hear
    /// of them, to take them away.
    fn without_value(&self) -> impl Iterator<Item = &Key> {
        let known = self.unreadable.keys().chain(&self.failed).chain(self.untold.keys());
        known.filter(|key| !self.table.contains_key(*key))
    }

    /// What a controller that begins to lead is told: keys, and what was said of them last.
    pub(super) fn pairs(&self) -> Vec<(&Key, Hash)> {
        // No value has the hash of nothing.
        let none = Hash::of_bytes(b"");
        let of_value = |entry: &Entry| if self.is_foreign { none } else { entry.hash };
        let known = self.table.iter().filter(|(key, _)| !self.orphans.contains(*key));
        let known = known.map(|(key, entry)| (key, of_value(entry)));
        let rest = self.without_value().map(|key| (key, none));
        let said = |(key, hash)| (key, self.untold.get(key).copied().unwrap_or(hash));
        known.chain(rest).map(said).collect()
    }

    /// Whether what was sent is to take effect: a stand-in does only where nothing good is.
    fn takes(&self, key: &Key, entry: &Entry) -> bool {
        !entry.stand_in || !self.has_good(key)
    }

    fn has_good(&self, key: &Key) -> bool {
        self.table.get(key).is_some_and(|entry| !entry.stand_in)
    }

    fn delete(&mut self, key: Key) {
        if let (Some(entry), Key::Script(hash)) = (self.table.remove(&key), &key) {
            self.kept.insert(*hash, entry);
        }
    }

    /// The scripts of the versions of these plugins that are in effect.
    fn scripts_of<'a>(&self, plugins: impl Iterator<Item = &'a PluginKey>) -> BTreeSet<Hash> {
        let values = plugins.filter_map(|plugin| self.table.get(&Key::Plugin(plugin.clone())));
        let scripts = values.flat_map(|entry| match entry.value.as_ref() {
            Value::Plugin(plugin) => plugin.phases.values().chain(plugin.modules.values()).copied().collect(),
            _ => Vec::new(),
        });
        scripts.collect()
    }

    /// Everything as one commit, for the start.
    pub(super) fn commit(&self) -> routing::Commit {
        let (term, counter) = self.applied.unwrap_or_default();
        let changes = self.table.iter().map(|(key, entry)| Change::Set(key.clone(), entry.value.clone())).collect();
        routing::Commit { term, counter, changes }
    }

    /// Keys of the last run that fail now are not held.
    pub(super) fn drop_failed(&mut self, failed: &[KeyProblem]) {
        for KeyProblem { key, .. } in failed {
            self.table.remove(key);
            self.failed.insert(key.clone());
        }
    }
}

fn plugin(key: &Key) -> Option<&PluginKey> {
    match key {
        Key::Plugin(plugin) => Some(plugin),
        _ => None,
    }
}

/// Whether a key stays as it was: it failed, or it is the config of a plugin that did, since those are a pair.
fn keeps_last(key: &Key, entry: &Entry, failed: &BTreeSet<&Key>) -> bool {
    let is_of_failed = || match entry.value.as_ref() {
        Value::Binding(binding) => failed.contains(&Key::Plugin(binding.plugin.clone())),
        _ => false,
    };
    failed.contains(key) || is_of_failed()
}

#[cfg(test)]
mod tests;
