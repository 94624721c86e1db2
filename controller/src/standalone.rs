//! Standalone mode's control side: files in, commits out, in one process.

use std::path::PathBuf;

use routing::{Change, Commit};

use crate::files::Set;
use crate::problem::Problem;
use crate::table::Translator;
use crate::translate::Options;

/// Files and the table that they make.
#[derive(Debug)]
pub struct Standalone {
    files: Set,
    translator: Translator,
    problems: Vec<Problem>,
    /// Of the last commit.
    counter: u64,
}

impl Standalone {
    /// Reads files and directories. Never fails: what is wrong is in [`Self::problems`], the rest works.
    pub fn open(paths: &[PathBuf]) -> Self {
        let (files, updates, file_problems) = Set::load(paths);
        let mut translator = Translator::new(Options::standalone());
        translator.change(updates);
        let mut standalone = Self { files, translator, problems: Vec::new(), counter: 0 };
        standalone.take_problems(file_problems);
        standalone
    }

    /// The whole table as one commit: the first, or one for a data plane that has nothing.
    pub fn commit(&mut self) -> Commit {
        let changes = self.translator.table().0.into_iter().map(|(key, value)| Change::Set(key, value)).collect();
        self.next(changes)
    }

    /// Reads again what may have changed (files or directories). The commit that follows from it, which may be empty,
    /// and the problems that were not there before.
    pub fn reload(&mut self, changed: &[PathBuf]) -> (Commit, Vec<Problem>) {
        let (updates, file_problems) = self.files.reload(changed);
        let step = self.translator.change(updates);
        let before = self.take_problems(file_problems);
        let new = self.problems.iter().filter(|p| !before.contains(p)).cloned().collect();
        (self.next(step.changes), new)
    }

    /// Everything that is wrong with the files and their objects, by file and line; errors before warnings of a line.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong with served certificates at a time (seconds since the epoch), and with nothing else.
    pub fn expiries(&mut self, now: i64) -> Vec<Problem> {
        let mut problems = crate::expiry::problems(&self.translator, now);
        self.files.locate(&mut problems);
        problems
    }

    /// The table's side.
    pub fn translator(&self) -> &Translator {
        &self.translator
    }

    fn next(&mut self, changes: Vec<Change>) -> Commit {
        self.counter += 1;
        Commit { term: 0, counter: self.counter, changes }
    }

    /// Returns the problems that were there before.
    fn take_problems(&mut self, mut problems: Vec<Problem>) -> Vec<Problem> {
        problems.extend(self.translator.problems());
        self.files.locate(&mut problems);
        problems.sort_by(|a, b| (&a.source, a.severity, a).cmp(&(&b.source, b.severity, b)));
        problems.dedup();
        std::mem::replace(&mut self.problems, problems)
    }
}
