#!/usr/bin/env python3
"""Is the evidence unbiased, and does its stated error hold? Many seeds of a linear-Gaussian campaign.

usage: evidence.py [--seeds 0-199] [--rounds 6] [--simulations 400] [--binary target/release/sidereal] [--out DIR]

The model is that of examples/linear-gaussian (run from the root of the repository), whose evidence Z is known in
closed form. Printed are the mean of Ẑ/Z - 1 with its error, for the evidence of all rounds and for that of fresh draws
alone, the spread over the seeds beside the mean stated error, and how often Z lies within one and two stated errors
(68 and 95 % if they hold). Needs numpy.
"""
import argparse
import json
import pathlib
import subprocess

import numpy as np

EXAMPLE = pathlib.Path("examples/linear-gaussian")


def log_evidence():
    """log N(x; 0, M Mᵀ + diag(sigma²)) of the example, whose prior is standard normal."""
    t, value, sigma = np.loadtxt(EXAMPLE / "observation.csv", delimiter=",", skiprows=1).T
    t = np.linspace(-1.0, 1.0, len(value))
    matrix = np.stack([np.ones_like(t), t, t**2], 1)
    covariance = matrix @ matrix.T + np.diag(sigma**2)
    _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
    return -0.5 * (log_determinant + value @ np.linalg.solve(covariance, value))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-199")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--binary", default="target/release/sidereal")
    parser.add_argument("--out", default="target/evidence")
    args = parser.parse_args()
    first, _, last = args.seeds.partition("-")
    exact = log_evidence()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    head, _, _ = (EXAMPLE / "campaign.toml").read_text().partition("[rounds]")
    campaign = out / "campaign.toml"
    campaign.write_text(f"{head}[rounds]\nmax = {args.rounds}\nsimulations = {args.simulations}\n")
    (out / "observation.csv").write_text((EXAMPLE / "observation.csv").read_text())
    found = {"combined": [], "fresh": []}
    statuses = []
    for seed in range(int(first), int(last or first) + 1):
        run = out / f"seed-{seed}"
        if run.exists():
            raise SystemExit(f"{run} is there already and would be reported as it is: remove it or choose another --out")
        command = [args.binary, "fit", str(campaign), "--out", str(run), "--seed", str(seed), "--device", "cpu", "--quiet"]
        statuses.append(subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode)
        summary = json.loads((run / "summary.json").read_text())
        for name, values in found.items():
            evidence = summary[name]["evidence"]
            values.append((evidence["log_evidence"] - exact, evidence["error"]))
    print(f"log evidence {exact:.4f}, {len(statuses)} seeds, {statuses.count(0)} of them with status 0")
    for name, values in found.items():
        difference, error = np.array(values).T
        relative = np.expm1(difference)
        pull = np.abs(difference / error)
        print(
            f"{name:>8}: mean of Z/Z_exact - 1 {relative.mean():+.5f} ± {relative.std(ddof=1) / len(relative) ** 0.5:.5f}, "
            f"spread {relative.std(ddof=1):.5f}, mean stated error {error.mean():.5f}, "
            f"within one error {np.mean(pull < 1):.0%}, within two {np.mean(pull < 2):.0%}"
        )


if __name__ == "__main__":
    main()
