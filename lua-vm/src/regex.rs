//! Regular expressions for `ngx.re.*`: PCRE2, always compiled by its JIT, cached, and bounded in time.
//!
//! [`Regexes`] is a VM's: a cache of [`Regex`]es by pattern and options, and what matching needs. Its results and error
//! texts are those of lua-nginx-module with PCRE2. `ffi` makes it callable by `prelude/ngx_re.lua`, which builds the
//! tables of captures; neither needs the host.
//!
//! What differs from OpenResty, and why:
//! - Every pattern is cached, not only with `o`, and compiled by the JIT, not only with `j`.
//! - `U` treats bytes that are not UTF-8 as characters that nothing matches, where PCRE2 without its check reads out of
//!   bounds; the bytes come from clients.
//! - When the JIT's stack does not suffice, the interpreter goes on, where OpenResty answers an error.
//! - After an empty match `gsub` and `gmatch` go on behind a whole character with `u` and `U`.
//!
//! **Time.** A match limit alone bounds little: it counts anew at each place where a match may begin, and a counted
//! step may look at all of the subject. So in a VM with limits a subject is first tried with a limit for which places
//! times steps times length stay small; what does not end by that is run again with a variant of the code that asks at
//! each item of the pattern whether the VM is to be stopped ([`Limits::interrupted`]). It costs some three times as
//! much and can end at any moment, with the code of the match limit (-47).
//!
//! Wiring: `ffi`.

mod cache;
mod code;
pub(crate) mod ffi;
mod options;
mod template;

#[cfg(test)]
mod tests;

use crate::interrupt::Interrupt;
use cache::Cache;
use code::{Code, Matcher};
use options::Options;
use template::Template;

/// Returned by [`Regexes::exec`] when nothing matches.
pub(crate) const NO_MATCH: i32 = pcre2_sys::PCRE2_ERROR_NOMATCH;
/// The match limit, or the VM's own.
const MATCH_LIMIT: i32 = pcre2_sys::PCRE2_ERROR_MATCHLIMIT;

/// Longest subject that is tried without asking whether to stop. Longer ones would leave a limit of nothing.
const MAX_FAST: usize = 2048;
/// Steps times places times length for one try: some 30 ms at worst.
const FAST_WORK: usize = 1 << 26;

/// What a VM allows.
#[derive(Clone)]
pub(crate) struct Limits {
    /// `lua_regex_match_limit`; 0 is PCRE2's own.
    pub(crate) match_limit: u32,
    /// `lua_regex_cache_max_entries`
    pub(crate) cache_entries: usize,
    /// Bytes of compiled patterns: those evicted first are the least recently used.
    pub(crate) cache_bytes: usize,
    /// Bytes that one `sub` or `gsub` may make.
    pub(crate) output: usize,
    /// Whether the VM is to be stopped; with one, see the module's text on time.
    pub(crate) interrupted: Option<Interrupt>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            match_limit: 0,
            cache_entries: 1024,
            // A usual pattern takes 1 to 4 KiB with its machine code.
            cache_bytes: 16 * 1024 * 1024,
            output: 1024 * 1024 * 1024,
            interrupted: None,
        }
    }
}

/// A compiled pattern.
pub(crate) struct Regex {
    options: Options,
    pattern: Box<[u8]>,
    code: Code,
    /// The code that asks whether to stop; made when first needed.
    careful: Option<Code>,
}

impl Regex {
    /// # Errors
    /// The text that scripts get.
    fn compile(pattern: &[u8], options: Options) -> Result<Self, String> {
        let code = Code::compile(pattern, options.compile, !options.dfa).map_err(|error| error.text(pattern))?;
        Ok(Self { options, pattern: pattern.into(), code, careful: None })
    }

    /// Numbered groups; none with `d`.
    pub(crate) fn captures(&self) -> usize {
        if self.options.dfa { 0 } else { self.code.captures() }
    }

    /// Named groups: number and name.
    pub(crate) fn name(&self, at: usize) -> Option<(usize, &[u8])> {
        self.code.name(at)
    }

    fn bytes(&self) -> usize {
        // The pattern is a key of the cache too. A match holds its groups' places twice: PCRE2's and ours.
        2 * self.pattern.len() + self.code.bytes() + (self.captures() + 1) * 24
    }
}

/// A [`Regex`] in a [`Regexes`]; stale once it was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) i32);

/// Why a substitution failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SubError {
    /// PCRE2's code.
    Exec(i32),
    /// A `$` in the replacement is followed by no group.
    Template,
    /// The result is longer than [`Limits::output`], or than there is room for.
    Memory,
    /// The regex was evicted.
    Stale,
}

/// A VM's regular expressions.
pub(crate) struct Regexes {
    limits: Limits,
    cache: Cache,
    matcher: Matcher,
}

impl Regexes {
    pub(crate) fn new(limits: Limits) -> Self {
        let matcher = Matcher::new(limits.interrupted);
        Self { cache: Cache::default(), limits, matcher }
    }

    /// The regex of this pattern and these options, compiled if it is not in the cache.
    ///
    /// # Errors
    /// `unknown flag` or PCRE2's, in the texts that scripts get; the first is to be raised.
    pub(crate) fn compile(&mut self, pattern: &[u8], options: &[u8]) -> Result<Id, CompileError> {
        let parsed = Options::parse(options).map_err(CompileError::Raise)?;
        if let Some(id) = self.cache.find(pattern, parsed) {
            return Ok(id);
        }
        let regex = Regex::compile(pattern, parsed).map_err(CompileError::Return)?;
        // The careful variant may come later, and is larger.
        let bytes = regex.bytes() * if self.limits.interrupted.is_some() { 3 } else { 1 };
        Ok(self.cache.insert(regex, bytes, self.limits.cache_entries, self.limits.cache_bytes))
    }

    /// `None`: it was evicted.
    pub(crate) fn get(&self, id: Id) -> Option<&Regex> {
        self.cache.get(id)
    }

    /// Matches from `start` (in bytes). The number of the last group set plus one (1 with `d`), or PCRE2's
    /// error code; [`Self::offsets`] are then those of this match. `None`: it was evicted.
    pub(crate) fn exec(&mut self, id: Id, subject: &[u8], start: usize) -> Option<i32> {
        let regex = self.cache.use_mut(id)?;
        Some(exec(regex, &mut self.matcher, &self.limits, subject, start))
    }

    /// From and to of the match and of each group, -1 for those not set.
    pub(crate) fn offsets(&self) -> &[i32] {
        self.matcher.offsets()
    }

    /// `ngx.re.sub` and `gsub` with a string: appends the new text, of `room` bytes at most, to `out`; how many were
    /// replaced. With none, `out` stays as it is.
    ///
    /// # Errors
    /// See [`SubError`].
    pub(crate) fn sub(
        &mut self,
        id: Id,
        subject: &[u8],
        replacement: &[u8],
        global: bool,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, SubError> {
        let regex = self.cache.use_mut(id).ok_or(SubError::Stale)?;
        let template = Template::parse(replacement).ok_or(SubError::Template)?;
        let limit = out.len() + self.limits.output.min(room);
        let (mut count, mut copied, mut at) = (0, 0, 0);
        while at <= subject.len() {
            if self.limits.interrupted.is_some_and(Interrupt::is_due) {
                return Err(SubError::Exec(MATCH_LIMIT));
            }
            let rc = exec(regex, &mut self.matcher, &self.limits, subject, at);
            if rc == NO_MATCH {
                break;
            }
            if rc < 0 {
                return Err(SubError::Exec(rc));
            }
            count += 1;
            let offsets = self.matcher.offsets();
            // `\K` in a lookahead may put the end before the begin, or before what was copied already.
            let (from, to) = (offsets[0].max(0) as usize, offsets[1].max(0) as usize);
            out.extend_from_slice(subject.get(copied..from).unwrap_or_default());
            template.expand(subject, offsets, out);
            if out.len() > limit {
                return Err(SubError::Memory);
            }
            copied = to.max(copied);
            at = if to == from { regex.options.next(subject, to) } else { to.max(at) };
            if !global {
                break;
            }
        }
        if count > 0 {
            out.extend_from_slice(&subject[copied..]);
            if out.len() > limit {
                return Err(SubError::Memory);
            }
        }
        Ok(count)
    }

    /// `ngx.re.opt("jit_stack_size", bytes)`; false if there is no memory for it.
    pub(crate) fn set_jit_stack(&mut self, bytes: usize) -> bool {
        self.matcher.set_jit_stack(bytes)
    }

    /// Patterns in the cache.
    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }

    /// The JIT's stack that a script asked for; 0: none did.
    pub(crate) fn jit_stack(&self) -> usize {
        self.matcher.jit_stack()
    }

    /// Bytes of compiled patterns, and of the stack that a script asked for.
    pub(crate) fn bytes(&self) -> usize {
        self.cache.bytes() + self.jit_stack()
    }

    /// Evicts a regex.
    pub(crate) fn evict(&mut self, id: Id) {
        self.cache.evict_one(id);
    }

    /// Evicts another regex than this; false: there is none.
    pub(crate) fn evict_but(&mut self, id: Id) -> bool {
        if self.cache.len() < 2 {
            return false;
        }
        // It was used last, so another one is evicted.
        self.cache.use_mut(id);
        self.cache.evict();
        true
    }
}

/// Why a pattern was not compiled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CompileError {
    /// A Lua error.
    Raise(String),
    /// Returned beside nil.
    Return(String),
}

fn exec(regex: &mut Regex, matcher: &mut Matcher, limits: &Limits, subject: &[u8], start: usize) -> i32 {
    let groups = regex.captures();
    let mut run = |code: &Code, careful: bool, match_limit: u32| match regex.options.dfa {
        true => matcher.dfa_match(code, subject, start, match_limit, careful),
        false => matcher.match_(code, groups, subject, start, match_limit, careful),
    };
    if limits.interrupted.is_none() {
        return run(&regex.code, false, limits.match_limit);
    }
    let length = subject.len().max(1);
    if length <= MAX_FAST && !regex.options.dfa {
        let fast = u32::try_from(FAST_WORK / (length * length)).unwrap_or(u32::MAX);
        let limit = if limits.match_limit == 0 { fast } else { fast.min(limits.match_limit) };
        let rc = run(&regex.code, false, limit);
        if rc != MATCH_LIMIT || limit == limits.match_limit {
            return rc;
        }
    }
    let (pattern, options) = (&regex.pattern, &regex.options);
    let careful = regex.careful.get_or_insert_with(|| {
        let flags = options.compile | pcre2_sys::PCRE2_AUTO_CALLOUT;
        // Compiled once without the flag, so this succeeds but for memory, where the plain code is all there is.
        Code::compile(pattern, flags, !options.dfa).unwrap_or_else(|_| Code::none())
    });
    run(careful, true, limits.match_limit)
}
