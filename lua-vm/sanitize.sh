#!/bin/sh
# Runs the VM's tests under AddressSanitizer, with the nightly compiler. LuaJIT is built with the sanitizer's
# instrumentation of its C code too (its assembler and compiled traces are not seen); mimalloc stays as it is, so what is
# found is misuse of Rust's memory and of LuaJIT's C stack and globals, and double frees or leaks in what Rust allocates.
#
#     lua-vm/sanitize.sh [test filter]
set -eu
cd "$(dirname "$0")/.."
target=$(rustc +nightly -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
# LuaJIT raises errors by unwinding through frames whose locals it never returns to: the checks for use after return and
# the fake stack would see that as errors. Its state is freed by lua_close, so leaks are looked for.
export ASAN_OPTIONS="detect_stack_use_after_return=0:detect_leaks=1:handle_segv=0:allow_user_segv_handler=1"
export LSAN_OPTIONS="suppressions=$PWD/lua-vm/lsan.supp"
exec cargo +nightly test -p lua-vm --target "$target" -- "$@"
