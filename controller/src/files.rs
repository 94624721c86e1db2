//! Standalone input: YAML files as the source of objects, in place of an API server.
//!
//! Files are read as `kubectl apply` would, and validated as the API server would, since there is none to do it. What
//! is wrong costs as little as possible: a file that does not parse keeps its objects, an object that is not valid
//! keeps its last version, and only what is gone from a file that parses is deleted.

mod document;
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

/// Extensions of the files that are read of a directory; a file that is named is read whatever its name.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// A larger file is a mistake (a core dump, a log), not a manifest.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Directories below directories; deeper ones are a loop of links.
const DEPTH_MAX: usize = 16;

/// The files that are read, and what each of them holds.
#[derive(Debug, Default)]
pub struct Set {
    roots: Vec<PathBuf>,
    files: BTreeMap<Arc<Path>, File>,
}

/// A file as it was last read.
#[derive(Debug, Default)]
struct File {
    /// Of its text; the same text is not read again.
    hash: Option<Hash>,
    /// Its objects, with their lines. Of an object that is not valid now, the last version that was.
    objects: BTreeMap<ObjectId, Held>,
    problems: Vec<Problem>,
}

/// An object of a file.
#[derive(Clone, Debug)]
struct Held {
    line: u32,
    /// None: there never was a valid version.
    object: Option<Object>,
}

impl Set {
    /// Reads files and directories. All of their objects, and what is wrong with the files.
    pub fn load(paths: &[PathBuf]) -> (Self, Vec<Update>, Vec<Problem>) {
        let mut set = Self { roots: paths.to_vec(), files: BTreeMap::new() };
        let (updates, problems) = set.reload(paths);
        (set, updates, problems)
    }

    /// Reads again what may have changed: files, or directories with all that is (and was) in them. What is different,
    /// and what is wrong with all the files now.
    pub fn reload(&mut self, changed: &[PathBuf]) -> (Vec<Update>, Vec<Problem>) {
        let before = self.effective();
        let mut lost = Vec::new();
        let mut seen = BTreeSet::new();
        for path in changed {
            self.collect(path, 0, &mut seen, &mut lost);
        }
        let gone =
            self.files.keys().filter(|file| !seen.contains(*file) && changed.iter().any(|c| file.starts_with(c)));
        for file in gone.cloned().collect::<Vec<_>>() {
            self.files.remove(&file);
        }
        for path in seen {
            self.read(&path);
        }
        let updates = difference(&before, &self.effective());
        let mut problems = lost;
        problems.extend(self.files.values().flat_map(|file| file.problems.iter().cloned()));
        problems.extend(self.duplicates());
        (updates, problems)
    }

    /// The files and directories that it was made with.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Puts file and line into problems of objects that the files hold.
    pub fn locate(&self, problems: &mut [Problem]) {
        let mut parsed: BTreeMap<&Arc<Path>, Option<Vec<Node>>> = BTreeMap::new();
        for problem in problems.iter_mut().filter(|p| p.source.is_none()) {
            let Some((path, file, held)) = self.find(&problem.object) else { continue };
            let nodes = parsed.entry(path).or_insert_with(|| unchanged(path, file));
            let line = nodes.iter().flatten().find_map(|node| document::line_of(node, held.line, &problem.field));
            problem.source = Some(Source { file: path.clone(), line: line.unwrap_or(held.line) });
        }
    }

    fn find(&self, object: &ObjectRef) -> Option<(&Arc<Path>, &File, &Held)> {
        self.files.iter().find_map(|(path, file)| {
            let held = file.objects.iter().find(|(id, _)| id.reference() == *object);
            held.map(|(_, held)| (path, file, held))
        })
    }

    /// What holds: of an object that two files have, the one of the first file.
    fn effective(&self) -> BTreeMap<ObjectId, Object> {
        let mut all = BTreeMap::new();
        for file in self.files.values() {
            for (id, held) in &file.objects {
                if let Some(object) = &held.object {
                    all.entry(id.clone()).or_insert_with(|| object.clone());
                }
            }
        }
        all
    }

    fn duplicates(&self) -> Vec<Problem> {
        let mut first: BTreeMap<&ObjectId, (&Path, u32)> = BTreeMap::new();
        let mut problems = Vec::new();
        for (path, file) in &self.files {
            for (id, held) in &file.objects {
                let Some((other, line)) = first.get(id) else {
                    first.insert(id, (path, held.line));
                    continue;
                };
                problems.push(duplicate(id, &format!("{}:{line}", other.display()), path, held.line));
            }
        }
        problems
    }

    /// Finds the files under a path.
    fn collect(&self, path: &Path, depth: usize, seen: &mut BTreeSet<Arc<Path>>, lost: &mut Vec<Problem>) {
        if path.is_file() {
            let named = depth == 0 && (self.roots.iter().any(|r| r == path) || self.files.contains_key(path));
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if named || EXTENSIONS.contains(&extension) {
                seen.insert(path.into());
            }
            return;
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            // What was removed is no problem unless it was asked for by name.
            Err(_) if !self.roots.iter().any(|root| root == path) => return,
            Err(e) => {
                let message = format!("{} cannot be read: {e}", path.display());
                lost.push(Problem::error(ObjectRef::none(), "", "FileNotReadable", message));
                return;
            }
        };
        for entry in entries.flatten().map(|e| e.path()) {
            // Hidden files: editors' and git's; and `..data` of a mounted ConfigMap, whose links are beside it.
            let is_hidden = entry.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if !is_hidden && depth < DEPTH_MAX {
                self.collect(&entry, depth + 1, seen, lost);
            }
        }
    }

    fn read(&mut self, path: &Arc<Path>) {
        let file = self.files.entry(path.clone()).or_default();
        let wrong = |line: u32, reason, message| {
            let source = Some(Source { file: path.clone(), line });
            Problem { source, ..Problem::error(ObjectRef::none(), "", reason, message) }
        };
        let text = match text(path) {
            Ok(text) => text,
            Err(e) => {
                file.problems = vec![wrong(1, "FileNotReadable", format!("{e}; what it held before stays"))];
                return;
            }
        };
        let hash = Hash::of_bytes(text.as_bytes());
        if file.hash == Some(hash) {
            return;
        }
        match tree::parse(&text) {
            Ok(nodes) => {
                let problems = Vec::new();
                let old = std::mem::replace(file, File { hash: Some(hash), objects: BTreeMap::new(), problems });
                file.take(path, &nodes, &old);
            }
            Err(e) => {
                file.hash = None;
                let message = format!("is not YAML, so what it held before stays: {e}");
                file.problems = vec![wrong(e.line.max(1), "NotYaml", message)];
            }
        }
    }
}

impl File {
    /// Takes the objects of a file's documents.
    fn take(&mut self, path: &Arc<Path>, nodes: &[Node], old: &Self) {
        for node in nodes.iter().flat_map(document::items) {
            let Document { line, id, object, problems } = document::read(node);
            let source = |line| Some(Source { file: path.clone(), line });
            self.problems.extend(problems.into_iter().map(|(line, p)| Problem { source: source(line), ..p }));
            let Some(id) = id else { continue };
            if let Some(first) = self.objects.get(&id) {
                let place = format!("line {} of the same file", first.line);
                self.problems.push(duplicate(&id, &place, path, line));
                continue;
            }
            let object = object.or_else(|| old.objects.get(&id).and_then(|held| held.object.clone()));
            self.objects.insert(id, Held { line, object });
        }
    }
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

fn difference(before: &BTreeMap<ObjectId, Object>, after: &BTreeMap<ObjectId, Object>) -> Vec<Update> {
    let gone = before.keys().filter(|id| !after.contains_key(*id)).map(|id| Update::Delete(id.clone()));
    let set = after.iter().filter(|(id, object)| before.get(*id) != Some(*object));
    gone.chain(set.map(|(_, object)| Update::Apply(object.clone()))).collect()
}
