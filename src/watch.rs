//! Tells what may have changed under the paths that were given.
//!
//! One event may be a part of a change: an editor writes a new file and renames it over the old one, `git checkout`
//! writes hundreds, a mounted ConfigMap swaps a symbolic link. So changes are told once things are quiet, and a file
//! that is being written once its writer has closed it: cut and not yet written, it would read as one without objects.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
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
    seen: Arc<Seen>,
}

/// Between the watcher's thread and ours.
#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    wake: Notify,
}

/// The paths, and what was seen of them and not yet told; as they were given, not as the system says them.
#[derive(Default)]
struct State {
    roots: Vec<Root>,
    changed: BTreeSet<PathBuf>,
    /// Files that are being written, and since when.
    open: BTreeMap<PathBuf, Instant>,
}

/// A path as it was given.
struct Root {
    given: PathBuf,
    /// The directory that holds the name, without links, and the name.
    name: PathBuf,
    /// What the name led to when it was last looked at.
    target: Option<Target>,
}

/// A file or a directory: another one may have the same path later.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    /// Without links.
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Watch {
    /// Starts watching. From here on no change is missed.
    pub(crate) fn new(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let seen: Arc<Seen> = Arc::default();
        let shared = seen.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_ours = match event {
                Ok(event) => shared.state().note(event),
                Err(_) => shared.state().note_all(),
            };
            // A busy directory beside ours must not keep us waiting for quiet.
            if is_ours {
                shared.wake.notify_one();
            }
        })?;
        seen.state().roots = paths.iter().map(|path| Root::new(path)).collect::<anyhow::Result<_>>()?;
        let mut watch = Self { watcher, seen };
        watch.follow()?;
        watch.seen.state().changed.clear();
        Ok(watch)
    }

    /// Waits for a change, and for things to be quiet. The files and directories to read again, as they were given.
    pub(crate) async fn changed(&mut self) -> anyhow::Result<Vec<PathBuf>> {
        loop {
            self.wake().await;
            let start = Instant::now();
            while start.elapsed() < PATIENCE && tokio::time::timeout(QUIET, self.seen.wake.notified()).await.is_ok() {}
            self.follow()?;
            let changed = self.seen.state().take_settled();
            if !changed.is_empty() {
                return Ok(changed.into_iter().collect());
            }
        }
    }

    async fn wake(&self) {
        let is_waiting = {
            let state = self.seen.state();
            !state.open.is_empty() || state.roots.iter().any(|root| root.target.is_none())
        };
        if is_waiting {
            // Whether an event comes or not, what is open or missing is looked at.
            let _ = tokio::time::timeout(PATIENCE, self.seen.wake.notified()).await;
        } else {
            self.seen.wake.notified().await;
        }
    }

    /// Watches what the paths lead to now; those that lead elsewhere than before have changed.
    fn follow(&mut self) -> anyhow::Result<()> {
        let moved: Vec<(usize, PathBuf, Option<Target>)> = {
            let state = self.seen.state();
            let now = state.roots.iter().enumerate().map(|(i, root)| (i, root.name.clone(), Target::of(&root.given)));
            now.filter(|(i, _, target)| state.roots[*i].target != *target).collect()
        };
        for (i, name, target) in moved {
            if let Some(target) = &target {
                self.watch(&name, target)?;
            }
            let mut state = self.seen.state();
            let given = state.roots[i].given.clone();
            state.roots[i].target = target;
            state.changed.insert(given);
        }
        Ok(())
    }

    fn watch(&mut self, name: &Path, target: &Target) -> anyhow::Result<()> {
        let mut watched = vec![(target.path.as_path(), RecursiveMode::Recursive)];
        if target.path.is_file() {
            // A file that is replaced is another file: its directory tells.
            watched[0] = (parent(&target.path), RecursiveMode::NonRecursive);
        }
        if name != target.path {
            // The directory that holds a link tells when it leads elsewhere.
            watched.push((parent(name), RecursiveMode::NonRecursive));
        }
        for (path, mode) in watched {
            self.watcher.watch(path, mode).with_context(|| format!("cannot watch {}", path.display()))?;
        }
        Ok(())
    }
}

impl Target {
    fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let metadata = path.metadata().ok()?;
        let inode = if metadata.is_dir() { metadata.ino() } else { 0 };
        Some(Self { device: metadata.dev(), inode, path })
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

impl Root {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.canonicalize().with_context(|| format!("cannot watch {}", path.display()))?;
        // A path such as `..` or `/` has no name: its own place stands for it.
        let name = path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name));
        Ok(Self { given: path.to_owned(), name, target: None })
    }

    /// A path that the system names, as it was given; none when nothing that we read is there.
    fn given(&self, path: &Path) -> Option<PathBuf> {
        if path == self.name {
            return Some(self.given.clone());
        }
        let below = path.strip_prefix(&self.target.as_ref()?.path).ok()?;
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes an event; whether it says anything about our paths.
    fn note(&mut self, event: Event) -> bool {
        if event.need_rescan() {
            return self.note_all();
        }
        let mut is_ours = false;
        for path in event.paths {
            let Some(path) = self.roots.iter().find_map(|root| root.given(&path)) else { continue };
            is_ours |= match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_)) => {
                    self.open.remove(&path);
                    self.changed.insert(path);
                    true
                }
                EventKind::Access(_) => false,
                // Linux tells when a writer closes its file; elsewhere a write is all there is.
                EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => {
                    self.open.entry(path).or_insert_with(Instant::now);
                    true
                }
                _ => {
                    self.changed.insert(path);
                    true
                }
            };
        }
        is_ours
    }

    /// The system lost events.
    fn note_all(&mut self) -> bool {
        let all: Vec<PathBuf> = self.roots.iter().map(|root| root.given.clone()).collect();
        self.changed.extend(all);
        true
    }

    /// Takes what changed, but for files that are being written.
    fn take_settled(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = std::mem::take(&mut self.changed);
        for (path, since) in std::mem::take(&mut self.open) {
            if since.elapsed() < PATIENCE {
                changed.remove(&path);
                self.open.insert(path, since);
            } else {
                changed.insert(path);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Root, Target, Watch};

    #[test]
    fn paths_are_told_as_they_were_given() {
        let target = Some(Target { path: "/b/real".into(), device: 1, inode: 1 });
        let root = Root { given: "conf".into(), name: "/a/conf".into(), target };
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
    fn a_directory_that_is_replaced_is_told_and_followed() {
        let replace = |at: &Path| {
            std::fs::create_dir(at.join("next")).unwrap();
            std::fs::rename(at.join("conf"), at.join("old")).unwrap();
            std::fs::rename(at.join("next"), at.join("conf")).unwrap();
        };
        check(&["conf"], replace, &["conf"]);
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("conf");
        std::fs::create_dir(&conf).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watch = Watch::new(std::slice::from_ref(&conf)).unwrap();
            std::fs::remove_dir(&conf).unwrap();
            assert_eq!(watch.changed().await.unwrap(), std::slice::from_ref(&conf));
            std::fs::create_dir(&conf).unwrap();
            assert_eq!(watch.changed().await.unwrap(), std::slice::from_ref(&conf));
            write(conf.join("a.yaml"));
            assert_eq!(watch.changed().await.unwrap(), [conf.join("a.yaml")]);
        });
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
