#!/usr/bin/env python3
"""nbi's own demonstration with one changed import: runs the code cells of its notebook as they stand and says what each fit and
prediction is worth.

The notebook is `examples/demo-sine-v041.ipynb` of https://github.com/kmzzhang/nbi (BSD 3-clause), which is not kept here:
benches/nbi_demo.py demo-sine-v041.ipynb. `--periodic phi0` says besides that the phase is a circle, which nbi has no word for.
"""

import argparse
import functools
import json
import time
import warnings

import matplotlib
from sidereal_inference import nbi

CHANGED = ("import nbi\n", "from sidereal_inference import nbi\n")


class Measured(nbi.NBI):
    """Notes what each `fit` and each weighed `predict` has cost and given."""

    rows: list = []
    periodic_labels: tuple = ()

    @functools.wraps(nbi.NBI.__init__)
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **{"periodic": self.periodic_labels, **named})

    def fit(self, *arguments, **named):
        begun = time.monotonic()
        super().fit(*arguments, **named)
        note = "amortized" if self._is_amortized else "sequential"
        n_eff = "" if self._is_amortized else f"{self._result.n_eff:.0f}"
        self.rows.append((f"fit, {note}", self._result.simulations, n_eff, time.monotonic() - begun))

    def predict(self, *arguments, **named):
        begun = time.monotonic()
        found = super().predict(*arguments, **named)
        if isinstance(found, tuple):
            weights = found[1]
            n_eff = 1 / (weights**2).sum() - 1
            self.rows.append(("predict", len(weights), f"{n_eff:.0f}", time.monotonic() - begun))
        return found

    def corner(self, *arguments, **named):
        """Pictures are not measured."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook")
    parser.add_argument("--periodic", nargs="*", default=[])
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    warnings.simplefilter("ignore")
    Measured.periodic_labels = tuple(arguments.periodic)
    version, nbi.NBI = nbi.NBI, Measured
    with open(arguments.notebook) as file:
        cells = json.load(file)["cells"]
    space = {"__name__": "__main__"}
    n_changed = 0
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        lines = [line for line in cell["source"] if not line.startswith("%")]
        source = "".join(lines) + "\n"
        n_changed += source.count(CHANGED[0])
        exec(compile(source.replace(*CHANGED), f"cell {number}", "exec"), space)
    assert n_changed == 1, f"{n_changed} imports of nbi, expected 1"
    nbi.NBI = version
    print("| call | simulations | n_eff | seconds |\n|---|---|---|---|")
    for call, simulations, n_eff, seconds in Measured.rows:
        print(f"| {call} | {simulations} | {n_eff} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
