//! PCRE2 behind safe types: [`Code`] is a compiled pattern, [`Matcher`] what runs one.

use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, null_mut};

use pcre2_sys as pcre2;

use crate::interrupt::Interrupt;

/// Longest pattern: with two bytes a link, PCRE2 refuses what compiles to more than 64 KiB anyway.
const MAX_PATTERN: usize = 256 * 1024;
/// Groups nested in groups, as by default.
const MAX_NESTING: u32 = 250;
/// The JIT's stack: what it begins with, and what it may grow to. Beyond that the interpreter takes over.
const JIT_STACK: usize = 32 * 1024;
const MAX_JIT_STACK: usize = 1024 * 1024;
/// Most that scripts may set it to (`ngx.re.opt`).
const MAX_JIT_STACK_SET: usize = 64 * 1024 * 1024;
/// Memory for the interpreter's backtracking, in KiB.
const HEAP_LIMIT: u32 = 16 * 1024;
/// What of it is kept between matches, in bytes.
const HEAP_KEPT: usize = 256 * 1024;
/// PCRE2's own match limit.
const DEFAULT_MATCH_LIMIT: u32 = 10_000_000;
/// `int`s of working space for the search without backtracking: ten times OpenResty's, for fewer errors -43.
const DFA_WORKSPACE: usize = 1000;
/// Work between two questions whether to stop: an item of a pattern may look at all of the subject, and there are at
/// most 64 of them between two questions.
const ASK_EVERY: usize = 256 * 1024;
const MAX_ASK_EVERY: usize = 64;

unsafe extern "C" {
    // Not in pcre2-sys. The block is only handed through.
    fn pcre2_set_callout_8(
        context: *mut pcre2::pcre2_match_context_8,
        callout: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int>,
        data: *mut c_void,
    ) -> c_int;
}

/// A pattern that PCRE2 refuses.
#[derive(Debug)]
pub(super) struct Refused {
    code: c_int,
    offset: usize,
}

impl Refused {
    /// As lua-nginx-module words it: what is behind the place, if anything is.
    pub(super) fn text(&self, pattern: &[u8]) -> String {
        let mut buffer = [0_u8; 256];
        // SAFETY: the buffer is as long as we say; PCRE2 ends it with a zero.
        let n = unsafe { pcre2::pcre2_get_error_message_8(self.code, buffer.as_mut_ptr(), buffer.len()) };
        let message = String::from_utf8_lossy(&buffer[..usize::try_from(n).unwrap_or(0)]).into_owned();
        let whole = String::from_utf8_lossy(pattern);
        match pattern.get(self.offset..) {
            None | Some([]) => format!("pcre2_compile() failed: {message} in \"{whole}\""),
            Some(rest) => {
                format!("pcre2_compile() failed: {message} in \"{whole}\" at \"{}\"", String::from_utf8_lossy(rest))
            }
        }
    }
}

/// A compiled pattern.
pub(super) struct Code(Option<NonNull<pcre2::pcre2_code_8>>);

impl Code {
    /// A pattern that never matches, with an error.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn compile(pattern: &[u8], options: u32, jit: bool) -> Result<Self, Refused> {
        let (mut code, mut offset) = (0, 0);
        // SAFETY: the context is freed here; the pattern outlives the call and is not kept.
        let compiled = unsafe {
            let context = pcre2::pcre2_compile_context_create_8(null_mut());
            if !context.is_null() {
                pcre2::pcre2_set_max_pattern_length_8(context, MAX_PATTERN);
                pcre2::pcre2_set_parens_nest_limit_8(context, MAX_NESTING);
            }
            let compiled =
                pcre2::pcre2_compile_8(pattern.as_ptr(), pattern.len(), options, &mut code, &mut offset, context);
            pcre2::pcre2_compile_context_free_8(context);
            compiled
        };
        let compiled = NonNull::new(compiled).ok_or(Refused { code, offset })?;
        if jit {
            // An error is no matter, as in OpenResty: then the interpreter runs it.
            // SAFETY: just compiled, and nobody else's yet.
            unsafe { pcre2::pcre2_jit_compile_8(compiled.as_ptr(), pcre2::PCRE2_JIT_COMPLETE) };
        }
        Ok(Self(Some(compiled)))
    }

    fn as_ptr(&self) -> *const pcre2::pcre2_code_8 {
        self.0.map_or(std::ptr::null(), |code| code.as_ptr().cast_const())
    }

    fn info<T: Default>(&self, what: u32) -> T {
        let mut value = T::default();
        // SAFETY: each caller asks for what PCRE2 documents to be a `T`; a null code is refused.
        unsafe { pcre2::pcre2_pattern_info_8(self.as_ptr(), what, (&raw mut value).cast()) };
        value
    }

    pub(super) fn captures(&self) -> usize {
        self.info::<u32>(pcre2::PCRE2_INFO_CAPTURECOUNT) as usize
    }

    /// Heap bytes, machine code included.
    pub(super) fn bytes(&self) -> usize {
        self.info::<usize>(pcre2::PCRE2_INFO_SIZE) + self.info::<usize>(pcre2::PCRE2_INFO_JITSIZE)
    }

    /// The `at`th named group: number and name.
    pub(super) fn name(&self, at: usize) -> Option<(usize, &[u8])> {
        let count = self.info::<u32>(pcre2::PCRE2_INFO_NAMECOUNT) as usize;
        let size = self.info::<u32>(pcre2::PCRE2_INFO_NAMEENTRYSIZE) as usize;
        if at >= count {
            return None;
        }
        let mut table: *const u8 = std::ptr::null();
        // SAFETY: the table has `count` entries of `size` bytes and lives as long as the code; an entry is two bytes of
        // number, then a name that ends with a zero.
        let entry = unsafe {
            pcre2::pcre2_pattern_info_8(self.as_ptr(), pcre2::PCRE2_INFO_NAMETABLE, (&raw mut table).cast());
            std::slice::from_raw_parts(table.add(at * size), size)
        };
        let ([high, low], name) = entry.split_first_chunk()?;
        let end = name.iter().position(|byte| *byte == 0)?;
        Some((usize::from(u16::from_be_bytes([*high, *low])), &name[..end]))
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(code) = self.0 {
            // SAFETY: ours alone.
            unsafe { pcre2::pcre2_code_free_8(code.as_ptr()) };
        }
    }
}

/// What the callout sees: the question, and how many items are left until it is asked again.
struct Watch {
    interrupt: Option<Interrupt>,
    left: usize,
    /// Items between two questions.
    every: usize,
}

/// Before each item of a pattern with automatic callouts.
unsafe extern "C" fn callout(_: *mut c_void, watch: *mut c_void) -> c_int {
    // SAFETY: `watch` is the matcher's box, which only this touches during a match.
    let watch = unsafe { &mut *watch.cast::<Watch>() };
    watch.left -= 1;
    if watch.left > 0 {
        return 0;
    }
    watch.left = watch.every;
    match watch.interrupt {
        Some(interrupt) if interrupt.is_due() => pcre2::PCRE2_ERROR_MATCHLIMIT,
        _ => 0,
    }
}

/// Runs patterns: contexts, stack and result, used again for every match of a VM.
pub(super) struct Matcher {
    plain: NonNull<pcre2::pcre2_match_context_8>,
    careful: NonNull<pcre2::pcre2_match_context_8>,
    data: NonNull<pcre2::pcre2_match_data_8>,
    /// Groups that `data` has room for, the whole match included.
    pairs: usize,
    stack: *mut pcre2::pcre2_jit_stack_8,
    /// What a script asked for it; 0: none did.
    stack_asked: usize,
    offsets: Vec<i32>,
    watch: Box<Watch>,
}

impl Matcher {
    pub(super) fn new(interrupt: Option<Interrupt>) -> Self {
        let mut watch = Box::new(Watch { interrupt, left: 1, every: 1 });
        // SAFETY: made with the default allocator, freed in `drop`; `watch` has a fixed address.
        unsafe {
            let context = || pcre2::pcre2_match_context_create_8(null_mut());
            let context = || NonNull::new(context()).expect("memory for a match context of 100 bytes");
            let (plain, careful) = (context(), context());
            for context in [plain, careful] {
                pcre2::pcre2_set_heap_limit_8(context.as_ptr(), HEAP_LIMIT);
            }
            pcre2_set_callout_8(careful.as_ptr(), Some(callout), (&raw mut *watch).cast());
            let data = new_data(1);
            let (stack, stack_asked, offsets) = (null_mut(), 0, Vec::new());
            let mut matcher = Self { plain, careful, data, pairs: 1, stack, stack_asked, offsets, watch };
            matcher.set_jit_stack(0);
            matcher
        }
    }

    pub(super) fn offsets(&self) -> &[i32] {
        &self.offsets
    }

    pub(super) fn match_(
        &mut self,
        code: &Code,
        groups: usize,
        subject: &[u8],
        start: usize,
        match_limit: u32,
        careful: bool,
    ) -> c_int {
        let pairs = groups + 1;
        self.make_room(pairs);
        let context = self.context(subject.len(), match_limit, careful);
        let run = |data: NonNull<pcre2::pcre2_match_data_8>, options| {
            // SAFETY: all pointers live; a null code is refused. `start` beyond the subject is refused too.
            unsafe {
                let (text, n) = (subject.as_ptr(), subject.len());
                pcre2::pcre2_match_8(code.as_ptr(), text, n, start, options, data.as_ptr(), context)
            }
        };
        let mut rc = run(self.data, 0);
        if rc == pcre2::PCRE2_ERROR_JIT_STACKLIMIT {
            rc = run(self.data, pcre2::PCRE2_NO_JIT);
        }
        self.take_offsets(if rc < 0 { 0 } else { pairs });
        self.give_back_heap();
        rc
    }

    pub(super) fn dfa_match(
        &mut self,
        code: &Code,
        subject: &[u8],
        start: usize,
        match_limit: u32,
        careful: bool,
    ) -> c_int {
        let context = self.context(subject.len(), match_limit, careful);
        let mut workspace = [0; DFA_WORKSPACE];
        // SAFETY: as in `match_`; the workspace is as long as we say.
        let rc = unsafe {
            pcre2::pcre2_dfa_match_8(
                code.as_ptr(),
                subject.as_ptr(),
                subject.len(),
                start,
                0,
                self.data.as_ptr(),
                context,
                workspace.as_mut_ptr(),
                workspace.len(),
            )
        };
        self.take_offsets(usize::from(rc >= 0));
        // It counts the shorter matches too, for which nobody asks.
        rc.min(1)
    }

    pub(super) fn jit_stack(&self) -> usize {
        self.stack_asked
    }

    /// Scripts may make the JIT's stack larger; not smaller than it begins. 0: as it is by default.
    pub(super) fn set_jit_stack(&mut self, asked: usize) -> bool {
        let asked = asked.min(MAX_JIT_STACK_SET);
        let bytes = if asked == 0 { MAX_JIT_STACK } else { asked.max(JIT_STACK) };
        // SAFETY: no match runs; the old stack is freed after the contexts have the new one.
        unsafe {
            let stack = pcre2::pcre2_jit_stack_create_8(JIT_STACK, bytes, null_mut());
            if stack.is_null() {
                return false;
            }
            for context in [self.plain, self.careful] {
                pcre2::pcre2_jit_stack_assign_8(context.as_ptr(), None, stack.cast());
            }
            pcre2::pcre2_jit_stack_free_8(self.stack);
            self.stack = stack;
        }
        self.stack_asked = asked;
        true
    }

    fn context(&mut self, length: usize, match_limit: u32, careful: bool) -> *mut pcre2::pcre2_match_context_8 {
        let context = if careful { self.careful } else { self.plain };
        self.watch.every = (ASK_EVERY / length.max(1)).clamp(1, MAX_ASK_EVERY);
        self.watch.left = self.watch.every;
        let limit = if match_limit == 0 { DEFAULT_MATCH_LIMIT } else { match_limit };
        // SAFETY: the context is ours.
        unsafe { pcre2::pcre2_set_match_limit_8(context.as_ptr(), limit) };
        context.as_ptr()
    }

    fn make_room(&mut self, pairs: usize) {
        if pairs > self.pairs {
            let old = std::mem::replace(&mut self.data, new_data(pairs));
            self.pairs = pairs;
            // SAFETY: ours alone, and replaced.
            unsafe { pcre2::pcre2_match_data_free_8(old.as_ptr()) };
        }
    }

    fn take_offsets(&mut self, pairs: usize) {
        self.offsets.clear();
        // SAFETY: the vector has at least `pairs` pairs (`make_room`), all set by a match that succeeded.
        let found = unsafe {
            let vector = pcre2::pcre2_get_ovector_pointer_8(self.data.as_ptr());
            std::slice::from_raw_parts(vector, pairs * 2)
        };
        // What is not set is the largest number, so that it becomes -1. A Lua string is shorter than 2 GiB.
        self.offsets.extend(found.iter().map(|&offset| offset as i32));
    }

    /// What the interpreter needed for one hard match is not kept for ever.
    fn give_back_heap(&mut self) {
        // SAFETY: the data is ours.
        let held = unsafe { pcre2::pcre2_get_match_data_heapframes_size_8(self.data.as_ptr()) };
        if held > HEAP_KEPT {
            let old = std::mem::replace(&mut self.data, new_data(self.pairs));
            // SAFETY: ours alone, and replaced.
            unsafe { pcre2::pcre2_match_data_free_8(old.as_ptr()) };
        }
    }
}

fn new_data(pairs: usize) -> NonNull<pcre2::pcre2_match_data_8> {
    // A pattern has at most 65,535 groups.
    let pairs = u32::try_from(pairs).unwrap_or(u32::from(u16::MAX));
    // SAFETY: no precondition.
    let data = unsafe { pcre2::pcre2_match_data_create_8(pairs, null_mut()) };
    NonNull::new(data).expect("memory for a match's result")
}

impl Drop for Matcher {
    fn drop(&mut self) {
        // SAFETY: all ours, and no match runs.
        unsafe {
            pcre2::pcre2_match_data_free_8(self.data.as_ptr());
            pcre2::pcre2_match_context_free_8(self.plain.as_ptr());
            pcre2::pcre2_match_context_free_8(self.careful.as_ptr());
            pcre2::pcre2_jit_stack_free_8(self.stack);
        }
    }
}
