//! The hook behind both limits. It is set only to interrupt: with `LUAJIT_ENABLE_CHECKHOOK` every trace leaves at once
//! while a hook is set.
use crate::alloc::Account;
use crate::ctx::Core;
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::c_void;
use std::sync::atomic::Ordering;

/// Sets the hook. Also called from the signal handler and from inside an allocation.
pub(crate) fn arm(core: &Core) {
    core.armed.store(true, Ordering::Relaxed);
    // SAFETY: on the VM's own thread, where LuaJIT allows this at any time.
    unsafe { lua::lua_sethook(core.l.get(), Some(hook), lua::LUA_MASKCOUNT | lua::LUA_MASKCALL, 1) };
}

/// The host has control: takes the hook away and what the kill left.
pub(crate) fn disarm(core: &Core) {
    let account = &core.account;
    if core.armed.swap(false, Ordering::Relaxed) {
        // SAFETY: on the VM's own thread.
        unsafe { lua::lua_sethook(core.l.get(), None, 0, 0) };
        account.fail_next.set(false);
        account.soft_hit.set(false);
    }
    if account.soft() != soft_limit(account) && account.total() < soft_limit(account) && !account.is_capped() {
        account.set_soft(soft_limit(account));
    }
}

/// Where the hook is first told to collect: LuaJIT's own cycle begins at twice the live heap, so a VM that is half
/// full may be near its limit with garbage.
pub(crate) fn soft_limit(account: &Account) -> usize {
    account.hard.get() / 4 * 3
}

/// `Account::on_soft`
///
/// # Safety
/// `core` is the VM's.
pub(crate) unsafe fn on_soft(core: *mut c_void) {
    // SAFETY: as this function's contract says.
    arm(unsafe { &*core.cast::<Core>() });
}

unsafe extern "C-unwind" fn hook(l: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: runs inside Lua code of `l`; no local has a destructor, since the last call raises.
    unsafe {
        let mut ud = std::ptr::null_mut();
        lua::lua_getallocf(l, &mut ud);
        let core = &*ud.cast::<u8>().sub(std::mem::offset_of!(Core, account)).cast::<Core>();
        let account = &core.account;
        lua::lua_sethook(l, None, 0, 0);
        core.armed.store(false, Ordering::Relaxed);
        if account.soft_hit.replace(false) {
            collect(l, core);
        }
        if core.slot.killed() {
            // Left armed, so that each pcall level that catches this dies at its next instruction.
            arm(core);
            account.fail_next.set(true);
            lua::lua_newuserdata(l, 64);
        }
    }
}

/// A run begins: garbage of earlier ones must not count against it.
///
/// # Safety
/// On the VM's own thread, outside of Lua code or in a C function.
pub(crate) unsafe fn make_room(core: &Core) {
    let account = &core.account;
    if account.soft() == usize::MAX {
        account.set_soft(soft_limit(account));
    }
    account.note_shrunk();
    if account.total() > account.soft() || account.is_cramped() {
        // SAFETY: as this function's contract says.
        unsafe { collect(core.l.get(), core) };
    }
}

/// # Safety
/// `l` runs a hook or nothing.
unsafe fn collect(l: *mut lua_State, core: &Core) {
    let account = &core.account;
    account.set_soft(usize::MAX);
    // SAFETY: as this function's contract says.
    unsafe { full_collection(l, core) };
    let (total, hard) = (account.total(), account.hard.get());
    // Live data alone is near the limit: collecting again and again would only burn time, let the hard limit act.
    account.set_soft(if total > hard / 16 * 15 { usize::MAX } else { total.midpoint(hard) });
    account.collected();
}

/// Collects all garbage. The FFI keeps the coroutine that used it last, and with it all that a failed script held: a
/// function of the prelude (`P.touch`) uses it on `l` first.
///
/// # Safety
/// `l` runs a hook or nothing.
pub(crate) unsafe fn full_collection(l: *mut lua_State, core: &Core) {
    let enforce = core.account.enforce.replace(false);
    // SAFETY: as this function's contract says; with the limit lifted nothing raises, and finalizers run protected.
    unsafe {
        if core.touch.get() != 0 && lua::lua_checkstack(l, 2) != 0 {
            lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, core.touch.get().into());
            if lua::lua_pcall(l, 0, 0, 0) != lua::LUA_OK {
                lua::lua_settop(l, -2);
            }
        }
        lua::lua_gc(l, lua::LUA_GCCOLLECT, 0);
    }
    core.account.enforce.set(enforce);
}
