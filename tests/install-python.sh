#!/usr/bin/env bash
# The environment of the tests with Python, in target/python. For them: export VIRTUAL_ENV=$PWD/target/python
set -euo pipefail
cd "$(dirname "$0")/.."
environment=target/python
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    "numpy>=1.24" "pyarrow>=14" "cloudpickle>=3" "maturin>=1.8,<2" "wheel>=0.45"
