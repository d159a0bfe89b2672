"""Writes velocities.csv: 40 radial velocities of an eccentric orbit, with a fixed seed.

    pip install numpy scipy
    python make_velocities.py

The truth: K = 60 m/s, period = 28 days, e = 0.4, omega = 1, M0 = 2, offset = 12 m/s, errors of 5 m/s.
"""

from pathlib import Path

import numpy as np
from scipy.optimize import brentq


def main():
    rng = np.random.default_rng(3)
    time = np.sort(rng.uniform(0, 100, 40)).round(4)
    mean_anomaly = 2 * np.pi * time / 28 + 2.0
    E = np.array([brentq(lambda E, M=M: E - 0.4 * np.sin(E) - M, M - 1, M + 1) for M in mean_anomaly])
    true_anomaly = 2 * np.arctan(np.sqrt(1.4 / 0.6) * np.tan(E / 2))
    velocity = 12 + 60 * (np.cos(true_anomaly + 1) + 0.4 * np.cos(1)) + rng.normal(scale=5, size=len(time))
    with Path(__file__).with_name("velocities.csv").open("w", encoding="ascii") as file:
        file.write("time,velocity,error\n")
        for row in zip(time, velocity):
            file.write("{:.4f},{:.3f},5.0\n".format(*row))


if __name__ == "__main__":
    main()
