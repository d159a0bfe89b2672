#!/usr/bin/env python3
"""Run a campaign over several seeds and print a table of what came out, for benches/README.md.

usage: seeds.py CAMPAIGN [--seeds 0-4] [--reference POSTERIOR.parquet] [--log-evidence Z] [--mode PARAMETER]
                [--binary target/release/sidereal] [--out DIR] [-- FIT OPTIONS...]

With --reference (equally weighted draws by other means) each parameter's mean, standard deviation and
largest distance of the marginal distribution functions are held against it; with --mode the posterior mass
where that parameter is positive is shown. Needs numpy and pyarrow.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def compare(ours, weight, reference):
    """Largest shift in reference standard deviations, ratios of standard deviations, largest CDF gap."""
    shift, low, high, gap = 0.0, np.inf, 0.0, 0.0
    for name in reference.column_names:
        x, y = ours[name].to_numpy(), np.sort(reference[name].to_numpy())
        mean = np.average(x, weights=weight)
        sd = np.sqrt(np.average((x - mean) ** 2, weights=weight))
        shift = max(shift, abs(mean - y.mean()) / y.std())
        low, high = min(low, sd / y.std()), max(high, sd / y.std())
        order = np.argsort(x)
        grid = np.sort(np.concatenate([x, y]))
        cdf = np.concatenate([[0], np.cumsum(weight[order])])
        ours_cdf = cdf[np.searchsorted(x[order], grid, side="right")]
        gap = max(gap, np.abs(ours_cdf - np.searchsorted(y, grid, side="right") / len(y)).max())
    return f"{shift:.3f} | {low:.2f}-{high:.2f} | {gap:.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign")
    parser.add_argument("--seeds", default="0-4", type=seeds)
    parser.add_argument("--reference")
    parser.add_argument("--log-evidence", type=float)
    parser.add_argument("--mode")
    parser.add_argument("--binary", default="target/release/sidereal")
    parser.add_argument("--out", default="target/seeds")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    reference = pq.read_table(args.reference) if args.reference else None
    header = ["seed", "simulations", "rounds", "n_eff", "k̂", "last efficiency", "log evidence ± error"]
    if args.log_evidence is not None:
        header.append("minus reference")
    if reference is not None:
        header += ["largest shift/sd", "sd ratio", "cdf gap"]
    if args.mode:
        header.append(f"mass {args.mode} > 0")
    header += ["status", "seconds"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for seed in args.seeds:
        out = pathlib.Path(args.out) / f"{pathlib.Path(args.campaign).parent.name}-{seed}"
        if out.exists():
            raise SystemExit(f"{out} is there already and would be reported as it is: remove it or choose another --out")
        started = time.monotonic()
        run = subprocess.run(
            [args.binary, "fit", args.campaign, "--seed", str(seed), "--out", str(out), "-q", *args.options],
            stdout=subprocess.DEVNULL,
        )
        seconds = time.monotonic() - started
        if not (out / "summary.json").exists():
            print(f"| {seed} | failed with status {run.returncode} |")
            continue
        summary = json.loads((out / "summary.json").read_text())
        combined, evidence = summary["combined"], summary["combined"]["evidence"]
        last = summary["rounds"][-1]
        k = combined["pareto_k"]
        row = [
            seed, summary["simulations"], len(summary["rounds"]), f"{combined['n_eff']:.0f}",
            "" if k is None else f"{k:.2f}", f"{100 * last['newest_component']['efficiency']:.1f} %",
            f"{evidence['log_evidence']:.3f} ± {evidence['error']:.3f}",
        ]
        if args.log_evidence is not None:
            row.append(f"{evidence['log_evidence'] - args.log_evidence:+.3f}")
        posterior = pq.read_table(out / "posterior.parquet")
        weight = posterior["weight"].to_numpy()
        if reference is not None:
            row.append(compare(posterior, weight, reference))
        if args.mode:
            row.append(f"{weight[posterior[args.mode].to_numpy() > 0].sum():.3f}")
        row += [run.returncode, f"{seconds:.0f}"]
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
