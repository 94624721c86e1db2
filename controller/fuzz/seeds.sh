#!/usr/bin/env bash
# The golden inputs of translation are the seeds.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p target/corpus/files
cp ../tests/golden/*.in.yaml target/corpus/files/
