//! Builds LuaJIT from `luajit-src` with two defines more than mlua would.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // `while true do end` compiled by the JIT can only be stopped when every trace checks for hooks.
    // luajit-src sets XCFLAGS itself but hands the rest of its environment on to make; TARGET_FLAGS is
    // read by LuaJIT's Makefile and by nothing else in this build.
    // SAFETY: a build script has one thread, so nothing reads the environment meanwhile.
    unsafe { std::env::set_var("TARGET_FLAGS", "-DLUAJIT_ENABLE_CHECKHOOK") };
    // debug(false): the dev profile would build LuaJIT with its assertions, several times slower.
    // lua52compat: as OpenResty builds it; `__pairs`, `__len` of tables, `table.pack` and the like are used there.
    luajit_src::Build::new().debug(false).lua52compat(true).build().print_cargo_metadata();
}
