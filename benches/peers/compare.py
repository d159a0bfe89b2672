#!/usr/bin/env python3
"""Run sidereal and its peers on the same posterior, one after the other, and print a table.

usage: compare.py [--problems sine,microlensing] [--only nautilus,sbi] [--seeds 0-2] [--threads 2] [--timeout 1500]
                  [--results target/peers.jsonl] [--binary target/release/sidereal] [--table]

Needs numpy and pyarrow, and of the peers what is to be compared:

    pip install nbi==0.4.1 sbi lampe ultranest nautilus-sampler dynesty

Each run is a process of its own with `--threads` threads and appends a line of JSON to `--results`; `--table` prints the
table of what is there and runs nothing.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default="sine,microlensing", type=lambda text: text.split(","))
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--seeds", default="0", type=seeds)
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--timeout", default=1500, type=float, help="seconds of a run")
    parser.add_argument("--results", default="target/peers.jsonl", type=pathlib.Path)
    parser.add_argument("--binary", default="target/release/sidereal")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--run", nargs=2, metavar=("PROBLEM", "PEER"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", default=0, type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def run(args):
    """One peer on one problem in this process; prints a line of JSON."""
    import numpy as np
    import peers
    from problems import problem

    name, peer = args.run
    given = problem(name)
    if peer in ("sbi", "sbi_truncated", "lampe", "nbi"):
        try:
            import torch

            torch.set_num_threads(args.threads)
        except ImportError:
            pass
    started = time.monotonic()
    try:
        found = peers.PEERS[peer](given, args)
    except peers.NotInstalled as missing:
        return {"outcome": f"skipped: {missing} is not installed"}
    seconds = time.monotonic() - started
    weight = np.nan_to_num(found["weight"])
    # All weights may be zero: nothing was found.
    weight = weight / max(weight.sum(), 1e-300)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    row = {
        "outcome": "done", "version": found["version"], "simulations": int(found["simulations"]),
        "n_eff": float(max(1 / max((weight**2).sum(), 1e-300) - 1, 0)) if weight.any() else 0.0, "seconds": seconds,
        "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in usage), "note": found.get("note", ""),
    }
    if found.get("log_evidence") is not None:
        row |= {"log_evidence": float(found["log_evidence"]), "error": float(found["error"])}
    if "A" in given.labels:
        row["mass"] = float(weight[np.asarray(found["theta"])[:, given.labels.index("A")] > 0].sum())
    return row


def run_apart(args, problem, peer, seed):
    threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, __file__, "--run", problem, peer, "--seed", str(seed), "--threads", str(args.threads)]
    command += ["--binary", args.binary]
    # A session of its own, so that the timeout ends its children too.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | threads, start_new_session=True
    )
    try:
        out, error = process.communicate(timeout=args.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return {"outcome": f"not done within {args.timeout:.0f} s on the clock"}
    if process.returncode != 0:
        last = (error.strip().splitlines() or ["no message"])[-1]
        return {"outcome": f"failed: {last}"}
    return json.loads(out.strip().splitlines()[-1])


def table(path):
    from problems import problem

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for name in dict.fromkeys(row["problem"] for row in rows):
        header = ["peer", "simulations", "n_eff", "simulations per effective draw", "seconds", "CPU seconds"]
        header += ["log evidence ± error", "minus reference"] + ["mass A > 0"] * (name == "sine") + ["seed"]
        print(f"\n{name}\n\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
        for row in (row for row in rows if row["problem"] == name):
            peer = f"{row['peer']} {row.get('version', '')}".strip()
            if row["outcome"] != "done":
                print(f"| {peer} | {row['outcome']} |" + " |" * (len(header) - 3) + f" {row['seed']} |")
                continue
            cells = [peer, row["simulations"], f"{row['n_eff']:.0f}", f"{row['simulations'] / max(row['n_eff'], 1e-9):.3g}"]
            cells += [f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}"]
            if "log_evidence" in row:
                difference = row["log_evidence"] - problem(name).log_evidence
                cells += [f"{row['log_evidence']:.3f} ± {row['error']:.3f}", f"{difference:+.3f}"]
            else:
                cells += ["none", ""]
            cells += [f"{row.get('mass', 0):.3f}"] * (name == "sine") + [row["seed"]]
            print("| " + " | ".join(str(cell) for cell in cells) + " |")


def main():
    args = arguments()
    if args.run:
        # What peers print is not the result.
        out = os.dup(1)
        os.dup2(2, 1)
        row = run(args)
        os.write(out, (json.dumps(row) + "\n").encode())
        return
    if not args.table:
        import peers

        unknown = set(args.only or []) - set(peers.PEERS)
        if unknown:
            raise SystemExit(f"unknown peer {', '.join(sorted(unknown))}, expected some of {', '.join(peers.PEERS)}")
        args.results.parent.mkdir(parents=True, exist_ok=True)
        for problem in args.problems:
            for peer in args.only or peers.PEERS:
                for seed in args.seeds:
                    row = {"problem": problem, "peer": peer, "seed": seed, "threads": args.threads}
                    row |= run_apart(args, problem, peer, seed)
                    print(json.dumps(row), file=sys.stderr, flush=True)
                    with args.results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    table(args.results)


if __name__ == "__main__":
    main()
