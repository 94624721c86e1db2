#!/bin/sh
# Instructions per round of the VM's hot paths (examples/ir.rs), by callgrind: two runs of different length, so that
# start-up and the compilation of traces cancel out.
#
#     lua-vm/ir.sh [path...]
set -eu
cd "$(dirname "$0")/.."
cargo build -q --release -p lua-vm --example ir
bin="${CARGO_TARGET_DIR:-target}/release/examples/ir"
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin" "$1" "$2" 2>&1 | sed -n 's/.*Collected : //p'
}
for path in ${*:-$("$bin")}; do
    a=$(count "$path" 4000)
    b=$(count "$path" 12000)
    echo "$path $(((b - a) / 8000))"
done
