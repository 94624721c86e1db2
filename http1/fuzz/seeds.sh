#!/bin/sh
# Writes the cases of tests/corpus as seeds of the fuzz targets into fuzz/corpus, which is not committed.
set -eu
cd "$(dirname "$0")/.."
# Or everything is built anew after the fuzzer's own build.
unset RUSTC_BOOTSTRAP
rm -rf fuzz/corpus
exec cargo run --quiet --example seeds -- fuzz/corpus
