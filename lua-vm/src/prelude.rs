//! The trusted Lua that runs first in a VM, in this order. Each file is called with one table, `P`, in which it finds
//! what the files before it left; only `core.lua` touches the FFI's declarations.

/// A chunk's name and its source.
type File = (&'static str, &'static str);

macro_rules! file {
    ($name:literal) => {
        (concat!("=", $name), include_str!(concat!("prelude/", $name, ".lua")))
    };
}

/// What every VM runs.
pub(crate) const FILES: &[File] = &[
    file!("core"),
    file!("table"),
    file!("coroutine"),
    file!("bounded"),
    file!("pattern"),
    file!("require"),
    file!("ngx"),
    file!("ngx_var"),
    file!("ngx_req"),
    file!("ngx_resp"),
    file!("ngx_flow"),
    file!("ngx_time"),
    file!("ngx_text"),
    file!("ngx_shared"),
    file!("ngx_process"),
    file!("ngx_balancer"),
    file!("ngx_re"),
    file!("resty_core"),
    file!("libs"),
    // The name that OpenResty logs it by.
    ("=_G write guard", include_str!("prelude/globals.lua")),
];

/// What a namespace's VM runs after `FILES`.
pub(crate) const HARDEN: &str = "=harden";
pub(crate) const HARDEN_SOURCE: &str = include_str!("prelude/harden.lua");
