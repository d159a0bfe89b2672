"""Writes observation.csv: a synthetic spectrum around the sodium D doublet.

    python make_observation.py

Needs nothing but Python's standard library. The truth is in TRUTH; campaign.toml does not know it.
"""

import csv
import math
import pathlib
import random

TRUTH = {"c0": 1.02, "s": 0.03, "d": 0.8, "v": -12.0, "w": 0.25, "r": 0.5}
LINES = [5889.95, 5895.92]  # D2 and D1 in air, in angstrom
PIVOT, HALF_RANGE = 5893.0, 9.0
SIGMA = 0.01


def spectrum(wavelength, c0, s, d, v, w, r):
    shift = 1.0 + v / 299792.458
    depths = [math.exp(-0.5 * ((wavelength - line * shift) / w) ** 2) for line in LINES]
    return c0 * (1.0 + s * (wavelength - PIVOT) / HALF_RANGE) * math.exp(-d * (depths[0] + r * depths[1]))


def main():
    noise = random.Random(1)
    path = pathlib.Path(__file__).with_name("observation.csv")
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["wavelength", "value", "sigma"])
        for i in range(181):
            wavelength = 5884.0 + 0.1 * i
            value = spectrum(wavelength, **TRUTH) + noise.gauss(0.0, SIGMA)
            writer.writerow([f"{wavelength:.1f}", f"{value:.6f}", SIGMA])


if __name__ == "__main__":
    main()
