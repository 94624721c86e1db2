//! What the table has, as it was sent: values with the hashes of the controller's, of what took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use routing::key::PluginKey;
use routing::wire::{self, CommitFrame, Set};
use routing::{Change, Hash, Key, KeyProblem, Value};

/// A value that is in effect.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) hash: Hash,
    pub(super) needs: Vec<String>,
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
    /// Keys that failed. Where there is no last good value the server has a problem of them all the same.
    pub(super) failed: BTreeSet<Key>,
    /// Scripts that are gone, and that a plugin whose newer version fails still has: they are needed after a restart.
    pub(super) kept: BTreeMap<Hash, Entry>,
}

impl Batch {
    pub(super) fn set(&mut self, set: Set) {
        let step = match set.missing() {
            Some(need) => Step::Unreadable(format!("this data plane does not have the feature {need:?}")),
            None => Step::Set(Entry { hash: set.hash, needs: set.needs, value: set.value }),
        };
        self.0.insert(set.key, step);
    }

    /// What the server is to do. Where there is no last good value, what is not understood is closed, not absent.
    pub(super) fn changes(&self, held: &Held, commit: &CommitFrame) -> Vec<Change> {
        let change = |(key, step): (&Key, &Step)| match step {
            Step::Set(entry) => Some(Change::Set(key.clone(), entry.value.clone())),
            Step::Delete => Some(Change::Delete(key.clone())),
            Step::Unreadable(_) if held.table.contains_key(key) => None,
            Step::Unreadable(why) => Some(Change::Set(key.clone(), Arc::new(wire::closed(key, None, why)?))),
        };
        let gone =
            held.table.keys().chain(held.without_value()).filter(|key| commit.whole && !self.0.contains_key(key));
        self.0.iter().filter_map(change).chain(gone.map(|key| Change::Delete(key.clone()))).collect()
    }
}

impl Held {
    /// The server has applied a batch; `failing` are all keys that do not have what was sent last.
    pub(super) fn apply(&mut self, batch: Batch, commit: CommitFrame, failing: &[KeyProblem]) {
        let failed: BTreeSet<&Key> = failing.iter().map(|problem| &problem.key).collect();
        if commit.whole {
            let gone: Vec<Key> = self.table.keys().filter(|key| !batch.0.contains_key(key)).cloned().collect();
            gone.into_iter().for_each(|key| self.delete(key));
            self.unreadable.clear();
            self.failed.clear();
        }
        for (key, step) in batch.0 {
            self.unreadable.remove(&key);
            self.failed.remove(&key);
            match step {
                Step::Set(entry) if !keeps_last(&key, &entry, &failed) => drop(self.table.insert(key, entry)),
                Step::Set(_) => drop(self.failed.insert(key)),
                Step::Unreadable(why) => drop(self.unreadable.insert(key, why)),
                Step::Delete => self.delete(key),
            }
        }
        let used = self.scripts_of(failed.iter().filter_map(|key| plugin(key)));
        self.kept.retain(|hash, _| used.contains(hash) && !self.table.contains_key(&Key::Script(*hash)));
        (self.applied, self.versions, self.is_foreign) = (Some((commit.term, commit.counter)), commit.versions, false);
    }

    /// Keys that the server knows of though none of their values is held: a controller that has them no more must hear
    /// of them, to take them away.
    pub(super) fn without_value(&self) -> impl Iterator<Item = &Key> {
        self.unreadable.keys().chain(&self.failed).filter(|key| !self.table.contains_key(*key))
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
