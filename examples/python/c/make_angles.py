"""Writes angles.csv: what the pendulum of `truth` in campaign.toml does, with noise of a fixed seed.

    make
    python make_angles.py
"""

import subprocess
from pathlib import Path

import numpy as np

SIGMA = 0.1  # radians


def main():
    here = Path(__file__).parent
    truth = "3.0 0.2 2.5 0.0\n"
    line = subprocess.run([here / "pendulum"], input=truth, capture_output=True, text=True, check=True).stdout
    angle = np.array(line.split(), dtype=float)
    angle += np.random.default_rng(4).normal(scale=SIGMA, size=len(angle))
    with (here / "angles.csv").open("w", encoding="ascii") as file:
        file.write("time,angle,error\n")
        for i, value in enumerate(angle):
            file.write(f"{0.2 * i:.1f},{value:.4f},{SIGMA}\n")


if __name__ == "__main__":
    main()
