#!/usr/bin/env python3
"""Fit a campaign with each loss and print the efficiency of each round, for benches/README.md.

usage: losses.py CAMPAIGN [--losses nll,apt] [--seeds 0-2] [--rounds 5] [--simulations 2560] [--epochs 100]
                 [--refinement] [--log-evidence Z] [--binary target/release/sidereal] [--out target/losses]

Without --refinement all flows are fitted to simulations: sequential neural posterior estimation. The campaign's own
[rounds] are replaced. n_eff is that of all rounds, efficiency that of each round's newest flow alone; rounds of the searches
for lost modes are left out.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import time


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", type=pathlib.Path)
    parser.add_argument("--losses", default="nll,apt", type=lambda text: text.split(","))
    parser.add_argument("--seeds", default="0-2", type=seeds)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--simulations", default=2560, type=int)
    parser.add_argument("--epochs", default=100, type=int)
    parser.add_argument("--refinement", action="store_true")
    parser.add_argument("--log-evidence", type=float)
    parser.add_argument("--binary", default="target/release/sidereal")
    parser.add_argument("--out", default="target/losses", type=pathlib.Path)
    args = parser.parse_args()
    # [rounds] is the last section of the examples.
    head = args.campaign.read_text().split("[rounds]")[0]
    header = ["loss", "seed"] + [f"round {i}" for i in range(1, args.rounds)]
    header += ["n_eff", "log evidence ± error"] + ["minus reference"] * (args.log_evidence is not None) + ["status", "seconds"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for loss in args.losses:
        for seed in args.seeds:
            refinement = "true" if args.refinement else "false"
            out = args.out / f"{args.campaign.parent.name}-{loss}-{refinement}-{seed}"
            if out.exists():
                raise SystemExit(f"{out} is there already and would be reported as it is: remove it or choose another --out")
            out.mkdir(parents=True)
            observation = args.campaign.parent / "observation.csv"
            shutil.copy(observation, out)
            (out / "campaign.toml").write_text(
                f"{head}[training]\nloss = {json.dumps(loss)}\nrefinement = {refinement}\nmax_epochs = {args.epochs}\n"
                f"[rounds]\nmax = {args.rounds}\nsimulations = {args.simulations}\n"
            )
            command = [args.binary, "fit", str(out / "campaign.toml"), "--seed", str(seed), "--out", str(out / "run"), "-q"]
            started = time.monotonic()
            status = subprocess.run([*command, "--device", "cpu"], stdout=subprocess.DEVNULL).returncode
            seconds = time.monotonic() - started
            if not (out / "run/summary.json").exists():
                print(f"| {loss} | {seed} | failed with status {status} |", flush=True)
                continue
            summary = json.loads((out / "run/summary.json").read_text())
            rounds = [one for one in summary["rounds"][1:] if one["kind"] != "probe"]
            cells = [loss, seed] + [f"{100 * one['newest_component']['efficiency']:.1f} %" for one in rounds]
            cells += [""] * (args.rounds - 1 - len(rounds))
            evidence = summary["combined"]["evidence"]
            cells += [f"{summary['combined']['n_eff']:.0f}", f"{evidence['log_evidence']:.3f} ± {evidence['error']:.3f}"]
            if args.log_evidence is not None:
                cells.append(f"{evidence['log_evidence'] - args.log_evidence:+.3f}")
            print("| " + " | ".join(str(cell) for cell in [*cells, status, f"{seconds:.0f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
