#!/bin/sh
# Fuzzes the parsers of campaign files, model descriptions, shards and journals.
#
#     fuzz/run.sh [SECONDS] [TARGET...]
#
# SECONDS for each target, 600 unless given; all targets unless some are named. Needs `cargo install cargo-fuzz` and a
# C++ compiler; no nightly toolchain, as RUSTC_BOOTSTRAP lets a stable one take the flags. What is found lies in
# fuzz/artifacts/; once mended, its file goes to fuzz/corpus/TARGET/, which `cargo test` runs too. New inputs that
# reach new code are kept in fuzz/found/, apart from that corpus.
set -eu
cd "$(dirname "$0")"
seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- campaign_file campaign_json shard journal
# The versions that the program is built with.
[ -e Cargo.lock ] || cp ../Cargo.lock Cargo.lock
for target in "$@"; do
    mkdir -p "found/$target"
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir . --sanitizer none "$target" "found/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096
done
