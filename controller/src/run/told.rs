//! What was said in the log, so that it is said once.

use std::collections::BTreeMap;

use tracing::{error, info, warn};

use crate::problem::{ObjectRef, Problem, Severity};
use crate::store::ObjectId;
use crate::table::Step;

/// The problems that were told in the log.
#[derive(Default)]
pub(super) struct Told {
    problems: BTreeMap<ObjectRef, Vec<Problem>>,
}

impl Told {
    /// Logs problems that are new, and those that are gone.
    pub(super) fn tell(&mut self, step: &Step, malformed: &[(ObjectId, Option<Problem>)]) {
        for (object, now) in &step.problems {
            self.tell_of(object, now.clone());
        }
        for (_, problem) in malformed {
            if let Some(problem) = problem {
                error!("{problem}");
            }
        }
    }

    fn tell_of(&mut self, object: &ObjectRef, now: Vec<Problem>) {
        let before = self.problems.remove(object).unwrap_or_default();
        for problem in now.iter().filter(|problem| !before.contains(problem)) {
            match problem.severity {
                Severity::Error => error!("{problem}"),
                Severity::Warning => warn!("{problem}"),
            }
        }
        before.iter().filter(|problem| !now.contains(problem)).for_each(|problem| info!("solved: {problem}"));
        if !now.is_empty() {
            self.problems.insert(object.clone(), now);
        }
    }
}
