#!/usr/bin/env bash
# Makes what goes to PyPI: a wheel for Linux on x86_64 with glibc 2.17 or later, and an sdist, which is built once to see that it can be.
# python/release.sh [OUT]; OUT is target/release-wheels by default. How a release is made: docs/releasing.md.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-target/release-wheels}")
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/release-build}
most_bytes=$((40 * 1024 * 1024))

environment=$CARGO_TARGET_DIR/python
python3 -m venv "$environment"
python=$environment/bin/python
"$python" -m pip install --quiet --disable-pip-version-check "maturin>=1.8,<2" ziglang auditwheel
export PATH=$environment/bin:$PATH

rm -rf "$out"
mkdir -p "$out"
# zig links against the old glibc; strip leaves out line tables, which are for debuggers.
build() {
    maturin build --release --strip --zig --compatibility manylinux_2_17 --target x86_64-unknown-linux-gnu --out "$1"
}
(cd python && maturin sdist --out "$out")
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -xzf "$out"/*.tar.gz -C "$unpacked"
# The wheel is that of the sdist, so that neither has what the other lacks.
(cd "$unpacked"/* && build "$out")

auditwheel show "$out"/*.whl
for file in "$out"/*; do
    size=$(stat -c %s "$file")
    echo "$(basename "$file"): $size bytes"
    if [ "$size" -gt "$most_bytes" ]; then
        echo "expected at most $most_bytes bytes" >&2
        exit 1
    fi
done
python3 -m venv "$unpacked/empty"
"$unpacked/empty/bin/python" -m pip install --quiet --disable-pip-version-check "$out"/*.whl
"$unpacked/empty/bin/sidereal" --version
"$unpacked/empty/bin/python" -c "import sidereal_inference; print(sidereal_inference._call.binary())"
