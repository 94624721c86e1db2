#!/bin/sh
# Fuzzes each target for a bounded number of runs, from the regression corpus:
#
#     http1/fuzz/smoke.sh                     200,000 runs a target, about a minute in all
#     http1/fuzz/smoke.sh 5000000 chunked     more runs of one target
#
# Needs `cargo install cargo-fuzz` and a nightly toolchain. What it finds is written to fuzz/artifacts; what it learns is
# kept in fuzz/corpus, which is generated and not committed: a finding becomes a case of tests/corpus.
set -eu
cd "$(dirname "$0")/.."
runs=${1:-200000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- request_head response_head chunked agreement
cargo run --quiet --example seeds -- fuzz/corpus
for target in "$@"; do
    echo "== http1 $target, $runs runs"
    # 4 KiB hold every case of the corpus; the bounds that need more have tests of their own.
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" -- -runs="$runs" -max_len=4096 -dict=fuzz/http1.dict -timeout=10 -print_final_stats=0 -verbosity=0
done
