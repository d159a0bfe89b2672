#!/usr/bin/env bash
# Makes a wheel out of a built command, installs it into an empty environment and tests it: python/test.sh target/debug/sidereal
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/.."
./tests/install-python.sh
rm -rf target/wheels target/python-empty
PYTHON=$PWD/target/python/bin/python python/wheel.sh "$binary" target/wheels
python3 -m venv target/python-empty
wheel=$(realpath target/wheels/*.whl)
target/python-empty/bin/python -m pip install --quiet --disable-pip-version-check "$wheel[test]"
cd python
# The package that was installed, not its sources.
env -u SIDEREAL_BINARY -u VIRTUAL_ENV ../target/python-empty/bin/python -m pytest -q -o pythonpath=tests
