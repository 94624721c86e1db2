//! Links LuaJIT built with `LUAJIT_ENABLE_CHECKHOOK`. mlua-sys is told not to build its own (feature `external`).
