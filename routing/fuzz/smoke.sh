#!/usr/bin/env bash
# smoke.sh [RUNS]: each fuzz target for so many inputs, from the committed corpus. Bounded, so that CI can have it.
set -euo pipefail
cd "$(dirname "$0")"
runs=${1:-200000}

# Sanitizers are unstable flags. The pinned compiler takes them with this set, which saves a second toolchain.
export RUSTC_BOOTSTRAP=1
for target in $(cargo fuzz list --fuzz-dir .); do
  # The first folder takes what the fuzzer finds, the second is only read: the committed corpus stays as it is.
  mkdir -p "target/corpus/$target"
  cargo fuzz run --fuzz-dir . "$target" "target/corpus/$target" "corpus/$target" -- \
    -runs="$runs" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
