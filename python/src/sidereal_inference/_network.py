"""What a campaign's network says alone of an observation: draws, and densities at parameters."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._process import output_of


@dataclass(frozen=True)
class Said:
    """Rows of parameters, [n, parameters], with the log density of the prior and of the network at each."""

    theta: np.ndarray
    log_prior: np.ndarray
    log_density: np.ndarray


@dataclass(frozen=True)
class Network:
    """The best network of the finished campaign in a directory.

    Observations are x, flattened, and the standard deviations of its noise, or None where the campaign's model draws its own.
    """

    directory: Path

    def draws(self, x: np.ndarray, sigma: np.ndarray | None, n: int, seed: int) -> Said:
        """n draws; the first ones are the same whatever n is."""
        return self.asked(x, sigma, ["--alone", "--draws", str(n), "--seed", str(seed)])

    def density_at(self, x: np.ndarray, sigma: np.ndarray | None, theta: np.ndarray) -> Said:
        """At rows of parameters; log densities are -inf outside the prior."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "points.csv")
            np.savetxt(path, theta, fmt="%.17g", delimiter=",")
            return self.asked(x, sigma, ["--density-at", path])

    def asked(self, x: np.ndarray, sigma: np.ndarray | None, arguments: list[str]) -> Said:
        columns = {"grid": np.arange(float(x.size)), "value": x}
        if sigma is not None:
            columns["sigma"] = sigma
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "observation.csv")
            table = np.column_stack(list(columns.values()))
            np.savetxt(path, table, fmt="%.17g", delimiter=",", header=",".join(columns), comments="")
            text = output_of(["predict", str(self.directory), path, *arguments])
        rows = np.array([[float(word) for word in line.split(",")] for line in text.splitlines()[1:]])
        return Said(rows[:, :-2], rows[:, -2], rows[:, -1])
