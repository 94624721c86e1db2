//! Making a state and running the prelude in it.
use super::{Vm, VmInner, VmOptions, error_text};
use crate::alloc::{Account, allocate};
use crate::budget::Share;
use crate::ctx::{CDEF, Core};
use crate::error::{ErrorKind, ScriptError, VmError};
use crate::interrupt::Interrupt;
use crate::loader::load_text;
use crate::regex::{self, ffi::ReCtx};
use crate::{Host, cfun, host, limits, prelude, watchdog};
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;

/// Registry references of what the host uses of the prelude.
#[derive(Default)]
pub(crate) struct Refs {
    /// Session id to `ngx.ctx`.
    pub(crate) ctxs: c_int,
    /// The timers' entry.
    pub(crate) timer: c_int,
    /// The message handler of calls on the main state.
    pub(crate) handler: c_int,
}

pub(super) fn open<H: Host>(options: VmOptions) -> Result<Vm<H>, VmError> {
    let slot = watchdog::register().map_err(VmError::Watchdog)?;
    let share = options.budget.as_ref().map(|budget| Share::new(budget, options.trusted));
    let core = Box::new(Core::new(Account::new(options.limits.memory_bytes, share), options.modules.clone(), slot));
    let core = NonNull::from(Box::leak(core));
    let mut inner = VmInner {
        core,
        limits: options.limits.clone(),
        pool: RefCell::default(),
        ids: RefCell::default(),
        next_id: Cell::new(1),
        refs: Refs::default(),
        _host: PhantomData,
    };
    // SAFETY: the account lives as long as the state: `VmInner::drop` closes the state first.
    let l = unsafe { lua::lua_newstate(allocate, (&raw const core.as_ref().account).cast_mut().cast()) };
    if l.is_null() {
        return Err(VmError::Memory);
    }
    inner.core().l.set(l);
    inner.core().ctx.cut.set(inner.core().account.cut.as_ptr());
    // SAFETY: host mode: no allocation fails, so nothing outside of the protected calls raises.
    unsafe {
        lua::lua_atpanic(l, cfun::panic);
        lua::luaL_openlibs(l);
        push_bootstrap::<H>(l, core.as_ptr(), &options);
        for (name, source) in prelude::FILES {
            run_file(l, name, source)?;
        }
        if !options.trusted {
            run_file(l, prelude::HARDEN, prelude::HARDEN_SOURCE)?;
        }
        inner.refs = Refs { ctxs: take(l, c"ctxs"), timer: take(l, c"timer"), handler: 0 };
        lua::lua_pushlightuserdata(l, core.as_ptr().cast());
        lua::lua_pushcclosure(l, cfun::traceback, 1);
        inner.refs.handler = lua::luaL_ref(l, lua::LUA_REGISTRYINDEX);
        inner.core().touch.set(take(l, c"touch"));
        inner.core().sealed.set(take(l, c"sealed"));
        lua::lua_settop(l, 0);
        lua::lua_gc(l, lua::LUA_GCCOLLECT, 0);
    }
    let account = &inner.core().account;
    account.set_soft(limits::soft_limit(account));
    account.on_soft_arg.set(core.as_ptr().cast());
    account.on_soft.set(Some(limits::on_soft));
    account.collected();
    Ok(Vm(Rc::new(inner)))
}

/// Pushes the table that every file of the prelude gets.
unsafe fn push_bootstrap<H: Host>(l: *mut lua_State, core: *mut Core, options: &VmOptions) {
    // SAFETY: host mode; the stack stays under ten values.
    unsafe {
        lua::lua_createtable(l, 0, 16);
        lua::lua_pushlightuserdata(l, core.cast());
        lua::lua_setfield(l, -2, c"ctx".as_ptr());
        lua::lua_pushlightuserdata(l, std::ptr::null_mut());
        lua::lua_setfield(l, -2, c"null".as_ptr());
        set_str(l, c"cdef", &[CDEF, regex::ffi::CDEF].concat());
        lua::lua_pushlightuserdata(l, open_regexes(core, options).cast());
        lua::lua_setfield(l, -2, c"re".as_ptr());
        set_str(l, c"vm_name", &options.name);
        if let Some(path) = &options.package_path {
            set_str(l, c"package_path", path);
        }
        lua::lua_pushboolean(l, c_int::from(options.trusted));
        lua::lua_setfield(l, -2, c"trusted".as_ptr());
        lua::lua_createtable(l, 0, 0);
        for (i, dict) in (1..).zip(&options.dicts) {
            lua::lua_pushlstring(l, dict.as_ptr().cast(), dict.len());
            lua::lua_rawseti(l, -2, i);
        }
        lua::lua_setfield(l, -2, c"dicts".as_ptr());
        lua::lua_createtable(l, 0, 0);
        for entry in host::entries::<H>().into_iter().chain(regex::ffi::entries()) {
            let name = CString::new(entry.name).unwrap_or_default();
            lua::lua_createtable(l, 0, 2);
            set_str(l, c"ctype", &entry.ctype);
            lua::lua_pushlightuserdata(l, entry.address);
            lua::lua_setfield(l, -2, c"address".as_ptr());
            lua::lua_setfield(l, -2, name.as_ptr());
        }
        lua::lua_setfield(l, -2, c"api".as_ptr());
        lua::lua_createtable(l, 0, 0);
        for (name, function) in cfun::functions::<H>() {
            lua::lua_pushlightuserdata(l, core.cast::<c_void>());
            lua::lua_pushcclosure(l, function, 1);
            lua::lua_setfield(l, -2, name.as_ptr());
        }
        lua::lua_setfield(l, -2, c"C".as_ptr());
    }
}

/// Makes the VM's regular expressions. Those of a namespace end when the VM is to be stopped.
unsafe fn open_regexes(core: *mut Core, options: &VmOptions) -> *mut ReCtx {
    let limits = regex::Limits {
        match_limit: options.limits.regex_match_limit,
        cache_entries: options.limits.regex_cache_entries,
        output: options.limits.memory_bytes,
        // So that patterns made from what clients send cannot take all that a VM may have.
        cache_bytes: regex::Limits::default().cache_bytes.min(options.limits.memory_bytes / 4),
        interrupted: (!options.trusted).then(|| Interrupt::of(core)),
    };
    // SAFETY: nothing else uses the core yet. The box keeps its address.
    unsafe {
        let regexes = (*core).regexes.get();
        &raw mut **(*regexes).insert(ReCtx::new(limits, NonNull::from(&(*core).account)))
    }
}

unsafe fn set_str(l: *mut lua_State, key: &std::ffi::CStr, value: &str) {
    // SAFETY: host mode, a table is on top.
    unsafe {
        lua::lua_pushlstring(l, value.as_ptr().cast(), value.len());
        lua::lua_setfield(l, -2, key.as_ptr());
    }
}

/// Runs one file of the prelude with the bootstrap table, which stays on top.
unsafe fn run_file(l: *mut lua_State, name: &str, source: &str) -> Result<(), VmError> {
    // SAFETY: host mode, the bootstrap table is at index 1.
    unsafe {
        let failed = |l| {
            let error = ScriptError::new(ErrorKind::Runtime, error_text(l));
            Err(VmError::Prelude(error))
        };
        if load_text(l, std::ptr::null(), name, source.as_bytes()) != lua::LUA_OK {
            return failed(l);
        }
        lua::lua_pushvalue(l, 1);
        if lua::lua_pcall(l, 1, 0, 0) != lua::LUA_OK {
            return failed(l);
        }
    }
    Ok(())
}

/// Takes a field of the bootstrap table into the registry.
unsafe fn take(l: *mut lua_State, field: &std::ffi::CStr) -> c_int {
    // SAFETY: host mode, the bootstrap table is at index 1.
    unsafe {
        lua::lua_getfield(l, 1, field.as_ptr());
        lua::luaL_ref(l, lua::LUA_REGISTRYINDEX)
    }
}
