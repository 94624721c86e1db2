//! One program of the cluster, which can be ended and started again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard};

use anyhow::Context;

use super::sandbox::inner;
use crate::until;

/// A program of the cluster.
pub struct Part {
    name: String,
    log: PathBuf,
    make: Box<dyn Fn() -> Command + Send + Sync>,
    child: Mutex<Option<Child>>,
}

impl Part {
    /// Starts what `make` describes; `make` is asked again at each start.
    pub fn start(name: &str, logs: &Path, make: impl Fn() -> Command + Send + Sync + 'static) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let part = Self { name: name.to_owned(), log, make: Box::new(make), child: Mutex::new(None) };
        part.resume()?;
        Ok(part)
    }

    /// Starts it, when it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        let mut child = self.child();
        if child.is_none() {
            let log = File::options().append(true).create(true).open(&self.log)?;
            let mut command = (self.make)();
            command.stdout(log.try_clone()?).stderr(log);
            *child = Some(command.spawn().with_context(|| format!("cannot start {}", self.name))?);
        }
        Ok(())
    }

    /// Starts it, when it does not run or has ended by itself.
    pub fn revive(&self) -> anyhow::Result<()> {
        let mut child = self.child();
        if child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            *child = None;
        }
        drop(child);
        self.resume()
    }

    /// Ends it at once, and waits for that.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&self) {
        self.end("TERM");
    }

    /// Sends the program a signal by name: `STOP` and `CONT` too.
    pub fn signal(&self, name: &str) {
        let pid = self.child().as_ref().and_then(|child| inner(child.id())).expect("the part runs");
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "cannot send {name} to {}", self.name);
    }

    /// Panics if it ended by itself.
    pub fn assert_running(&self) {
        let mut child = self.child();
        if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            panic!("{} ended ({status}):\n{}", self.name, self.tail());
        }
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// How often its log has a text.
    pub fn has_logged(&self, text: &str) -> usize {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).matches(text).count()
    }

    fn end(&self, signal: &str) {
        let Some(mut child) = self.child().take() else { return };
        let pid = inner(child.id());
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
        }
        until(&format!("the end of {}", self.name), || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
