#!/usr/bin/env python3
"""Are results with status 0 right? Problems with exact answers, several seeds of each.

usage: run.py SET [--problems a,b] [--seeds 0-9] [--binary target/release/sidereal] [--out target/trust] [--epochs 4] [--jobs 1] [--surrogate]

SET is `bounds` (posteriors that lean on their priors' bounds) or `modes` (narrow modes in wide ones, equal modes, skewed
posteriors). Flows on simulations are hardly trained (`training.max_epochs`): what is tested is what follows. A problem and seed
whose result file is there is not run again. z-scores are (found - exact) / stated error: the evidence's own error, sd / √n_eff for means,
√(p (1 - p) / n_eff) for the probabilities of tails and masses. Needs numpy, scipy and pyarrow.
"""
import argparse
import concurrent.futures
import json
import pathlib
import shutil
import subprocess
import time

import numpy as np
import pyarrow.parquet as pq

import problems


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run_one(problem, seed, args):
    stem = f"{problem.name}-seed-{seed}"
    result = args.out / f"{stem}.json"
    if result.exists():
        return json.loads(result.read_text())
    run = args.out / stem
    shutil.rmtree(run, ignore_errors=True)
    campaign = args.out / f"{stem}.toml"
    campaign.write_text(
        f'name = "{problem.name}"\nseed = {seed}\n\n{problem.toml}[training]\nmax_epochs = {args.epochs}\nsurrogate = {str(args.surrogate).lower()}\n\n'
        f"[rounds]\nstop = {{ n_eff = {problem.n_eff}, simulations = {problem.budget} }}\n"
    )
    started = time.monotonic()
    command = [args.binary, "fit", str(campaign), "--out", str(run), "--device", "cpu", "-q", "--workers", "1"]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    found = {"problem": problem.name, "seed": seed, "status": status.returncode, "seconds": time.monotonic() - started}
    if (run / "summary.json").exists():
        found |= judge(problem, run)
    else:
        found["error"] = status.stderr[-2000:]
    result.write_text(json.dumps(found, indent=1))
    if not args.keep:
        shutil.rmtree(run, ignore_errors=True)
    return found


def judge(problem, run):
    summary = json.loads((run / "summary.json").read_text())
    table = pq.read_table(run / "posterior.parquet")
    draws = {name: table[name].to_numpy() for name in problem.mean}
    weight = table["weight"].to_numpy()
    combined = summary["combined"]
    n_eff, evidence = combined["n_eff"], combined["evidence"]
    log_weight = (table["log_likelihood"].to_numpy() + table["log_prior"].to_numpy()) - table["log_proposal"].to_numpy()
    largest = log_weight.max()
    mean_weight = largest + np.log(np.exp(log_weight - largest).mean())
    z = {}
    for name, exact in problem.mean.items():
        mean = weight @ draws[name]
        sd = np.sqrt(weight @ (draws[name] - mean) ** 2)
        z[name] = (mean - exact) / (sd / np.sqrt(n_eff))
    probability = lambda inside, p: ((weight @ inside) - p) / np.sqrt(p * (1 - p) / n_eff)
    tails = [
        (name, p, probability(draws[name] > at if above else draws[name] < at, p))
        for name, at, above, p in problem.tails
    ]
    masses = [(name, weight @ inside(draws), probability(inside(draws), p)) for name, inside, p in problem.masses]
    return {
        "simulations": summary["simulations"],
        "n_eff": n_eff,
        "pareto_k": combined["pareto_k"],
        "log_evidence": evidence["log_evidence"],
        "error": evidence["error"],
        "z_evidence": (evidence["log_evidence"] - problem.log_evidence) / evidence["error"],
        "exact": problem.log_evidence,
        "mean_weight": mean_weight,
        "z_means": z,
        "z_tails": tails,
        "z_masses": masses,
        "warnings": summary["warnings"],
        "last_efficiency": summary["rounds"][-1]["efficiency"],
    }


def moments(values):
    values = np.asarray(values, dtype=float)
    if not len(values):
        return "none"
    worst = values[np.abs(values).argmax()]
    return f"{values.mean():+.2f} ± {values.std():.2f}, worst {worst:+.1f}"


def table(results):
    print("| problem | status 0 | simulations | n_eff | z of evidence | z of means | z of tails and masses | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    names = list(dict.fromkeys(result["problem"] for result in results))
    for name in names + [None]:
        own = [r for r in results if name is None or r["problem"] == name]
        good = [r for r in own if r["status"] == 0]
        middle = lambda key: f"{np.median([r[key] for r in good]):.0f}" if good else "none"
        parts = lambda r: [z for *_, z in r["z_tails"]] + [z for *_, z in r["z_masses"]]
        row = [
            name or "**all**",
            f"{len(good)} of {len(own)}",
            middle("simulations"),
            middle("n_eff"),
            moments([r["z_evidence"] for r in good]),
            moments([z for r in good for z in r["z_means"].values()]),
            moments([z for r in good for z in parts(r)]),
            f"{np.median([r['seconds'] for r in own]):.0f}",
        ]
        print("| " + " | ".join(row) + " |")
    print()
    for r in results:
        if r["status"] != 0:
            z = f"z of evidence {r['z_evidence']:+.1f}" if "z_evidence" in r else r.get("error", "")
            print(f"{r['problem']} seed {r['seed']}: status {r['status']}, {z}; {'; '.join(r.get('warnings', []))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(problems.SETS))
    parser.add_argument("--problems", default="", help="only those whose names begin so, by commas")
    parser.add_argument("--seeds", default="0-9", type=seeds)
    parser.add_argument("--binary", default="target/release/sidereal")
    parser.add_argument("--out", default=pathlib.Path("target/trust"), type=pathlib.Path)
    parser.add_argument("--epochs", default=4, type=int, help="of the flow on simulations")
    parser.add_argument("--surrogate", action="store_true", help="`training.surrogate = true`")
    parser.add_argument("--jobs", default=1, type=int, help="campaigns at a time")
    parser.add_argument("--keep", action="store_true", help="keep the campaign directories")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = list(problems.chosen(args.set, tuple(args.problems.split(","))))
    work = [(problem, seed) for seed in args.seeds for problem in chosen]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        table(list(pool.map(lambda job: run_one(*job, args), work)))


if __name__ == "__main__":
    main()
