"""Writes light_curve.csv: 240 points of a synthetic transit, with noise of a fixed seed.

    pip install batman-package numpy
    python make_light_curve.py

The truth: t0 = 0.002, period = 3.5, rp = 0.1, a_rs = 8.5, b = 0.3, u1 = 0.4, u2 = 0.25.
"""

from pathlib import Path

import batman
import numpy as np

SIGMA = 3e-4  # relative flux


def main():
    times = np.round(np.linspace(-0.12, 0.12, 240), 6)
    star = batman.TransitParams()
    star.t0, star.per, star.rp, star.a = 0.002, 3.5, 0.1, 8.5
    star.inc = np.degrees(np.arccos(0.3 / star.a))
    star.ecc, star.w = 0.0, 90.0
    star.limb_dark, star.u = "quadratic", [0.4, 0.25]
    flux = batman.TransitModel(star, times).light_curve(star)
    flux += np.random.default_rng(1).normal(scale=SIGMA, size=len(times))
    with Path(__file__).with_name("light_curve.csv").open("w", encoding="ascii") as file:
        file.write("time,flux,error\n")
        for time, value in zip(times, flux):
            file.write(f"{time:.6f},{value:.7f},{SIGMA}\n")


if __name__ == "__main__":
    main()
