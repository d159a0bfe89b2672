"""Writes observation.csv: a synthetic light curve of a hot Jupiter, made with the batman package.

    pip install batman-package numpy
    python make_observation.py

The truth is in TRUTH; campaign.toml does not know it.
"""

import csv
import pathlib
import random

import batman
import numpy

TRUTH = {"rp": 0.1, "aRs": 8.5, "b": 0.3, "t0": 0.002, "u1": 0.4, "u2": 0.25}
PERIOD = 3.5  # days
SIGMA = 3e-4  # relative flux


def main():
    times = numpy.linspace(-0.12, 0.12, 200)
    star = batman.TransitParams()
    star.t0, star.per, star.rp, star.a = TRUTH["t0"], PERIOD, TRUTH["rp"], TRUTH["aRs"]
    star.inc = numpy.degrees(numpy.arccos(TRUTH["b"] / TRUTH["aRs"]))
    star.ecc, star.w = 0.0, 90.0
    star.limb_dark, star.u = "quadratic", [TRUTH["u1"], TRUTH["u2"]]
    flux = batman.TransitModel(star, times).light_curve(star)

    noise = random.Random(1)
    path = pathlib.Path(__file__).with_name("observation.csv")
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", "value", "sigma"])
        for time, value in zip(times, flux):
            writer.writerow([f"{time:.6f}", f"{value + noise.gauss(0.0, SIGMA):.7f}", SIGMA])


if __name__ == "__main__":
    main()
