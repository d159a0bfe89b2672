#!/usr/bin/env bash
# The gauntlet's quick problems, of every kind: ends with 1 where one is not right. benches/gauntlet/subset.sh target/release/sidereal
# Needs Python with numpy, scipy, pyarrow and cloudpickle (PYTHON, default python3).
set -euo pipefail
cd "$(dirname "$0")/../.."
SIDEREAL_BINARY=$(realpath "$1")
export SIDEREAL_BINARY PYTHONPATH=$PWD/python/src
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
problems=loggamma_5,rosenbrock_4,shells_2,sine-loud,normal-5,narrow-2,funnel-10,banana,sine-drawn-0,sine-drawn-1
"${PYTHON:-python3}" benches/gauntlet/run.py --strict --n-eff 2000 --workers 2 --problems "$problems" --out "$out"
