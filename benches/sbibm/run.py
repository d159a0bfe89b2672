#!/usr/bin/env python3
"""Run sbibm's tasks and hold the posteriors against sbibm's reference draws, for benches/README.md.

usage: run.py REFERENCE [--tasks two_moons,slcp,...] [--observations 1-3] [--budget 20000] [--n-eff 4000]
              [--seed 0] [--binary target/release/sidereal] [--out target/sbibm]

REFERENCE is a directory with <task>/<observation>/observation.csv and posterior.parquet (equally weighted draws, columns
in the order of the parameters), and bernoulli_glm/design_matrix.csv without a header. Each posterior is judged by the classifier two-sample test of sbibm (Lueckmann et al. 2021): 0.5 where two networks cannot
tell its draws from the reference, 1 where they always can. Needs numpy, pyarrow and scikit-learn.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import time

import numpy as np
import pyarrow.parquet as pq

TASKS = [
    "two_moons", "gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture",
    "slcp", "bernoulli_glm", "sir", "lotka_volterra",
]


def numbers(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def toml(values):
    return "[" + ", ".join(toml(v) if np.ndim(v) else repr(float(v)) for v in values) + "]"


def parameters(names, prior):
    return "".join(f'[[parameters]]\nname = "{name}"\nprior = {{ {prior} }}\n\n' for name in names)


def bernoulli_glm_precision(n=10):
    """Second differences of the filter are small; the offset is independent."""
    m = n - 1
    difference = np.eye(m) - np.eye(m, k=-1)
    f = difference @ difference + np.diag(np.sqrt(np.arange(m) / m))
    precision = np.zeros((n, n))
    precision[0, 0] = 0.5
    precision[1:, 1:] = f.T @ f
    return precision


def campaign(task, n_data, reference):
    """Parameters, noise and simulator of a campaign file, and the data's grid where they need one."""
    numbered = lambda n: [f"parameter_{i + 1}" for i in range(n)]
    if task == "two_moons":
        return parameters(numbered(2), "uniform = { low = -1.0, high = 1.0 }") + '[simulator]\nbuiltin = "two-moons"\n', None
    if task == "gaussian_mixture":
        return parameters(numbered(n_data), "uniform = { low = -10.0, high = 10.0 }") + '[simulator]\nbuiltin = "gaussian-mixture"\n', None
    if task == "slcp":
        return parameters(numbered(5), "uniform = { low = -3.0, high = 3.0 }") + '[simulator]\nbuiltin = "slcp"\n', None
    noise = f"[noise]\ngaussian = {{ sigma = {0.1 ** 0.5!r} }}\n\n"
    linear = noise + '[simulator]\nbuiltin = "linear-gaussian"\n'
    if task == "gaussian_linear":
        prior = f"normal = {{ mean = 0.0, sd = {0.1 ** 0.5!r} }}"
        return parameters(numbered(n_data), prior) + linear, np.arange(n_data)
    if task == "gaussian_linear_uniform":
        return parameters(numbered(n_data), "uniform = { low = -1.0, high = 1.0 }") + linear, np.arange(n_data)
    if task == "bernoulli_glm":
        names = "".join(f'[[parameters]]\nname = "{name}"\n\n' for name in numbered(n_data))
        prior = (
            f"[prior.multivariate_normal]\nmean = {toml(np.zeros(n_data))}\n"
            f"precision = {toml(bernoulli_glm_precision(n_data))}\n\n"
        )
        path = json.dumps(str((reference / "bernoulli_glm" / "design_matrix.csv").resolve()))
        return names + prior + f'[simulator]\nbuiltin = "bernoulli-glm"\ndesign_matrix = {path}\n', None
    log_normal = lambda mean, sd: f"log_normal = {{ mean = {mean!r}, sd = {sd!r} }}"
    if task == "sir":
        beta = parameters(["beta"], log_normal(float(np.log(0.4)), 0.5))
        gamma = parameters(["gamma"], log_normal(float(np.log(0.125)), 0.2))
        return beta + gamma + '[simulator]\nbuiltin = "sir"\n', 17.0 * np.arange(n_data)
    rates = parameters(["alpha"], log_normal(-0.125, 0.5)) + parameters(["beta"], log_normal(-3.0, 0.5))
    rates += parameters(["gamma"], log_normal(-0.125, 0.5)) + parameters(["delta"], log_normal(-3.0, 0.5))
    times = 2.1 * np.arange(n_data // 2)
    return rates + '[simulator]\nbuiltin = "lotka-volterra"\n', np.r_[times, times]


def write_campaign(task, folder, reference, args, path):
    with open(folder / "observation.csv", newline="") as handle:
        value = np.array(list(csv.reader(handle))[1], dtype=float)
    model, grid = campaign(task, len(value), reference)
    observation = f"[observation]\nvalue = {toml(value)}\n"
    if grid is not None:
        observation += f"grid = {toml(grid)}\n"
    rounds = f"[rounds]\nstop = {{ n_eff = {args.n_eff}, simulations = {args.budget} }}\n"
    path.write_text(f'name = "{task}"\nseed = {args.seed}\n\n{model}\n{observation}\n{rounds}')


def read_reference(folder):
    table = pq.read_table(folder / "posterior.parquet")
    return np.stack([column.to_numpy() for column in table.columns], 1).astype(float)


def c2st(ours, weight, reference, n_eff, seed):
    """Accuracy of a network that tells draws of ours, resampled by weight, from reference draws: mean of five folds.
    As many draws a side as ours are worth; a draw that was taken twice is in one fold, or its twin would give it away."""
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    n = int(min(len(reference), n_eff))
    if n < 500:
        return float("nan")
    rng = np.random.default_rng(seed)
    picked, rows = rng.choice(len(ours), n, p=weight / weight.sum()), rng.choice(len(reference), n, replace=False)
    jitter = 1e-3 * reference.std(0)
    x = ours[picked] + rng.normal(size=(n, ours.shape[1])) * jitter
    y = reference[rows] + rng.normal(size=(n, ours.shape[1])) * jitter
    both = (np.concatenate([x, y]) - y.mean(0)) / y.std(0)
    label, group = np.r_[np.zeros(n), np.ones(n)], np.r_[picked, len(ours) + rows]
    units = 10 * ours.shape[1]
    net = MLPClassifier(hidden_layer_sizes=(units, units), max_iter=1000, random_state=seed)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    return cross_val_score(net, both, label, groups=group, scoring="accuracy", cv=folds).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=pathlib.Path)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--observations", default="1-3", type=numbers)
    parser.add_argument("--budget", type=int, default=20_000, help="most simulations")
    parser.add_argument("--n-eff", type=float, default=4000, help="stop there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--binary", default="target/release/sidereal")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/sbibm"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    header = ["task", "observation", "simulations", "n_eff", "k̂", "last efficiency", "log evidence ± error", "C2ST", "status", "seconds"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    for task in args.tasks.split(","):
        for observation in args.observations:
            folder = args.reference / task / str(observation)
            path = args.out / f"{task}-{observation}.toml"
            write_campaign(task, folder, args.reference, args, path)
            out = args.out / f"{task}-{observation}-seed-{args.seed}"
            if out.exists():
                raise SystemExit(f"{out} is there already and would be reported as it is: remove it or choose another --out")
            started = time.monotonic()
            run = subprocess.run([args.binary, "fit", str(path), "--out", str(out), "-q"], stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - started
            if not (out / "summary.json").exists():
                print(f"| {task} | {observation} | failed with status {run.returncode} |", flush=True)
                continue
            summary = json.loads((out / "summary.json").read_text())
            combined, last = summary["combined"], summary["rounds"][-1]
            table = pq.read_table(out / "posterior.parquet")
            names = [parameter["name"] for parameter in summary["parameters"]]
            draws = np.stack([table[name].to_numpy() for name in names], 1)
            score = c2st(draws, table["weight"].to_numpy(), read_reference(folder), combined["n_eff"], args.seed)
            k, evidence = combined["pareto_k"], combined["evidence"]
            row = [
                task,
                str(observation),
                str(summary["simulations"]),
                f"{combined['n_eff']:.0f}",
                "none" if k is None else f"{k:.2f}",
                f"{100 * (last.get('newest_component') or last)['efficiency']:.1f} %",
                f"{evidence['log_evidence']:.3f} ± {evidence['error']:.3f}" if evidence else "none",
                f"{score:.3f}",
                str(run.returncode),
                f"{seconds:.0f}",
            ]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
