#!/bin/sh
# Runs the VM's tests under AddressSanitizer, with the nightly compiler. The Lua heap comes from the sanitizer's
# allocator instead of mimalloc, so what Rust reads or writes of Lua's memory after its end, and what it leaks, is found.
# LuaJIT's and PCRE2's own code is not instrumented: their misuse of memory shows only where it meets ours.
#
#     lua-vm/sanitize.sh [test filter]
set -eu
cd "$(dirname "$0")/.."
target=$(rustc +nightly -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
# A fake stack would not survive coroutines and errors that unwind through it.
export ASAN_OPTIONS="detect_stack_use_after_return=0:detect_leaks=1"
# A symbolised backtrace of a panic that a test provokes takes longer than a script may.
export RUST_BACKTRACE=0
exec cargo +nightly test -p lua-vm --features system-malloc --target "$target" -- "$@"
