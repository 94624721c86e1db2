//! Everything that is wrong with files: what `moongate check` prints.

use std::path::PathBuf;

use crate::problem::Problem;
use crate::standalone::Standalone;

/// Every problem of files and directories, with file and line, object, field, and what to do.
pub fn check(paths: &[PathBuf]) -> Vec<Problem> {
    Standalone::open(paths).problems().to_vec()
}
