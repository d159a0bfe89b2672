#!/usr/bin/env python3
"""Posteriors of the drawn observations by nautilus, to hold results against: one file each in references/.

usage: references.py [--problems a,b*] [--budget-minutes M] [--n-live 3000]

What is there is not computed again, so that it can be stopped at any time. A file has at most 2,000 draws of equal weight, and in its
metadata log evidence, its error, n_eff and calls of the likelihood. Needs nautilus-sampler.
"""
import argparse
import fnmatch
import importlib.metadata
import json
import os
import pathlib
import sys
import time

# One thread: other things may be running.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from problems.drawn import FORMAT, REFERENCES, all_drawn, digest

N_EFF = 10_000
ROWS = 2_000


def compute(problem, n_live):
    import nautilus

    names, calls = list(problem.priors), [0]

    def log_likelihood(theta):
        calls[0] += len(theta)
        return problem.log_likelihood(theta)

    sampler = nautilus.Sampler(
        problem.from_cube, log_likelihood, n_dim=len(names), n_live=n_live, n_networks=1, n_batch=500, vectorized=True, pass_dict=False, seed=1,
        periodic=np.array([names.index(name) for name in problem.periodic]) if problem.periodic else None,
    )
    # What was drawn while the bounds were sought is left out: without that evidence and draws are slightly biased.
    sampler.run(n_eff=N_EFF, discard_exploration=True)
    theta, log_weight, log_l = sampler.posterior()
    found = {
        "digest": digest(problem), "sampler": f"nautilus {importlib.metadata.version('nautilus-sampler')}", "n_live": n_live,
        "log_evidence": float(sampler.log_z), "error": float(1 / np.sqrt(sampler.n_eff)), "n_eff": float(sampler.n_eff),
        "calls": calls[0], "max_log_likelihood": float(log_l.max()),
    }
    return evenly(theta, np.exp(log_weight - log_weight.max()), min(ROWS, int(sampler.n_eff))), found


def evenly(theta, weight, n):
    """n draws of equal weight, each by its weight times n up to rounding (systematic resampling along the first coordinate)."""
    order = np.argsort(theta[:, 0])
    edges = np.cumsum(weight[order])
    at = (np.arange(n) + np.random.default_rng(1).random()) / n * edges[-1]
    return theta[order[np.searchsorted(edges, at)]]


def store(problem, theta, found):
    # Digits beyond a part in 10⁴ of the standard deviation only take place.
    step = 2.0 ** np.floor(np.log2(1e-4 * theta.std(axis=0)))
    table = pa.table(dict(zip(problem.priors, (np.round(theta / step) * step).T)))
    table = table.replace_schema_metadata({FORMAT: json.dumps(found)})
    written = problem.reference.with_suffix(".tmp")
    pq.write_table(table, written, compression="zstd", use_dictionary=False, column_encoding={n: "BYTE_STREAM_SPLIT" for n in problem.priors})
    os.replace(written, problem.reference)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default="*")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"))
    parser.add_argument("--n-live", type=int, default=3_000)
    args = parser.parse_args()
    REFERENCES.mkdir(exist_ok=True)
    deadline = time.monotonic() + 60 * args.budget_minutes
    for problem in all_drawn():
        if problem.reference.exists() or not any(fnmatch.fnmatch(problem.name, p) for p in args.problems.split(",")):
            continue
        if time.monotonic() > deadline:
            break
        started = time.monotonic()
        theta, found = compute(problem, args.n_live)
        store(problem, theta, found)
        words = f"log evidence {found['log_evidence']:.3f}, n_eff {found['n_eff']:.0f} of {found['calls']} calls"
        print(f"{problem.name:32} {words}, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
