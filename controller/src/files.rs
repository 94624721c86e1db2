//! Standalone input: YAML files as the source of objects, in place of an API server.
//!
//! Files are read as `kubectl apply` would, and validated as the API server would, since there is none to do it. What
//! is wrong costs as little as possible: a file that does not parse keeps its objects, an object that is not valid
//! keeps its last version, and only what is gone from a file that parses is deleted.

mod document;
mod pieces;
mod tree;
mod typed;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routing::Hash;

use crate::problem::{ObjectRef, Problem, Source};
use crate::store::{Object, ObjectId, Update};
use document::Document;
use tree::Node;

/// An object that did not come from a file, read and validated as one of a file: its name, the object if it is valid,
/// and what is wrong with it.
pub fn object(json: &serde_json::Value) -> (Option<ObjectId>, Option<Object>, Vec<Problem>) {
    let Document { id, object, problems, .. } = document::read_sent(&Node::of_json(json));
    (id, object, problems.into_iter().map(|(_, problem)| problem).collect())
}

/// Extensions of the files that are read of a directory; a file that is named is read whatever its name.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// A larger file is a mistake (a core dump, a log), not a manifest.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Directories below directories; more is a mistake.
const DEPTH_MAX: usize = 16;

/// The files that are read, and what each of them holds.
#[derive(Debug, Default)]
pub struct Set {
    roots: Vec<PathBuf>,
    files: BTreeMap<Arc<Path>, File>,
    /// Who has an object; of several, the first file's holds.
    holders: BTreeMap<ObjectId, BTreeMap<Arc<Path>, Held>>,
    /// Lines of fields that problems named, as long as their object stays.
    lines: BTreeMap<ObjectId, BTreeMap<String, u32>>,
}

/// A file as it was last read.
#[derive(Debug, Default)]
struct File {
    /// Of its text; the same text is not read again.
    hash: Option<Hash>,
    objects: BTreeSet<ObjectId>,
    problems: Vec<Problem>,
}

/// An object of a file.
#[derive(Clone, Debug)]
struct Held {
    line: u32,
    /// The last version that was valid; if there never was one, what stands for it, if anything does.
    object: Option<Object>,
}

/// What a reload finds.
#[derive(Default)]
struct Found {
    /// The objects that may have changed, as they were.
    before: BTreeMap<ObjectId, Option<Object>>,
    files: BTreeSet<Arc<Path>>,
    /// The directories on the way to what is looked at now, without links.
    way: Vec<PathBuf>,
    problems: Vec<Problem>,
}

impl Set {
    /// Reads files and directories. All of their objects, and what is wrong with the files.
    pub fn load(paths: &[PathBuf]) -> (Self, Vec<Update>, Vec<Problem>) {
        let mut set = Self { roots: paths.to_vec(), ..Self::default() };
        let (updates, problems) = set.reload(paths);
        (set, updates, problems)
    }

    /// Reads again what may have changed: files, or directories with all that is (and was) in them. What is different,
    /// and what is wrong with all the files now. Costs the files that changed, whatever the number of others.
    pub fn reload(&mut self, changed: &[PathBuf]) -> (Vec<Update>, Vec<Problem>) {
        let mut found = Found::default();
        for path in changed {
            self.collect(path, 0, &mut found);
        }
        let is_gone = |file: &&Arc<Path>| !found.files.contains(*file) && changed.iter().any(|c| file.starts_with(c));
        for file in self.files.keys().filter(is_gone).cloned().collect::<Vec<_>>() {
            self.forget(&file, &mut found);
            self.files.remove(&file);
        }
        for path in std::mem::take(&mut found.files) {
            self.read(&path, &mut found);
        }
        let updates = found.before.into_iter().filter_map(|(id, before)| match (self.effective(&id), before) {
            (Some(now), before) => (before.as_ref() != Some(now)).then(|| Update::Apply(now.clone())),
            (None, before) => before.map(|_| Update::Delete(id)),
        });
        let updates = updates.collect();
        let mut problems = found.problems;
        problems.extend(self.files.values().flat_map(|file| file.problems.iter().cloned()));
        problems.extend(self.duplicates());
        (updates, problems)
    }

    /// The files and directories that it was made with.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Puts file and line into problems of objects that the files hold.
    pub fn locate(&mut self, problems: &mut [Problem]) {
        let mut parsed: BTreeMap<Arc<Path>, Option<Vec<Node>>> = BTreeMap::new();
        for problem in problems.iter_mut().filter(|p| p.source.is_none()) {
            let Some(id) = ObjectId::of_reference(&problem.object) else { continue };
            let Some((path, held)) = self.holders.get(&id).and_then(BTreeMap::first_key_value) else { continue };
            let known = self.lines.get(&id).and_then(|lines| lines.get(&problem.field));
            let line = known.copied().unwrap_or_else(|| {
                let nodes = parsed.entry(path.clone()).or_insert_with(|| unchanged(path, self.files.get(path)?));
                let found = nodes.iter().flatten().find_map(|node| document::line_of(node, held.line, &problem.field));
                found.unwrap_or(held.line)
            });
            self.lines.entry(id).or_default().insert(problem.field.clone(), line);
            problem.source = Some(Source { file: path.clone(), line });
        }
    }

    /// What holds: of an object that several files have, the version of the first of them that has a valid one.
    fn effective(&self, id: &ObjectId) -> Option<&Object> {
        self.holders.get(id)?.values().find_map(|held| held.object.as_ref())
    }

    fn duplicates(&self) -> Vec<Problem> {
        let several = self.holders.iter().filter(|(_, holders)| holders.len() > 1);
        let problems = several.flat_map(|(id, holders)| {
            let first = holders.first_key_value().map_or(String::new(), |(path, held)| place(path, held.line));
            holders.iter().skip(1).map(move |(path, held)| duplicate(id, &first, path, held.line))
        });
        problems.collect()
    }

    /// Finds the files under a path.
    fn collect(&self, path: &Path, depth: usize, found: &mut Found) {
        if path.is_file() {
            let named = depth == 0 && (self.roots.iter().any(|r| r == path) || self.files.contains_key(path));
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if named || EXTENSIONS.contains(&extension) {
                found.files.insert(path.into());
            }
            return;
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            // What was removed is no problem unless it was asked for by name.
            Err(_) if !self.roots.iter().any(|root| root == path) => return,
            Err(e) => {
                let message = format!("{} cannot be read: {e}", path.display());
                found.problems.push(Problem::error(ObjectRef::none(), "", "FileNotReadable", message));
                return;
            }
        };
        // A link to a directory above leads to nothing new, however often it is followed.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if found.way.contains(&real) {
            return;
        }
        found.way.push(real);
        for entry in entries.flatten().map(|e| e.path()) {
            // Hidden files: editors' and git's; and `..data` of a mounted ConfigMap, whose links are beside it.
            let is_hidden = entry.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if !is_hidden && depth < DEPTH_MAX {
                self.collect(&entry, depth + 1, found);
            }
        }
        found.way.pop();
    }

    fn read(&mut self, path: &Arc<Path>, found: &mut Found) {
        let file = self.files.entry(path.clone()).or_default();
        let wrong = |line: u32, reason, message| {
            let source = Some(Source { file: path.clone(), line });
            Problem { source, ..Problem::error(ObjectRef::none(), "", reason, message) }
        };
        let text = match text(path) {
            Ok(text) => text,
            Err(e) => {
                file.hash = None;
                file.problems = vec![wrong(1, "FileNotReadable", format!("{e}; what it held before stays"))];
                return;
            }
        };
        let hash = Hash::of_bytes(text.as_bytes());
        if file.hash == Some(hash) {
            return;
        }
        match pieces::documents(&text) {
            Ok(documents) => {
                let old = self.forget(path, found);
                self.take(path, documents, &old, found);
                self.files.entry(path.clone()).or_default().hash = Some(hash);
            }
            Err(e) => {
                file.hash = None;
                let message = format!("is not YAML, so what it held before stays: {e}");
                file.problems = vec![wrong(e.line.max(1), "NotYaml", message)];
            }
        }
    }

    /// Takes a file's objects out, and returns them.
    fn forget(&mut self, path: &Arc<Path>, found: &mut Found) -> BTreeMap<ObjectId, Held> {
        let Some(file) = self.files.get_mut(path) else { return BTreeMap::new() };
        let mut old = BTreeMap::new();
        file.problems.clear();
        for id in std::mem::take(&mut file.objects) {
            self.remember(&id, found);
            self.lines.remove(&id);
            let Some(holders) = self.holders.get_mut(&id) else { continue };
            let held = holders.remove(path);
            if holders.is_empty() {
                self.holders.remove(&id);
            }
            old.extend(held.map(|held| (id, held)));
        }
        old
    }

    /// Notes how an object was before the reload.
    fn remember(&self, id: &ObjectId, found: &mut Found) {
        if !found.before.contains_key(id) {
            found.before.insert(id.clone(), self.effective(id).cloned());
        }
    }

    /// Takes the objects of a file's documents.
    fn take(&mut self, path: &Arc<Path>, documents: Vec<Document>, old: &BTreeMap<ObjectId, Held>, found: &mut Found) {
        let mut problems = Vec::new();
        for Document { line, id, object, unreadable, problems: own } in documents {
            let source = |line| Some(Source { file: path.clone(), line });
            problems.extend(own.into_iter().map(|(line, p)| Problem { source: source(line), ..p }));
            let Some(id) = id else { continue };
            self.remember(&id, found);
            let holders = self.holders.entry(id.clone()).or_default();
            if let Some(first) = holders.get(path) {
                problems.push(duplicate(&id, &place(path, first.line), path, line));
                continue;
            }
            let earlier = || old.get(&id).and_then(|held| held.object.clone()).filter(is_readable);
            let object = object.or_else(earlier).or(unreadable);
            holders.insert(path.clone(), Held { line, object });
            self.files.entry(path.clone()).or_default().objects.insert(id);
        }
        self.files.entry(path.clone()).or_default().problems = problems;
    }
}

/// Reads the objects of a text as of a file without a name: what is valid, and what is wrong with the rest.
pub fn read_text(text: &str) -> (Vec<Object>, Vec<Problem>) {
    let documents = match pieces::documents(text) {
        Ok(documents) => documents,
        Err(e) => return (Vec::new(), vec![Problem::error(ObjectRef::none(), "", "NotYaml", e.to_string())]),
    };
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for document in documents {
        objects.extend(document.object);
        problems.extend(document.problems.into_iter().map(|(_, problem)| problem));
    }
    (objects, problems)
}

fn is_readable(object: &Object) -> bool {
    !matches!(object, Object::Binding(binding) if binding.is_unreadable)
}

fn place(path: &Path, line: u32) -> String {
    format!("{}:{line}", path.display())
}

fn duplicate(id: &ObjectId, first: &str, path: &Arc<Path>, line: u32) -> Problem {
    let message = format!("is in the files twice; the one in {first} holds, remove one of the two");
    let source = Some(Source { file: path.clone(), line });
    Problem { source, ..Problem::error(id.reference(), "", "Duplicate", message) }
}

fn text(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("has {length} bytes; a manifest has at most {FILE_BYTES_MAX}"));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// The documents of a file, if it still has the text that was read.
fn unchanged(path: &Path, file: &File) -> Option<Vec<Node>> {
    let text = text(path).ok()?;
    let is_same = file.hash == Some(Hash::of_bytes(text.as_bytes()));
    is_same.then(|| tree::parse(&text).ok()).flatten()
}
