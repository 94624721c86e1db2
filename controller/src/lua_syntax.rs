//! Whether a text is Lua that LuaJIT would compile: the grammar of Lua 5.1 with LuaJIT's additions (`goto`, `1LL`,
//! `0x1p4`, `\u{..}`), and what its compiler refuses beyond grammar (`break` outside a loop, unknown labels, too many
//! locals). Nothing is ever executed, and no tree is built: one pass, in constant memory but for the names in scope.
//!
//! Where Lua 5.1 and LuaJIT's 5.2 mode differ (`;` alone, `break` in mid-block, a call's `(` on a new line), both are
//! accepted: the data plane compiles for real and has the last word.

mod lexer;
mod parser;
mod scope;

use crate::crd::SCRIPT_BYTES_MAX;

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct LuaProblem {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In LuaJIT's words where it has them.
    pub message: String,
}

/// Checks the syntax of a chunk.
pub fn check(source: &str) -> Result<(), LuaProblem> {
    if source.len() > SCRIPT_BYTES_MAX {
        let message = format!("{} bytes are too many for a script: {SCRIPT_BYTES_MAX} at most", source.len());
        return Err(LuaProblem { line: 1, column: 1, message });
    }
    parser::Parser::new(source).and_then(parser::Parser::chunk).map_err(|fault| fault.located(source))
}

/// A problem at a byte of the source.
#[derive(Debug)]
struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    fn located(self, source: &str) -> LuaProblem {
        let before = source.get(..self.at).unwrap_or(source);
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        LuaProblem { line: line_of(source, self.at), column: bounded(column + 1), message: self.message }
    }
}

/// The line, from 1, of a byte of the source.
fn line_of(source: &str, at: usize) -> u32 {
    let newlines = source.bytes().take(at).filter(|byte| *byte == b'\n').count();
    bounded(newlines + 1)
}

/// A script has less than 2^32 bytes, so no line or column is beyond.
fn bounded(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
