//! What `prelude/ngx_re.lua` calls by FFI. It needs no host and works in every phase.
//!
//! Wiring, for the VM's author:
//! - `Core` (or what else lives as long as the state, at a fixed address) owns a `Box<ReCtx>`, made by [`ReCtx::new`]
//!   with the VM's match limit, and for namespaces the question whether the VM is to be killed. It is dropped after
//!   `lua_close`.
//! - `push_bootstrap` appends [`CDEF`] to `P.cdef`, the [`entries`] to `P.api`, and sets `P.re` to the context's address
//!   as a light userdata.
//! - `prelude/ngx_re.lua` runs after `ngx` and `require`.
//!
//! All functions take the context first. Texts and offsets that they leave in it are valid until the next call.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::{CompileError, Id, Limits, Regexes, SubError};
use crate::alloc::Account;
use crate::host::api::{Entry, bytes};

/// [`ReCtx`] as the prelude sees it, up to the fields that are Rust's own.
pub(crate) const CDEF: &str = "
typedef struct {
  const int32_t *offsets;
  int32_t captures;
  int32_t names;
  int32_t dup_names;
  int32_t utf;
  int32_t n;
  const char *p;
} mg_re;
";

/// The regex was evicted: compile it again.
const STALE: i32 = -1000;
/// The replacement template is wrong.
const TEMPLATE: i32 = -1001;
/// The result is too long.
const MEMORY: i32 = -1002;
/// A panic of ours, which the panic hook has told.
const PANIC: i32 = -1003;

/// The text buffer's size that is kept between calls.
const KEPT: usize = 64 * 1024;

/// A VM's regular expressions and the results of the last call.
#[repr(C)]
pub(crate) struct ReCtx {
    /// Of the last match: see [`Regexes::offsets`].
    offsets: *const i32,
    /// Of the regex compiled last: its groups, its named groups, whether names may stand for several, whether it works
    /// on characters of UTF-8.
    captures: i32,
    names: i32,
    dup_names: i32,
    utf: i32,
    /// A text: its length and its bytes.
    n: i32,
    p: *const u8,
    regexes: Regexes,
    buffer: Vec<u8>,
    /// The VM's, which outlives this.
    account: NonNull<Account>,
    /// What of the code and of the buffer it was charged.
    charged: usize,
}

impl ReCtx {
    /// # Safety
    /// The account outlives it, and is of its thread.
    pub(crate) unsafe fn new(limits: Limits, account: NonNull<Account>) -> Box<Self> {
        Box::new(Self {
            offsets: std::ptr::null(),
            captures: 0,
            names: 0,
            dup_names: 0,
            utf: 0,
            n: 0,
            p: std::ptr::null(),
            regexes: Regexes::new(limits),
            buffer: Vec::new(),
            account,
            charged: 0,
        })
    }

    fn account(&self) -> &Account {
        // SAFETY: as `new`'s contract says.
        unsafe { self.account.as_ref() }
    }

    /// Makes the VM's account hold what is held here; false when there is no room for it.
    fn settle(&mut self) -> bool {
        let held = self.regexes.bytes() + self.buffer.capacity();
        if held > self.charged && !self.account().charge(held - self.charged) {
            return false;
        }
        self.account().discharge(self.charged.saturating_sub(held));
        self.charged = held;
        true
    }

    /// Frees a text that was long, once it was taken.
    fn release(&mut self) -> i32 {
        self.buffer = Vec::new();
        self.settle();
        0
    }

    /// As `settle` after a pattern was compiled: others make room for it.
    fn settle_compiled(&mut self, id: Id) -> bool {
        while !self.settle() {
            if !self.regexes.evict_but(id) {
                self.regexes.evict(id);
                self.settle();
                return false;
            }
        }
        true
    }

    fn compile(&mut self, pattern: &[u8], options: &[u8]) -> i32 {
        let compiled = self.regexes.compile(pattern, options);
        if let Ok(id) = compiled
            && !self.settle_compiled(id)
        {
            return MEMORY;
        }
        match compiled {
            Ok(id) => {
                let Some(regex) = self.regexes.get(id) else { return STALE };
                self.captures = regex.captures() as i32;
                self.names = (0..).take_while(|&at| regex.name(at).is_some()).count() as i32;
                self.dup_names = i32::from(regex.options.duplicate_names);
                self.utf = i32::from(regex.options.is_utf());
                id.0
            }
            Err(CompileError::Return(text)) => {
                self.set_text(text.as_bytes());
                -1
            }
            Err(CompileError::Raise(text)) => {
                self.set_text(text.as_bytes());
                -2
            }
        }
    }

    fn name(&mut self, id: Id, at: i32) -> i32 {
        let name = self.regexes.get(id).and_then(|regex| regex.name(usize::try_from(at).ok()?));
        let Some((number, name)) = name else { return 0 };
        (self.p, self.n) = (name.as_ptr(), name.len() as i32);
        number as i32
    }

    fn exec(&mut self, id: Id, subject: &[u8], start: i32) -> i32 {
        let start = usize::try_from(start).unwrap_or(0);
        let rc = self.regexes.exec(id, subject, start).unwrap_or(STALE);
        self.offsets = self.regexes.offsets().as_ptr();
        rc
    }

    fn sub(&mut self, id: Id, subject: &[u8], replacement: &[u8], global: bool) -> i32 {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.shrink_to(KEPT);
        let room = self.account().room();
        let result = self.regexes.sub(id, subject, replacement, global, room, &mut buffer);
        self.buffer = buffer;
        if !self.settle() {
            self.release();
            return MEMORY;
        }
        (self.p, self.n) = (self.buffer.as_ptr(), i32::try_from(self.buffer.len()).unwrap_or(i32::MAX));
        match result {
            Ok(count) => i32::try_from(count).unwrap_or(i32::MAX),
            Err(SubError::Exec(code)) => code,
            Err(SubError::Template) => TEMPLATE,
            Err(SubError::Memory) => MEMORY,
            Err(SubError::Stale) => STALE,
        }
    }

    fn set_jit_stack(&mut self, bytes: usize) -> bool {
        let before = self.regexes.jit_stack();
        if !self.regexes.set_jit_stack(bytes) {
            return false;
        }
        self.settle() || {
            self.regexes.set_jit_stack(before);
            self.settle();
            false
        }
    }

    fn set_text(&mut self, text: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(text);
        (self.p, self.n) = (self.buffer.as_ptr(), self.buffer.len() as i32);
    }
}

/// # Safety
/// `re` is a [`ReCtx`] that nothing else uses meanwhile.
unsafe fn guarded(re: *mut ReCtx, call: impl FnOnce(&mut ReCtx) -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as this function's contract says.
        call(unsafe { &mut *re })
    }))
    .unwrap_or(PANIC)
}

/// The number of the regex, which is not negative; or with a text, -1 to return it and -2 to raise it; or [`MEMORY`].
unsafe extern "C" fn re_compile(re: *mut ReCtx, pattern: *const u8, n: i32, options: *const u8, o: i32) -> i32 {
    // SAFETY: the prelude passes its context and strings with their lengths.
    unsafe { guarded(re, |re| re.compile(bytes(pattern, n), bytes(options, o))) }
}

/// The number of the `at`th named group, with its name; 0 if there is none.
unsafe extern "C" fn re_name(re: *mut ReCtx, id: i32, at: i32) -> i32 {
    // SAFETY: the prelude passes its context.
    unsafe { guarded(re, |re| re.name(Id(id), at)) }
}

/// PCRE2's result, or [`STALE`].
unsafe extern "C" fn re_exec(re: *mut ReCtx, id: i32, subject: *const u8, n: i32, start: i32) -> i32 {
    // SAFETY: the prelude passes its context and a string with its length.
    unsafe { guarded(re, |re| re.exec(Id(id), bytes(subject, n), start)) }
}

/// How many were replaced, and the new text unless none; PCRE2's error, or one of those above.
unsafe extern "C" fn re_sub(
    re: *mut ReCtx,
    id: i32,
    subject: *const u8,
    n: i32,
    replacement: *const u8,
    r: i32,
    global: bool,
) -> i32 {
    // SAFETY: the prelude passes its context and strings with their lengths.
    unsafe { guarded(re, |re| re.sub(Id(id), bytes(subject, n), bytes(replacement, r), global)) }
}

/// 0 if there is no memory for it.
unsafe extern "C" fn re_jit_stack(re: *mut ReCtx, size: f64) -> i32 {
    // SAFETY: the prelude passes its context.
    unsafe { guarded(re, |re| i32::from(re.set_jit_stack(size.max(0.0) as usize))) }
}

/// Frees the text of a long result.
unsafe extern "C" fn re_release(re: *mut ReCtx) -> i32 {
    // SAFETY: the prelude passes its context.
    unsafe { guarded(re, ReCtx::release) }
}

/// Patterns in the cache.
unsafe extern "C" fn re_cached(re: *mut ReCtx) -> i32 {
    // SAFETY: the prelude passes its context.
    unsafe { guarded(re, |re| re.regexes.len() as i32) }
}

/// For `P.api`.
pub(crate) fn entries() -> Vec<Entry> {
    let entry = |name, ctype: &str, address| Entry { name, ctype: ctype.into(), address };
    vec![
        entry("re_compile", "int (*)(mg_re *, const char *, int, const char *, int)", re_compile as *mut c_void),
        entry("re_name", "int (*)(mg_re *, int, int)", re_name as *mut c_void),
        entry("re_exec", "int (*)(mg_re *, int, const char *, int, int)", re_exec as *mut c_void),
        entry("re_sub", "int (*)(mg_re *, int, const char *, int, const char *, int, bool)", re_sub as *mut c_void),
        entry("re_jit_stack", "int (*)(mg_re *, double)", re_jit_stack as *mut c_void),
        entry("re_release", "int (*)(mg_re *)", re_release as *mut c_void),
        entry("re_cached", "int (*)(mg_re *)", re_cached as *mut c_void),
    ]
}
