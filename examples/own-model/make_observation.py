"""Writes observation.csv: synthetic radial velocities of a star with one planet.

    python make_observation.py

The truth is in TRUTH; campaign.toml shows it as `truth`, for the pictures.
"""

import csv
import math
import pathlib
import random

TRUTH = {"K": 31.0, "P": 12.4, "e": 0.3, "omega": 1.1, "M0": 4.0, "v0": 5.0}
SIGMA = 3.0  # m/s
NIGHTS = 90


def true_anomaly(mean, e):
    eccentric = mean
    for _ in range(100):
        eccentric = mean + e * math.sin(eccentric)
    return 2 * math.atan2(math.sqrt(1 + e) * math.sin(eccentric / 2), math.sqrt(1 - e) * math.cos(eccentric / 2))


def main():
    chance = random.Random(1)
    times = sorted(round(night + chance.uniform(-0.15, 0.15), 4) for night in chance.sample(range(NIGHTS), 40))
    epoch = (times[0] + times[-1]) / 2
    path = pathlib.Path(__file__).with_name("observation.csv")
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", "value", "sigma"])
        for time in times:
            mean = 2 * math.pi * (time - epoch) / TRUTH["P"] + TRUTH["M0"]
            angle = true_anomaly(mean, TRUTH["e"]) + TRUTH["omega"]
            velocity = TRUTH["v0"] + TRUTH["K"] * (math.cos(angle) + TRUTH["e"] * math.cos(TRUTH["omega"]))
            writer.writerow([time, round(velocity + chance.gauss(0, SIGMA), 3), SIGMA])


if __name__ == "__main__":
    main()
