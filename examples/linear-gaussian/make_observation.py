"""Writes observation.csv: noisy values of a parabola.

    python make_observation.py

Needs nothing but Python's standard library. The truth is in TRUTH; campaign.toml does not know it.
"""

import csv
import pathlib
import random

TRUTH = {"offset": 0.5, "slope": -1.2, "curvature": 0.8}
SIGMA = 0.3


def main():
    noise = random.Random(1)
    path = pathlib.Path(__file__).with_name("observation.csv")
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["t", "value", "sigma"])
        for i in range(9):
            t = -1.0 + 0.25 * i
            value = TRUTH["offset"] + TRUTH["slope"] * t + TRUTH["curvature"] * t * t
            writer.writerow([t, f"{value + noise.gauss(0.0, SIGMA):.6f}", SIGMA])


if __name__ == "__main__":
    main()
