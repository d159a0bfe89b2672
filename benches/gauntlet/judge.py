"""Whether weighted draws are right: held against reference draws, known moments and masses, and the known evidence."""
import numpy as np
import pyarrow.parquet as pq

LEAST_N_EFF = 2_000


def kish(weight):
    return weight.sum() ** 2 / (weight**2).sum()


def judge(problem, theta, weight, log_evidence, error, n_eff):
    """What was found, and `wrong`: a list of sentences, empty where all is right. n_eff decides no sentence here."""
    found, wrong = {}, []
    weight = weight / weight.sum()
    n = kish(weight)
    if problem.reference is not None:
        found |= against_draws(problem, theta, weight, n, wrong)
    worst = 0.0
    for words, of, truth in problem.expected:
        value = np.asarray(of(theta), dtype=float)
        mean = weight @ value
        share = isinstance(truth, float) and set(np.unique(value)) <= {0.0, 1.0}
        sd = np.sqrt(truth * (1 - truth)) if share else np.sqrt(weight @ (value - mean) ** 2)
        # The known figures have four digits.
        z = (mean - truth) / np.hypot(sd / np.sqrt(n), 5e-5 * max(1.0, abs(truth)))
        if abs(z) > abs(worst):
            worst = float(z)
        if not abs(z) <= 4:
            wrong.append(f"{words}: {mean:.4g} where {truth:.4g} is known ({z:+.1f} errors)")
    if problem.expected:
        found["worst_z"] = worst
    if problem.log_evidence is not None and log_evidence is not None:
        off = log_evidence - problem.log_evidence
        found["evidence_off"] = off
        if not abs(off) < max(0.05, 4 * error):
            wrong.append(f"log evidence {log_evidence:.3f} ± {error:.3f} where {problem.log_evidence:.3f} is known")
    return found | {"wrong": wrong}


def against_draws(problem, theta, weight, n, wrong):
    table = pq.read_table(problem.reference)
    worst = {"shift": 0.0, "ratio": 1.0, "gap": 0.0}
    for i, name in enumerate(problem.priors):
        # By place: some references have names in TeX.
        ours, theirs = theta[:, i], np.asarray(table.column(i), dtype=float)
        mean = weight @ ours
        sd = np.sqrt(weight @ (ours - mean) ** 2)
        order = np.argsort(ours)
        grid = np.sort(np.concatenate([ours, theirs]))
        cdf = np.concatenate([[0], np.cumsum(weight[order])])[np.searchsorted(ours[order], grid, side="right")]
        gap = np.abs(cdf - np.searchsorted(np.sort(theirs), grid, side="right") / len(theirs)).max()
        shift, ratio = (mean - theirs.mean()) / theirs.std(), sd / theirs.std()
        worst["shift"] = max(worst["shift"], abs(shift), key=abs)
        worst["gap"] = max(worst["gap"], gap)
        worst["ratio"] = max(worst["ratio"], ratio, key=lambda r: abs(np.log(max(r, 1e-300))))
        if not abs(shift) <= max(0.1, 3 / np.sqrt(n)):
            wrong.append(f"{name}: mean off by {shift:+.2f} standard deviations")
        if not 0.9 <= ratio <= 1.1:
            wrong.append(f"{name}: standard deviation {ratio:.2f} of the reference's")
        if not gap <= max(0.05, 1.8 / np.sqrt(n)):
            wrong.append(f"{name}: distribution functions {gap:.3f} apart")
    return {key: float(value) for key, value in worst.items()}
