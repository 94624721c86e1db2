#!/bin/sh
# Fuzzes each target for a bounded number of runs, from seeds made of the regression corpus:
#
#     http1/fuzz/smoke.sh                     200,000 runs a target
#     http1/fuzz/smoke.sh 5000000 chunked     more runs of one target
#
# Needs `cargo install cargo-fuzz`. A finding is written to fuzz/artifacts and becomes a case of tests/corpus; what the
# fuzzer learns stays in the target folder.
set -eu
cd "$(dirname "$0")/.."
runs=${1:-200000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- request_head response_head chunked agreement
fuzz/seeds.sh
# Sanitizers are unstable flags; the pinned compiler takes them with this set.
export RUSTC_BOOTSTRAP=1
for target in "$@"; do
    echo "== http1 $target, $runs runs"
    grown=fuzz/target/corpus/$target
    mkdir -p "$grown"
    # 4 KiB hold every case of the corpus; the bounds that need more have tests of their own.
    cargo fuzz run "$target" "$grown" "fuzz/corpus/$target" -- \
        -runs="$runs" -max_len=4096 -dict=fuzz/http1.dict -timeout=10 -verbosity=0
done
