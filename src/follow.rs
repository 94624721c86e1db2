//! From files to the server: reads, applies what changed, and says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use controller::standalone::Standalone;
use controller::{Problem, Severity};
use dataplane::server::Server;
use prometheus_client::metrics::gauge::Gauge;
use routing::{Change, Commit, Key, KeyProblem};
use tracing::{debug, error, info, warn};

/// The files' objects, and which of their problems have been told.
pub(crate) struct Follow {
    objects: Standalone,
    told: BTreeSet<Problem>,
    /// Certificates that are not valid, as of the last change of a certificate.
    expiries: Vec<Problem>,
    errors: Gauge,
    warnings: Gauge,
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    i64::try_from(dataplane::clock::unix_ms() / 1000).unwrap_or(i64::MAX)
}

impl Follow {
    /// Reads the files. What is wrong with them is told, and the rest is served.
    pub(crate) fn open(paths: &[PathBuf]) -> Self {
        let objects = Standalone::open(paths);
        let (errors, warnings) = (Gauge::default(), Gauge::default());
        Self { objects, told: BTreeSet::new(), expiries: Vec::new(), errors, warnings }
    }

    /// Applies the whole table.
    pub(crate) fn start(&mut self, server: &mut Server) {
        server.state().shared.metrics.add(|registry| {
            registry.register("moongate_file_errors", "Errors in the files and their objects", self.errors.clone());
            registry.register(
                "moongate_file_warnings",
                "Warnings about the files and their objects",
                self.warnings.clone(),
            );
        });
        let commit = self.objects.commit();
        self.apply(server, commit);
    }

    /// Reads again what may have changed, and applies what differs.
    pub(crate) fn reload(&mut self, server: &mut Server, changed: &[PathBuf]) {
        let (commit, _) = self.objects.reload(changed);
        self.apply(server, commit);
    }

    fn apply(&mut self, server: &mut Server, commit: Commit) {
        // Also without changes of the table: the first commit is what makes the server ready.
        let summary = summary(&commit.changes);
        let changed: Vec<String> = commit.changes.iter().map(|change| change.key().to_string()).collect();
        let failures = server.apply(&commit);
        if commit.changes.iter().any(|change| matches!(change.key(), Key::Host(_) | Key::Certificate(_))) {
            self.expiries = self.objects.expiries(now());
        }
        if !changed.is_empty() {
            info!(changes = summary, "applied");
            changed.iter().for_each(|key| debug!(key, "changed"));
        }
        self.tell(failures);
    }

    /// Logs problems that are new, and those that are gone.
    fn tell(&mut self, failures: Vec<KeyProblem>) {
        let now: BTreeSet<Problem> = self.objects.problems().iter().chain(&self.expiries).cloned().collect();
        for problem in now.difference(&self.told) {
            match problem.severity {
                Severity::Error => error!("{problem}"),
                Severity::Warning => warn!("{problem}"),
            }
        }
        self.told.difference(&now).for_each(|problem| info!("solved: {problem}"));
        self.told = now;
        let count = |severity| self.told.iter().filter(|problem| problem.severity == severity).count();
        let gauge = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.errors.set(gauge(count(Severity::Error)));
        self.warnings.set(gauge(count(Severity::Warning)));
        for KeyProblem { key, message } in failures {
            error!("{key}: {message}; what it was before goes on being used");
        }
    }
}

/// `2 route, 1 endpoints set; 1 route deleted`.
fn summary(changes: &[Change]) -> String {
    let count = |set: bool| {
        let mut sections: BTreeMap<&str, usize> = BTreeMap::new();
        for change in changes.iter().filter(|change| matches!(change, Change::Set(..)) == set) {
            *sections.entry(change.key().section()).or_default() += 1;
        }
        sections.iter().map(|(section, n)| format!("{n} {section}")).collect::<Vec<_>>().join(", ")
    };
    let parts = [(count(true), "set"), (count(false), "deleted")];
    let parts = parts.iter().filter(|(text, _)| !text.is_empty());
    parts.map(|(text, what)| format!("{text} {what}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use routing::{Change, Key, Value};

    #[test]
    fn a_commit_is_summed_up_by_section() {
        let set = |key| Change::Set(key, Arc::new(Value::Script(String::new())));
        let changes = [
            set(Key::Host("a".into())),
            set(Key::Host("b".into())),
            set(Key::Settings),
            Change::Delete(Key::Namespace("n".into())),
        ];
        assert_eq!(super::summary(&changes), "2 host, 1 settings set; 1 namespace deleted");
        assert_eq!(super::summary(&[]), "");
    }
}
