#!/usr/bin/env python3
"""Reference problems, run and judged: is it right, is it honest where it is not, and what does it cost?

usage: run.py [--sampler sidereal] [--problems a,b*] [--seeds 0-2] [--n-eff 2500] [--budget-minutes M] [--jobs 1]

Samples each problem with each seed and writes one result file of each to --out (target/gauntlet), in a folder
of the sampler, its version (of sidereal: the digest of the command that SIDEREAL_BINARY names) and n_eff; what is there is not run again, so
that it can be stopped at any time. Problems and what is right: problems/ and judge.py; `right` asks for n_eff 2,000 besides. References
of others are looked for in --reference; without it their problems are left out. The package sidereal_inference is taken from PYTHONPATH.

Choices may be made on problems and seeds with --choices alone: half of the problems, seeds below 100. Figures that count are of the other half
or of seeds from 100 on.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from judge import LEAST_N_EFF, judge
from problems import catalogue, drawn
from samplers import SAMPLERS, methods_hash


def seeds(text):
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def is_choice(name):
    """Half of the problems, by their names' characters: set aside once, whatever is added later."""
    return sum(name.encode()) % 2 == 0


def run_one(name, seed, args):
    problem = catalogue(args.reference)[name]
    version = methods_hash(args.sampler)
    way = "-surrogate" if args.surrogate else ""
    folder = args.out / f"{args.sampler}-{version}{way}-{args.n_eff}"
    path = folder / f"{name}-seed-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"gauntlet-{name}-"))
    found = {"problem": name, "dimensions": len(problem.priors), "sampler": args.sampler, "version": version, "seed": seed, "asked": args.n_eff}
    started = time.monotonic()
    try:
        result = SAMPLERS[args.sampler](problem, seed, args, scratch / "run")
        found["seconds"] = round(time.monotonic() - started, 1)
        theta, weight = result.pop("theta"), result.pop("weight")
        found |= result
        found |= judge(problem, theta, weight, result["log_evidence"], result["error"], result["n_eff"])
    except Exception:
        found |= {"status": "failed", "failure": traceback.format_exc()[-3000:]}
    written = path.with_suffix(".tmp")
    written.write_text(json.dumps(found, indent=1))
    os.replace(written, path)
    if args.keep is None:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        shutil.rmtree(args.keep / f"{name}-{seed}", ignore_errors=True)
        shutil.move(scratch, args.keep / f"{name}-{seed}")
    return found


# What is said of each verdict on the page.
VERDICTS = {
    "right": "right, status 0",
    "honest": "honest, status 3",
    "CONFIDENT AND WRONG": "confident and wrong",
    "few draws": "status 0, too few draws",
    "over budget": "status 0, too many simulations",
    "failed": "failed",
}


def verdict(found):
    if found["status"] == "failed":
        return "failed"
    if found["status"] == "not to be trusted":
        return "honest"
    if found["wrong"]:
        return "CONFIDENT AND WRONG"
    if found["n_eff"] < LEAST_N_EFF:
        return "few draws"
    # Peers have no budget.
    return "over budget" if found["calls"] > found.get("budget", found["calls"]) else "right"


def line(found):
    if found["status"] == "failed":
        return f"{found['problem']:26} {found['seed']:3} failed: {found['failure'].strip().splitlines()[-1]}"
    k = found["pareto_k"]
    evidence = f"{found['evidence_off']:+.3f} ± {found['error']:.3f}" if "evidence_off" in found else "unknown"
    words = f"{found['problem']:26} {found['seed']:3} {verdict(found):20} calls {found['calls']:7} n_eff {found['n_eff']:8.0f}"
    words += f" k {k if k is None else round(k, 2)} evidence off by {evidence}, {found['seconds']:.0f} s"
    return words + "".join(f"\n      {reason}" for reason in found["wrong"] + found["reasons"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampler", choices=SAMPLERS, default="sidereal")
    parser.add_argument("--problems", default="*")
    parser.add_argument("--choices", action="store_true", help="only problems that choices may be made on")
    parser.add_argument("--seeds", type=seeds, default=[0])
    parser.add_argument("--n-eff", type=int, default=2_500)
    parser.add_argument("--surrogate", action="store_true", help="training.surrogate = true in campaigns of built-in models")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "target/gauntlet")
    parser.add_argument("--reference", type=pathlib.Path, default=HERE.parents[2] / "shared" / "reference")
    parser.add_argument("--strict", action="store_true", help="end with status 1 where any is not right")
    parser.add_argument("--keep", type=pathlib.Path, help="keep campaign directories here")
    args = parser.parse_args()
    known = catalogue(args.reference)
    left_out = drawn.without_answer()
    if not args.reference.is_dir():
        print(f"left out: problems with references in {args.reference}, which is not there", file=sys.stderr)
    if left_out:
        print(f"left out: {len(left_out)} drawn observations without a reference, which references.py computes", file=sys.stderr)
    patterns = args.problems.split(",")
    names = [n for n in known if any(fnmatch.fnmatch(n, p) for p in patterns)]
    if unknown := [p for p in patterns if not fnmatch.filter(known, p)]:
        raise SystemExit(f"no problem is named {', '.join(unknown)}, expected some of {', '.join(known)}")
    names = [n for n in names if not args.choices or is_choice(n)]
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
    verdicts = collections.Counter()
    deadline = time.monotonic() + 60 * args.budget_minutes
    cases = [(name, seed) for seed in args.seeds for name in names]
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        waiting, running = iter(cases), set()
        while True:
            while len(running) < args.jobs and time.monotonic() < deadline and (case := next(waiting, None)):
                running.add(pool.submit(run_one, *case, args))
            if not running:
                break
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                found = future.result()
                print(line(found), flush=True)
                verdicts[verdict(found)] += 1
    print(", ".join(f"{n} {words}" for words, n in verdicts.most_common()))
    if args.strict and set(verdicts) != {"right"}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
