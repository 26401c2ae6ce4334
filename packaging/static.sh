#!/usr/bin/env bash
# Builds steplog as a static binary that runs in any image, and leaves it in target/static/steplog.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(rustc --print host-tuple)
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target"
mkdir -p target/static
cp "${CARGO_TARGET_DIR:-target}/$target/release/steplog" target/static/steplog
echo "target/static/steplog: $(stat -c %s target/static/steplog) bytes"
