#!/usr/bin/env python3
"""Models in Python: rows a second, busy processes, the built-in sine and the same in Python, and what a call costs beside nautilus.

usage: from_python.py rates|sines|overhead|before [--seeds 0-9] [--out target/from-python] [--before BINARY]

The command is SIDEREAL_BINARY's, the package that of PYTHONPATH. `rates` runs rounds of a log-likelihood that costs nothing, and of
one that sleeps 10 ms, with 2 processes. `sines` fits examples/sine with the built-in model and with numpy, one by one and vectorized. `overhead`
samples the sine as a plain log-likelihood, by `sample()` and by nautilus (nautilus-sampler), in turns: seconds beyond those spent in the
function. `before` samples four examples as plain log-likelihoods, in turns with `fit` of the same examples by another binary. Needs numpy,
pyarrow, nautilus for `overhead` and scipy for `before`.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
BINARY = os.environ.get("SIDEREAL_BINARY", str(ROOT / "target/release/sidereal"))

RATES = '''import time


def nothing(theta):
    return -0.5 * float(theta[0])


def nothing_for_many(theta):
    return -0.5 * theta[:, 0]


def ten_milliseconds(theta):
    time.sleep(0.01)
    return -0.5 * float(theta[0])
'''

SINE = '''import numpy as np

T = np.array({t})


def simulate(theta):
    phi0, amplitude, omega = theta
    return amplitude * np.sin(omega * T + phi0)


def simulate_many(theta):
    phi0, amplitude, omega = theta.T[:, :, None]
    return amplitude * np.sin(omega * T + phi0)
'''


def fit(campaign, out, *more):
    return fit_by(BINARY, campaign, out, "--python", sys.executable, *more)


def fit_by(binary, campaign, out, *more):
    command = [binary, "fit", str(campaign), "--out", str(out), "-q", "--device", "cpu", *more]
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if run.returncode not in (0, 3):
        raise SystemExit(run.stderr)
    return json.loads((out / "summary.json").read_text())


def rates(args):
    (args.out / "rates.py").write_text(RATES)
    print("| function | rows | seconds | rows a second | processes busy |\n|---|---|---|---|---|")
    cases = [("nothing", 300_000, "", 0), ("nothing_for_many", 1_000_000, "vectorized = 4096\n", 0), ("ten_milliseconds", 12_000, "", 0.01)]
    for name, n, more, each in cases:
        campaign = args.out / f"{name}.toml"
        campaign.write_text(
            f'name = "{name}"\nseed = 1\nparameters = [{{ name = "a", prior = {{ uniform = {{ low = 0, high = 1 }} }} }}]\n'
            f'[likelihood]\npython = "rates.py:{name}"\n{more}[rounds]\nsimulations = {n}\nmax = 1\nstop = {{ simulations = {5 * n} }}\n'
        )
        summary = fit(campaign, args.out / f"{name}-run-{time.time_ns()}", "--workers", "2")
        timing = summary["timing"]["rounds"][0]
        rows, seconds = summary["rounds"][0]["n"], timing["simulating_s"]
        busy = f"{rows * each / (2 * seconds):.1%}" if each else ""
        print(f"| {name} | {rows} | {seconds:.2f} | {rows / seconds:,.0f} | {busy} |", flush=True)


def sines(args):
    example = ROOT / "examples/sine"
    t = [float(line.split(",")[0]) for line in (example / "observation.csv").read_text().split()[1:]]
    (args.out / "sine.py").write_text(SINE.format(t=t))
    text = (example / "campaign.toml").read_text().replace('"observation.csv"', json.dumps(str(example / "observation.csv")))
    found = {}
    for seed in args.seeds:
        for name, words in [
            ("built-in", 'builtin = "sine"'), ("one by one", 'python = "sine.py:simulate"'),
            ("vectorized", 'python = "sine.py:simulate_many"\nvectorized = true'),
        ]:
            campaign = args.out / f"{name.replace(' ', '-')}.toml"
            campaign.write_text(text.replace('builtin = "sine"', words))
            out = args.out / f"{campaign.stem}-{seed}"
            path = out / "summary.json"
            summary = json.loads(path.read_text()) if path.exists() else fit(campaign, out, "--seed", str(seed), "--workers", "2")
            combined = summary["combined"]
            found.setdefault(name, []).append((combined["n_eff"], summary["simulations"], combined["evidence"]["log_evidence"]))
            print(seed, name, *found[name][-1], file=sys.stderr, flush=True)
    print("| model | n_eff, median | simulations, median | n_eff per simulation, median | log evidence |\n|---|---|---|---|---|")
    for name, rows in found.items():
        n_eff, simulations, evidence = map(list, zip(*rows))
        each = statistics.median(a / b for a, b in zip(n_eff, simulations))
        print(
            f"| {name} | {statistics.median(n_eff):.0f} | {statistics.median(simulations):.0f} | {each:.3f} "
            f"| {np.mean(evidence):.4f} ± {np.std(evidence):.4f} |"
        )


def overhead(args):
    import nautilus
    import sidereal_inference as si

    sys.path.insert(0, str(ROOT / "benches/peers"))
    from problems import problem

    sine = problem("sine")
    rng = np.random.default_rng(0)
    theta = sine.prior(20_000, rng)
    started = time.perf_counter()
    for row in theta:
        sine.log_likelihood(row)
    each = (time.perf_counter() - started) / len(theta)
    print("| sampler | seed | n_eff | calls | seconds | of these beyond the function |\n|---|---|---|---|---|---|")
    beyond = {}
    for seed in args.seeds:
        for name in ("sample()", "nautilus"):
            started = time.perf_counter()
            if name == "nautilus":
                sampler = nautilus.Sampler(
                    sine.from_cube, lambda theta: float(sine.log_likelihood(theta)[0]), n_dim=3, pass_dict=False,
                    periodic=np.array([0]), seed=seed,
                )
                before = sine.n_calls
                sampler.run(verbose=False, n_eff=6_500)
                n_eff, calls = sampler.n_eff, sine.n_calls - before
            else:
                result = si.sample(
                    lambda theta: float(sine.log_likelihood(theta)[0]),
                    {"phi0": si.Uniform(0, 2 * np.pi), "A": si.Uniform(-4, 4), "omega": si.Uniform(2 * np.pi, 12 * np.pi)},
                    periodic=["phi0"], n_eff=6_500, simulations=20_000, seed=seed, dir=args.out / f"sample-{seed}-{time.time_ns()}", progress=False,
                )
                n_eff, calls = result.n_eff, result.simulations
            seconds = time.perf_counter() - started
            # With two processes the function takes half as long.
            own = calls * each / (2 if name == "sample()" else 1)
            beyond.setdefault(name, []).append(seconds - own)
            print(f"| {name} | {seed} | {n_eff:.0f} | {calls} | {seconds:.1f} | {seconds - own:.1f} |", flush=True)
    ratio = statistics.median(beyond["sample()"]) / statistics.median(beyond["nautilus"])
    print(f"\nOverhead of sample(), medians: {ratio:.2f} of nautilus's.")


def before(args):
    import sidereal_inference as si

    sys.path.insert(0, str(ROOT / "benches/gauntlet"))
    from problems import drawn

    print("| example | seed | | simulations | n_eff | log evidence | seconds |\n|---|---|---|---|---|---|---|")
    seconds = {}
    for seed in args.seeds:
        for example in drawn.MODELS:
            rows = {}
            problem, stop = drawn.of_example(example)

            def log_likelihood(theta):
                return float(problem.log_likelihood(theta[None])[0])

            started = time.perf_counter()
            result = si.sample(
                log_likelihood, list(problem.priors.values()), names=list(problem.priors), periodic=problem.periodic, n_eff=stop["n_eff"],
                simulations=stop["simulations"], workers=2, seed=seed, dir=args.out / f"{example}-{time.time_ns()}", progress=False,
            )
            rows["sample()"] = (time.perf_counter() - started, result.simulations, result.n_eff, result.log_evidence)
            started = time.perf_counter()
            out = args.out / f"before-{example}-{time.time_ns()}"
            campaign = ROOT / "examples" / example / "campaign.toml"
            summary = fit_by(args.before, campaign, out, "--seed", str(seed), "--workers", "2")
            combined = summary["combined"]
            rows["before"] = (
                time.perf_counter() - started, summary["simulations"], combined["n_eff"], combined["evidence"]["log_evidence"]
            )
            for name, (took, simulations, n_eff, evidence) in rows.items():
                seconds.setdefault(example, {}).setdefault(name, []).append(took)
                print(f"| {example} | {seed} | {name} | {simulations} | {n_eff:.0f} | {evidence:.3f} | {took:.1f} |", flush=True)
    for example, by_name in seconds.items():
        now, then = (statistics.median(by_name[name]) for name in ("sample()", "before"))
        print(f"{example}: medians {now:.1f} s and {then:.1f} s, {now / then:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "sines", "overhead", "before"])
    parser.add_argument("--seeds", default="0-9")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/from-python")
    parser.add_argument("--before", help="a binary of another version")
    args = parser.parse_args()
    first, _, last = args.seeds.partition("-")
    args.seeds = range(int(first), int(last or first) + 1)
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    {"rates": rates, "sines": sines, "overhead": overhead, "before": before}[args.what](args)


if __name__ == "__main__":
    main()
