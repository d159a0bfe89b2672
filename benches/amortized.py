#!/usr/bin/env python3
"""Efficiency of an amortized sine model over fresh observations.

usage: amortized.py MODEL [--observations 20] [--seed 0] [--draws 5000] [--binary target/release/sidereal]

MODEL is the campaign directory of examples/sine/amortized.toml. Parameters of the observations are drawn from
its prior, noise of sigma 0.1 is added, and `sidereal predict` weighs draws for each of them. Prints a line an
observation and the median efficiency. Needs numpy.
"""
import argparse, json, pathlib, subprocess, sys, tempfile
import numpy as np

SIGMA = 0.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--observations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--binary", default="target/release/sidereal")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    time = np.linspace(0, 1, 50)
    with tempfile.TemporaryDirectory() as scratch:
        truths, paths = [], []
        for i in range(args.observations):
            phi0, a, omega = rng.uniform([0, -4, 2 * np.pi], [2 * np.pi, 4, 12 * np.pi])
            value = a * np.sin(omega * time + phi0) + SIGMA * rng.normal(size=len(time))
            path = pathlib.Path(scratch) / f"observation-{i:03}.csv"
            rows = (f"{t!r},{v!r},{SIGMA}" for t, v in zip(time.tolist(), value.tolist()))
            path.write_text("\n".join(["time,value,sigma", *rows]) + "\n")
            truths.append((phi0, a, omega))
            paths.append(str(path))
        command = [args.binary, "predict", args.model, *paths, "--draws", str(args.draws), "--out", scratch + "/out", "--json", "-q"]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode not in (0, 3):
            sys.exit(f"{' '.join(command[:3])} ...: exit status {run.returncode}\n{run.stderr}")
        predictions = json.loads(run.stdout)
    print("| phi0 | A | omega | efficiency | k-hat |\n|---|---|---|---|---|")
    for (phi0, a, omega), found in zip(truths, predictions):
        k = "none" if found["pareto_k"] is None else f"{found['pareto_k']:.2f}"
        print(f"| {phi0:.2f} | {a:.2f} | {omega:.2f} | {found['efficiency']:.1%} | {k} |")
    efficiencies = [found["efficiency"] for found in predictions]
    print(f"median efficiency {np.median(efficiencies):.1%}, from {min(efficiencies):.1%} to {max(efficiencies):.1%}")


if __name__ == "__main__":
    main()
