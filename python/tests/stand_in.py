"""A stand-in for the command, and results as the command writes them."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from sidereal_inference._binary import package_version

# That of the package, where it is installed.
VERSION = package_version() or "1.2.3"

SCRIPT = """#!{python}
import json, os, shutil, signal, sys, time
from pathlib import Path

here = Path(__file__).parent
with open(here / "calls", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "--version":
    print("sidereal {version}")
    sys.exit()
behaviour = json.loads((here / "behaviour.json").read_text())
out = sys.argv[sys.argv.index("--out") + 1] if "--out" in sys.argv else sys.argv[2]
for line in behaviour["says"]:
    print(line, file=sys.stderr, flush=True)
if "hangs" in behaviour:
    def leave(number, frame):
        (here / "left").write_text(str(number))
        sys.exit(4)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    (here / "hanging").write_text(str(os.getpid()))
    time.sleep(60)
if behaviour["result"]:
    shutil.copytree(behaviour["result"], out, dirs_exist_ok=True)
sys.exit(behaviour["status"])
"""


class Command:
    """An executable in a directory of its own; `behave` says what it does next."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir()
        self.path = directory / "sidereal"
        self.path.write_text(SCRIPT.format(python=sys.executable, version=VERSION))
        self.path.chmod(0o755)
        self.behave()

    def behave(self, status=0, says=(), result=None, **more):
        content = {"status": status, "says": list(says), "result": None if result is None else str(result), **more}
        (self.directory / "behaviour.json").write_text(json.dumps(content))

    def calls(self):
        """What it was called with, but for its version."""
        path = self.directory / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words for words in map(json.loads, lines) if words != ["--version"]]


def write_result(directory: Path, warnings=(), n_modes=1, n_eff=3.0, pareto_k=0.25):
    """A campaign's result of four draws of the parameters a and b, and the derived quantity mass."""
    directory.mkdir(parents=True, exist_ok=True)
    posterior = {
        "a": [0.5, 1.0, 1.5, 2.0],
        "b": [-1.0, -2.0, -3.0, -4.0],
        "mass": [10.0, 20.0, 30.0, 40.0],
        "log_likelihood": [-9.0, -1.0, -2.0, -3.0],
        "log_prior": [0.0, 0.5, 0.5, 0.5],
        "log_proposal": [0.0, 0.0, 0.0, 0.0],
        "round": [0, 1, 1, 1],
        "row_id": [0, 0, 1, 2],
        "weight": [0.0, 0.5, 0.25, 0.25],
    }
    pa.parquet.write_table(pa.table(posterior), directory / "posterior.parquet")
    samples = pa.table({"a": [1.0, 1.5, 1.0, 2.0], "b": [-2.0, -3.0, -2.0, -4.0], "mass": [20.0, 30.0, 20.0, 40.0]})
    pa.parquet.write_table(samples, directory / "samples.parquet")
    parameters = [
        {"name": "a", "mean": 1.375, "sd": 0.4146, "median": 1.25, "quantile_16": 0.9, "quantile_84": 1.75},
        {"name": "b", "mean": -2.75, "sd": 0.0829, "median": -2.5, "quantile_16": -3.5, "quantile_84": -2.0},
    ]
    masses = {1: [1.0], 2: [0.75, 0.25]}[n_modes]
    summary = {
        "format": "sidereal-summary",
        "version": 1,
        "campaign": "line",
        "seed": 0,
        "simulations": 1234,
        "rounds": [{"round": 0, "n_eff": 0.0}, {"round": 1, "n_eff": 1.5}],
        "combined": {
            "n": 1200,
            "n_eff": n_eff,
            "efficiency": n_eff / 1200,
            "pareto_k": pareto_k,
            "max_weight": 0.5,
            "evidence": {"log_evidence": -3.25, "error": 0.125},
        },
        "parameters": parameters,
        "modes": [{"mass": mass, "error": 0.01, "parameters": parameters} for mass in masses],
        "stop_reason": {"reason": "target_effective_sample_size", "n_eff": n_eff, "target": 2.0},
        "warnings": list(warnings),
    }
    (directory / "summary.json").write_text(json.dumps(summary))
    for number, shards in enumerate([[[0]], [[1, 2], [0]]]):
        path = directory / "rounds" / f"{number:03d}" / "shards"
        path.mkdir(parents=True, exist_ok=True)
        for rows in shards:
            x = pa.array([[10.0 * number + row, row] for row in rows], pa.list_(pa.float32(), 2))
            pa.parquet.write_table(
                pa.table({"row_id": pa.array(rows, pa.uint64()), "x": x}), path / f"{rows[0]}.parquet"
            )
    return directory


SAMPLES = np.array([[1.0, -2.0, 20.0], [1.5, -3.0, 30.0], [1.0, -2.0, 20.0], [2.0, -4.0, 40.0]])
