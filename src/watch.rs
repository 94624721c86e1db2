//! Tells what may have changed under the paths that were given.
//!
//! One event may be a part of a change: an editor writes a new file and renames it over the old one, `git checkout`
//! writes hundreds, a mounted ConfigMap swaps a symbolic link. So changes are told once things are quiet, and a file
//! that is being written once its writer has closed it: cut and not yet written, it would read as one without objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Nothing happened for this long: the change is complete. Long enough for a program that writes several files.
const QUIET: Duration = Duration::from_millis(20);
/// Changes that never pause, and a file whose writer never closes it, are waited for no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches files and directories.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    roots: Vec<Root>,
    seen: Arc<Seen>,
}

/// A path as it was given.
struct Root {
    given: PathBuf,
    /// The directory that holds the name, without links, and the name.
    name: PathBuf,
    /// What the name led to when it was last looked at, without links.
    target: Option<PathBuf>,
}

/// Between the watcher's thread and ours.
#[derive(Default)]
struct Seen {
    events: Mutex<Events>,
    wake: Notify,
}

/// What was seen and not yet told; paths as the system says them.
#[derive(Default)]
struct Events {
    changed: BTreeSet<PathBuf>,
    /// Files that are being written, and since when.
    open: BTreeMap<PathBuf, Instant>,
    /// The system lost events.
    everything: bool,
}

impl Watch {
    /// Starts watching. From here on no change is missed.
    pub(crate) fn new(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let seen: Arc<Seen> = Arc::default();
        let shared = seen.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            match event {
                Ok(event) => shared.events().note(event),
                Err(_) => shared.events().everything = true,
            }
            shared.wake.notify_one();
        })?;
        let roots = paths.iter().map(|path| Root::new(path)).collect::<anyhow::Result<_>>()?;
        let mut watch = Self { watcher, roots, seen };
        watch.follow()?;
        Ok(watch)
    }

    /// Waits for a change, and for things to be quiet. The files and directories to read again, as they were given.
    pub(crate) async fn changed(&mut self) -> anyhow::Result<Vec<PathBuf>> {
        loop {
            self.wake().await;
            let start = Instant::now();
            while start.elapsed() < PATIENCE && tokio::time::timeout(QUIET, self.seen.wake.notified()).await.is_ok() {}
            let events = self.seen.events().take_settled();
            let mut changed: BTreeSet<PathBuf> = events.changed.iter().filter_map(|path| self.given(path)).collect();
            if events.everything {
                changed.extend(self.roots.iter().map(|root| root.given.clone()));
            }
            changed.extend(self.follow()?);
            if !changed.is_empty() {
                return Ok(changed.into_iter().collect());
            }
        }
    }

    async fn wake(&self) {
        let is_open = !self.seen.events().open.is_empty();
        if is_open {
            // Whether an event comes or not, the file is looked at.
            let _ = tokio::time::timeout(PATIENCE, self.seen.wake.notified()).await;
        } else {
            self.seen.wake.notified().await;
        }
    }

    /// A path that the system names, as it was given; none when nothing that we read is there.
    fn given(&self, path: &Path) -> Option<PathBuf> {
        self.roots.iter().find_map(|root| root.given(path))
    }

    /// Watches what the paths lead to now. Returns those that lead elsewhere than before.
    fn follow(&mut self) -> anyhow::Result<Vec<PathBuf>> {
        let mut moved = Vec::new();
        for root in &mut self.roots {
            let target = root.given.canonicalize().ok();
            if root.target == target && target.is_some() {
                continue;
            }
            // The directory that holds the name tells when the name is given to something else.
            let directory = root.name.parent().context("a path has a parent")?;
            self.watcher.watch(directory, RecursiveMode::NonRecursive)?;
            if let Some(new) = &target {
                let (watched, mode) = match new.parent() {
                    Some(parent) if new.is_file() => (parent, RecursiveMode::NonRecursive),
                    _ => (new.as_path(), RecursiveMode::Recursive),
                };
                self.watcher.watch(watched, mode).with_context(|| format!("cannot watch {}", watched.display()))?;
            }
            if root.target != target {
                root.target = target;
                moved.push(root.given.clone());
            }
        }
        Ok(moved)
    }
}

impl Root {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.canonicalize().with_context(|| format!("cannot watch {}", path.display()))?;
        // A path such as `..` or `/` has no name: its own place stands for it.
        let name = path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name));
        Ok(Self { given: path.to_owned(), name, target: None })
    }

    fn given(&self, path: &Path) -> Option<PathBuf> {
        if path == self.name {
            return Some(self.given.clone());
        }
        let below = path.strip_prefix(self.target.as_ref()?).ok()?;
        let mut names = below.components().filter_map(|c| match c {
            Component::Normal(name) => Some(name.as_encoded_bytes()),
            _ => None,
        });
        match names.find(|name| name.starts_with(b".")) {
            // `..data` of a mounted ConfigMap: the files beside it are links into it.
            Some(hidden) if hidden.starts_with(b"..") => Some(self.given.clone()),
            // Hidden: editors' and git's own.
            Some(_) => None,
            None if below.as_os_str().is_empty() => Some(self.given.clone()),
            None => Some(self.given.join(below)),
        }
    }
}

impl Seen {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    fn note(&mut self, event: Event) {
        self.everything |= event.need_rescan();
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => self.settle(event.paths),
            EventKind::Access(_) => {}
            // Linux tells when a writer closes its file; elsewhere a write is all there is.
            EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => {
                for path in event.paths {
                    self.open.entry(path).or_insert_with(Instant::now);
                }
            }
            EventKind::Modify(ModifyKind::Name(_)) => self.settle(event.paths),
            _ => self.changed.extend(event.paths),
        }
    }

    fn settle(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            self.open.remove(&path);
            self.changed.insert(path);
        }
    }

    /// Takes what changed, but for files that are being written.
    fn take_settled(&mut self) -> Self {
        let mut taken = std::mem::take(self);
        for (path, since) in std::mem::take(&mut taken.open) {
            if since.elapsed() < PATIENCE {
                taken.changed.remove(&path);
                self.open.insert(path, since);
            } else {
                taken.changed.insert(path);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Root, Watch};

    #[test]
    fn paths_are_told_as_they_were_given() {
        let root = Root { given: "conf".into(), name: "/a/conf".into(), target: Some("/b/real".into()) };
        let check = |path: &str, given: Option<&str>| {
            assert_eq!(root.given(Path::new(path)), given.map(PathBuf::from), "{path}");
        };
        check("/a/conf", Some("conf"));
        check("/b/real", Some("conf"));
        check("/b/real/x/y.yaml", Some("conf/x/y.yaml"));
        check("/b/real/.y.yaml.swp", None);
        check("/b/real/.git/index", None);
        check("/b/real/..data", Some("conf"));
        check("/b/real/..2026_11_24/y.yaml", Some("conf"));
        check("/b/other.yaml", None);
        check("/a/other", None);
    }

    /// Makes a change of files in a directory, and says what is told; all of it is awaited, in whatever steps it comes.
    fn check(paths: &[&str], change: impl Fn(&Path), told: &[&str]) {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::create_dir_all(at.join("conf/sub")).unwrap();
        std::fs::write(at.join("conf/a.yaml"), "1").unwrap();
        std::fs::write(at.join("one.yaml"), "1").unwrap();
        std::os::unix::fs::symlink("conf", at.join("link")).unwrap();
        let paths: Vec<PathBuf> = paths.iter().map(|p| at.join(p)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watch = Watch::new(&paths).unwrap();
            change(at);
            let mut missing: Vec<PathBuf> = told.iter().map(|t| at.join(t)).collect();
            while !missing.is_empty() {
                let step = tokio::time::timeout(std::time::Duration::from_secs(20), watch.changed());
                let changed = step.await.unwrap_or_else(|_| panic!("{missing:?} was never told")).unwrap();
                missing.retain(|m| !changed.contains(m));
            }
        });
    }

    fn write(path: PathBuf) {
        std::fs::write(path, "2").unwrap();
    }

    #[test]
    fn each_way_to_change_a_file_is_told() {
        check(&["conf"], |at| write(at.join("conf/a.yaml")), &["conf/a.yaml"]);
        check(&["conf"], |at| write(at.join("conf/sub/new.yaml")), &["conf/sub/new.yaml"]);
        check(&["conf"], |at| std::fs::remove_file(at.join("conf/a.yaml")).unwrap(), &["conf/a.yaml"]);
        check(
            &["conf"],
            |at| {
                write(at.join("beside"));
                std::fs::rename(at.join("beside"), at.join("conf/a.yaml")).unwrap();
            },
            &["conf/a.yaml"],
        );
        check(
            &["conf"],
            |at| {
                std::fs::create_dir_all(at.join("made/deep")).unwrap();
                write(at.join("made/deep/b.yaml"));
                std::fs::rename(at.join("made"), at.join("conf/made")).unwrap();
            },
            &["conf/made"],
        );
        check(&["one.yaml"], |at| write(at.join("one.yaml")), &["one.yaml"]);
        check(
            &["one.yaml"],
            |at| {
                write(at.join("beside"));
                std::fs::rename(at.join("beside"), at.join("one.yaml")).unwrap();
            },
            &["one.yaml"],
        );
    }

    #[test]
    fn a_swapped_link_is_told() {
        let swap = |at: &Path, name: &str, to: &str| {
            std::os::unix::fs::symlink(to, at.join("new-link")).unwrap();
            std::fs::rename(at.join("new-link"), at.join(name)).unwrap();
        };
        let mounted = |at: &Path| {
            std::fs::create_dir(at.join("conf/..2026")).unwrap();
            swap(at, "conf/..data", "..2026");
        };
        check(&["conf"], mounted, &["conf"]);
        let elsewhere = |at: &Path| {
            std::fs::create_dir(at.join("other")).unwrap();
            swap(at, "link", "other");
        };
        check(&["link"], elsewhere, &["link"]);
        check(&["link"], |at| write(at.join("conf/a.yaml")), &["link/a.yaml"]);
    }

    #[test]
    fn a_file_that_is_being_written_is_not_told() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watch = Watch::new(&[directory.path().to_owned()]).unwrap();
            std::fs::write(directory.path().join("a.yaml"), "a").unwrap();
            watch.changed().await.unwrap();
            let mut writer = std::fs::File::create(directory.path().join("a.yaml")).unwrap();
            writer.write_all(b"half").unwrap();
            // Another file's change is told while that one is open.
            std::fs::write(directory.path().join("b.yaml"), "b").unwrap();
            assert_eq!(watch.changed().await.unwrap(), [directory.path().join("b.yaml")]);
            drop(writer);
            assert_eq!(watch.changed().await.unwrap(), [directory.path().join("a.yaml")]);
        });
    }
}
