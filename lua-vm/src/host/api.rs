//! `host_api!`: from each signature the trait method, the trampoline, the cdef text and the address.
use crate::ctx::VmCtx;
use std::ffi::c_void;

/// One function of the host as the prelude casts it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The C type of the function pointer.
    pub(crate) ctype: String,
    pub(crate) address: *mut c_void,
}

/// What a method of `Host` may return through a trampoline.
pub(crate) trait HostReturn {
    type C;
    /// Its name in a cdef.
    const CTYPE: &'static str;
    fn into_c(self, ctx: &VmCtx) -> Self::C;
}

impl HostReturn for () {
    type C = i32;
    const CTYPE: &'static str = "int";
    fn into_c(self, _: &VmCtx) -> i32 {
        0
    }
}

impl HostReturn for i32 {
    type C = i32;
    const CTYPE: &'static str = "int";
    fn into_c(self, _: &VmCtx) -> i32 {
        self
    }
}

impl HostReturn for f64 {
    type C = f64;
    const CTYPE: &'static str = "double";
    fn into_c(self, _: &VmCtx) -> f64 {
        self
    }
}

impl HostReturn for bool {
    type C = bool;
    const CTYPE: &'static str = "bool";
    fn into_c(self, _: &VmCtx) -> bool {
        self
    }
}

/// 1 and the bytes in `out`, or 0.
impl HostReturn for Option<&[u8]> {
    type C = i32;
    const CTYPE: &'static str = "int";
    fn into_c(self, ctx: &VmCtx) -> i32 {
        match self {
            Some(bytes) => {
                ctx.out.set(bytes);
                1
            }
            // What is there of another call may be freed by now.
            None => {
                ctx.out.set(b"");
                0
            }
        }
    }
}

/// The number (which must not be negative), or -1 and the text in `err`.
impl HostReturn for Result<i32, &[u8]> {
    type C = i32;
    const CTYPE: &'static str = "int";
    fn into_c(self, ctx: &VmCtx) -> i32 {
        match self {
            Ok(n) => n.max(0),
            Err(text) => {
                ctx.err.set(text);
                -1
            }
        }
    }
}

/// 1 and the bytes in `out`, 0, or -1 and the text in `err`.
impl HostReturn for Result<Option<&[u8]>, &[u8]> {
    type C = i32;
    const CTYPE: &'static str = "int";
    fn into_c(self, ctx: &VmCtx) -> i32 {
        match self {
            Ok(value) => value.into_c(ctx),
            Err(text) => {
                ctx.err.set(text);
                -1
            }
        }
    }
}

/// # Safety
/// `p` points at `n` bytes that stay for `'a`, or is null.
pub(crate) unsafe fn bytes<'a>(p: *const u8, n: i32) -> &'a [u8] {
    if p.is_null() || n <= 0 {
        return &[];
    }
    // SAFETY: as this function's contract says.
    unsafe { std::slice::from_raw_parts(p, n as usize) }
}

/// # Safety
/// As for `bytes`.
pub(crate) unsafe fn opt_bytes<'a>(p: *const u8, n: i32) -> Option<&'a [u8]> {
    // SAFETY: as this function's contract says.
    if p.is_null() { None } else { Some(unsafe { bytes(p, n) }) }
}

/// Runs `call` on the current host and writes its result where the prelude reads it. A panic must not cross the
/// boundary: it is told on stderr by the panic hook and becomes `fallback`.
///
/// # Safety
/// `ctx` is the VM's, during a run whose host is an `H`, and nothing else uses that host meanwhile.
pub(crate) unsafe fn guarded<H, C>(ctx: *mut VmCtx, fallback: C, call: impl FnOnce(&mut H, &VmCtx) -> C) -> C {
    let run = move || {
        // SAFETY: as this function's contract says.
        unsafe {
            let ctx = &*ctx;
            call(&mut *ctx.host.get().cast::<H>(), ctx)
        }
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        // SAFETY: as this function's contract says.
        unsafe {
            (*ctx).err.set(b"internal error");
            (*ctx).out.set(b"");
        }
        fallback
    })
}

/// A panicking method answers this; the text in `err` is `internal error`.
pub(crate) trait Fallback {
    const FALLBACK: Self;
}
impl Fallback for i32 {
    const FALLBACK: i32 = -1;
}
impl Fallback for f64 {
    const FALLBACK: f64 = 0.0;
}
impl Fallback for bool {
    const FALLBACK: bool = false;
}

/// The trampolines' return type from the method's: the outermost name is enough.
macro_rules! c_return {
    () => {
        i32
    };
    (f64) => {
        f64
    };
    (bool) => {
        bool
    };
    ($other:ident) => {
        i32
    };
}

/// One trampoline: takes the arguments off one by one, gathering C parameters, Rust arguments and their C types.
macro_rules! trampoline {
    (@done $name:ident [$($ret:ident)?] { $($p:tt)* } { $($call:expr,)* }) => {
        pub(super) unsafe extern "C" fn $name<H: super::Host>(ctx: *mut VmCtx, $($p)*) -> c_return!($($ret)?) {
            // SAFETY: the prelude passes the VM's context and, for strings, pointers with their lengths.
            unsafe {
                guarded::<H, c_return!($($ret)?)>(ctx, Fallback::FALLBACK, |host, ctx| {
                    HostReturn::into_c(host.$name($($call),*), ctx)
                })
            }
        }
    };
    (@args $name:ident $ret:tt { $($p:tt)* } { $($c:expr,)* } $(,)?) => {
        trampoline!(@done $name $ret { $($p)* } { $($c,)* });
    };
    (@args $name:ident $ret:tt { $($p:tt)* } { $($c:expr,)* } $a:ident : &[u8] $(, $($rest:tt)*)?) => {
        trampoline!(@args $name $ret { $($p)* $a: *const u8, len: i32, } { $($c,)* bytes($a, len), } $($($rest)*)?);
    };
    (@args $name:ident $ret:tt { $($p:tt)* } { $($c:expr,)* } $a:ident : Option<&[u8]> $(, $($rest:tt)*)?) => {
        trampoline!(@args $name $ret { $($p)* $a: *const u8, len: i32, } { $($c,)* opt_bytes($a, len), } $($($rest)*)?);
    };
    (@args $name:ident $ret:tt { $($p:tt)* } { $($c:expr,)* } $a:ident : $t:ident $(, $($rest:tt)*)?) => {
        trampoline!(@args $name $ret { $($p)* $a: $t, } { $($c,)* $a, } $($($rest)*)?);
    };
}

/// The C types of a method's arguments, each with a comma before it.
macro_rules! c_args {
    ($out:ident $(,)?) => {};
    ($out:ident $a:ident : &[u8] $(, $($rest:tt)*)?) => { $out.push_str(", const char *, int"); c_args!($out $($($rest)*)?); };
    ($out:ident $a:ident : Option<&[u8]> $(, $($rest:tt)*)?) => { $out.push_str(", const char *, int"); c_args!($out $($($rest)*)?); };
    ($out:ident $a:ident : i32 $(, $($rest:tt)*)?) => { $out.push_str(", int32_t"); c_args!($out $($($rest)*)?); };
    ($out:ident $a:ident : u32 $(, $($rest:tt)*)?) => { $out.push_str(", uint32_t"); c_args!($out $($($rest)*)?); };
    ($out:ident $a:ident : i64 $(, $($rest:tt)*)?) => { $out.push_str(", int64_t"); c_args!($out $($($rest)*)?); };
    ($out:ident $a:ident : f64 $(, $($rest:tt)*)?) => { $out.push_str(", double"); c_args!($out $($($rest)*)?); };
    ($out:ident $a:ident : bool $(, $($rest:tt)*)?) => { $out.push_str(", bool"); c_args!($out $($($rest)*)?); };
}

/// A trait method with or without a default.
macro_rules! body {
    ({ $($sig:tt)* }) => { $($sig)*; };
    ({ $($sig:tt)* } $default:expr) => { #[allow(unused_variables)] $($sig)* { $default } };
}

/// See `host.rs`, its only use.
macro_rules! host_api {
    (
        $(#[$trait_meta:meta])*
        trait Host {
            $(
                $(#[$meta:meta])*
                fn $name:ident ( $($args:tt)* ) $(-> $ret:ident $(<$($inner:ty),+>)?)? $(= $default:expr)? ;
            )*
        }
        re_enter {
            $(
                $(#[$raw_meta:meta])*
                fn $raw_name:ident ( $($raw_args:tt)* ) $(-> $raw_ret:ident)? $(= $raw_default:expr)? ;
            )*
        }
    ) => {
        $(#[$trait_meta])*
        pub trait Host: Sized + 'static {
            $(
                body! { { $(#[$meta])* fn $name(&mut self, $($args)*) $(-> $ret $(<$($inner),+>)?)? } $($default)? }
            )*
            $(
                body! { { $(#[$raw_meta])* fn $raw_name($($raw_args)*) $(-> $raw_ret)? } $($raw_default)? }
            )*
        }

        /// `extern "C"` functions over the trait.
        mod trampolines {
            use crate::ctx::VmCtx;
            use super::api::{Fallback, HostReturn, bytes, guarded, opt_bytes};
            $( trampoline!(@args $name [$($ret)?] {} {} $($args)*); )*
        }

        /// The names of all methods of [`Host`]: for tests that are to use each of them.
        #[doc(hidden)]
        pub fn host_methods() -> Vec<&'static str> {
            vec![$(stringify!($name),)* $(stringify!($raw_name)),*]
        }

        /// Every function above with its C type and address.
        pub(crate) fn entries<H: Host>() -> Vec<api::Entry> {
            vec![$({
                let mut ctype = String::new();
                ctype.push_str(<c_return!($($ret)?) as api::HostReturn>::CTYPE);
                ctype.push_str(" (*)(mg_ctx *");
                c_args!(ctype $($args)*);
                ctype.push(')');
                api::Entry {
                    name: stringify!($name),
                    ctype,
                    address: trampolines::$name::<H> as *mut std::ffi::c_void,
                }
            }),*]
        }
    };
}
