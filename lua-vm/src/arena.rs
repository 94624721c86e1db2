//! A growing buffer that is a userdata of the VM, for C functions: it counts against the VM's limit, and an error that
//! passes over it leaks nothing.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use mlua_sys as lua;
use mlua_sys::lua_State;

/// First size.
const FIRST: usize = 1024;
/// A buffer larger than this is not kept for the next call: one large document should not hold its memory for ever.
const KEPT: usize = 256 * 1024;

/// The buffer. Its userdata is at `index` of the stack.
pub(crate) struct Arena {
    l: *mut lua_State,
    index: c_int,
    start: *mut u8,
    capacity: usize,
    len: usize,
}

impl Arena {
    /// Pushes one: that which `table` keeps at `place`, taken out of it (a call from within this one gets another), or
    /// none yet.
    ///
    /// # Safety
    /// `l` runs a C function, with room for two values. The arena is used in that call only, while its index of the
    /// stack is left alone. Only arenas are ever kept at that place.
    pub(crate) unsafe fn take(l: *mut lua_State, table: c_int, place: c_int) -> Self {
        // SAFETY: as this function's contract says.
        unsafe {
            lua::lua_rawgeti_(l, table, place);
            let index = lua::lua_gettop(l);
            let start = lua::lua_touserdata(l, index).cast::<u8>();
            let capacity = if start.is_null() { 0 } else { lua::lua_objlen(l, index) };
            lua::lua_pushnil(l);
            lua::lua_rawseti_(l, table, place);
            Self { l, index, start, capacity, len: 0 }
        }
    }

    /// Pushes one that begins in `local` and becomes a userdata once that does not suffice.
    ///
    /// # Safety
    /// As for `take`; `local` outlives the arena and is used by it alone.
    pub(crate) unsafe fn on(l: *mut lua_State, local: &mut [MaybeUninit<u8>]) -> Self {
        // SAFETY: as this function's contract says.
        let index = unsafe {
            lua::lua_pushnil(l);
            lua::lua_gettop(l)
        };
        Self { l, index, start: local.as_mut_ptr().cast(), capacity: local.len(), len: 0 }
    }

    /// Gives it to `table` for the next call.
    ///
    /// # Safety
    /// As for `take`; last use.
    pub(crate) unsafe fn keep(&self, table: c_int, place: c_int) {
        if self.capacity <= KEPT {
            // SAFETY: as this function's contract says.
            unsafe {
                lua::lua_pushvalue(self.l, self.index);
                lua::lua_rawseti_(self.l, table, place);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Drops what is behind.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: the first `len` bytes have been written.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// # Safety
    /// As for `take`; there is room on the stack for a value. May raise.
    pub(crate) unsafe fn reserve(&mut self, more: usize) {
        if self.capacity - self.len < more {
            // SAFETY: as this function's contract says.
            unsafe { self.grow(more) };
        }
    }

    #[cold]
    unsafe fn grow(&mut self, more: usize) {
        let capacity = (self.len + more).max(self.capacity * 2).max(FIRST);
        // SAFETY: as for `reserve`; the old userdata stays on the stack until its bytes are copied.
        unsafe {
            let start = lua::lua_newuserdata(self.l, capacity).cast::<u8>();
            if self.len > 0 {
                std::ptr::copy_nonoverlapping(self.start, start, self.len);
            }
            lua::lua_replace(self.l, self.index);
            self.start = start;
            self.capacity = capacity;
        }
    }

    /// # Safety
    /// As for `reserve`.
    pub(crate) unsafe fn push(&mut self, bytes: &[u8]) {
        // SAFETY: as for `reserve`, after which there is room.
        unsafe {
            self.reserve(bytes.len());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(self.len), bytes.len());
        }
        self.len += bytes.len();
    }

    /// # Safety
    /// As for `reserve`.
    pub(crate) unsafe fn push_byte(&mut self, byte: u8) {
        // SAFETY: as for `reserve`, after which there is room.
        unsafe {
            self.reserve(1);
            self.start.add(self.len).write(byte);
        }
        self.len += 1;
    }
}

/// A stack of plain values in an [`Arena`].
pub(crate) struct Frames<T> {
    arena: Arena,
    _of: std::marker::PhantomData<T>,
}

impl<T: Copy> Frames<T> {
    /// # Safety
    /// As for [`Arena::take`].
    pub(crate) unsafe fn take(l: *mut lua_State, table: c_int, place: c_int) -> Self {
        // SAFETY: as this function's contract says.
        Self { arena: unsafe { Arena::take(l, table, place) }, _of: std::marker::PhantomData }
    }

    /// # Safety
    /// As for [`Arena::keep`].
    pub(crate) unsafe fn keep(&self, table: c_int, place: c_int) {
        // SAFETY: as this function's contract says.
        unsafe { self.arena.keep(table, place) };
    }

    pub(crate) fn depth(&self) -> usize {
        self.arena.len / size_of::<T>()
    }

    /// # Safety
    /// As for [`Arena::reserve`].
    pub(crate) unsafe fn push(&mut self, frame: T) {
        // SAFETY: after `reserve` there is room; userdata are aligned to 16 bytes, and all before are whole `T`s.
        unsafe {
            self.arena.reserve(size_of::<T>());
            self.arena.start.add(self.arena.len).cast::<T>().write(frame);
        }
        self.arena.len += size_of::<T>();
    }

    pub(crate) fn pop(&mut self) {
        self.arena.len -= size_of::<T>();
    }

    /// The innermost; `None` outside of all.
    pub(crate) fn top(&mut self) -> Option<&mut T> {
        let at = self.arena.len.checked_sub(size_of::<T>())?;
        // SAFETY: a whole `T` was written there by `push`.
        Some(unsafe { &mut *self.arena.start.add(at).cast::<T>() })
    }
}
