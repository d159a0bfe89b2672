#!/usr/bin/env bash
# A wheel for this machine out of a command that is built already: python/wheel.sh target/debug/sidereal target/wheels
# Needs maturin and wheel beside $PYTHON (tests/install-python.sh). Releases are made by python/release.sh.
set -euo pipefail
binary=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
PYTHON=${PYTHON:-python3}
cd "$(dirname "$0")"
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
"$PYTHON" -m maturin pep517 write-dist-info --metadata-directory "$staging" >&2
info=$(basename "$staging"/*.dist-info)
cp -r src/sidereal_inference "$staging/"
find "$staging" -name __pycache__ -prune -exec rm -r {} +
scripts="$staging/${info%.dist-info}.data/scripts"
mkdir -p "$scripts"
# Line tables are for debuggers.
strip -o "$scripts/sidereal" "$binary"
chmod 755 "$scripts/sidereal"
"$PYTHON" -m wheel pack "$staging" --dest-dir "$out" >&2
