//! Everything that is wrong with files: what `moongate check` prints.

use std::path::PathBuf;

use crate::problem::Problem;
use crate::standalone::Standalone;

/// Every problem of files and directories at a time (seconds since the epoch), with file and line, object, field, and
/// what to do.
pub fn check(paths: &[PathBuf], now: i64) -> Vec<Problem> {
    let mut standalone = Standalone::open(paths);
    let mut problems = standalone.problems().to_vec();
    problems.extend(standalone.expiries(now));
    problems
}
