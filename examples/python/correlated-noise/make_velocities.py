"""Writes velocities.csv: 120 radial velocities of a star with a planet and an active surface, with a fixed seed.

    pip install numpy
    python make_velocities.py

The truth: K = 4 m/s, period = 7.3 days, phase = 1.2, noise of the star with sd 5 m/s and timescale 4 days, errors of 1.5 m/s.
"""

from pathlib import Path

import numpy as np


def main():
    rng = np.random.default_rng(2)
    time = np.sort(rng.uniform(0, 90, 120)).round(4)
    signal = 4.0 * np.sin(2 * np.pi * time / 7.3 + 1.2)
    covariance = 5.0**2 * np.exp(-np.abs(time[:, None] - time) / 4.0)
    velocity = signal + rng.multivariate_normal(np.zeros(len(time)), covariance) + rng.normal(scale=1.5, size=len(time))
    with Path(__file__).with_name("velocities.csv").open("w", encoding="ascii") as file:
        file.write("time,velocity,error\n")
        for row in zip(time, velocity):
            file.write("{:.4f},{:.3f},1.5\n".format(*row))


if __name__ == "__main__":
    main()
