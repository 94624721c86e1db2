//! The options of `ngx.re.*`.

use pcre2_sys::{
    PCRE2_ALLOW_EMPTY_CLASS, PCRE2_ALT_BSUX, PCRE2_ANCHORED, PCRE2_CASELESS, PCRE2_DOTALL, PCRE2_DUPNAMES,
    PCRE2_EXTENDED, PCRE2_MATCH_INVALID_UTF, PCRE2_MATCH_UNSET_BACKREF, PCRE2_MULTILINE, PCRE2_UTF,
};

/// What the letters mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Options {
    /// For `pcre2_compile`.
    pub(super) compile: u32,
    /// `d`: the longest match, by a search that does not backtrack.
    pub(super) dfa: bool,
    /// `D`: a name may stand for several groups, whose captures the prelude gathers.
    pub(super) duplicate_names: bool,
}

impl Options {
    /// # Errors
    /// The Lua error's text, for a letter that is none of them.
    pub(super) fn parse(letters: &[u8]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut unchecked = false;
        for &letter in letters {
            options.compile |= match letter {
                b'a' => PCRE2_ANCHORED,
                b'i' => PCRE2_CASELESS,
                b'J' => PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF,
                b'm' => PCRE2_MULTILINE,
                b's' => PCRE2_DOTALL,
                b'u' => PCRE2_UTF,
                b'U' => {
                    unchecked = true;
                    PCRE2_UTF
                }
                b'x' => PCRE2_EXTENDED,
                b'd' => {
                    options.dfa = true;
                    0
                }
                b'D' => {
                    options.duplicate_names = true;
                    PCRE2_DUPNAMES
                }
                b'j' | b'o' => 0,
                _ => {
                    let letters = String::from_utf8_lossy(letters);
                    return Err(format!("unknown flag \"{}\" (flags \"{letters}\")", char::from(letter)));
                }
            };
        }
        // The search without backtracking does not know this one; it checks as with `u`.
        if unchecked && !options.dfa {
            options.compile |= PCRE2_MATCH_INVALID_UTF;
        }
        Ok(options)
    }

    pub(super) fn is_utf(self) -> bool {
        self.compile & PCRE2_UTF != 0
    }

    /// Where the character behind the one at `at` begins.
    pub(super) fn next(self, subject: &[u8], at: usize) -> usize {
        let mut next = at + 1;
        while self.is_utf() && subject.get(next).is_some_and(|byte| byte & 0xc0 == 0x80) {
            next += 1;
        }
        next
    }
}
