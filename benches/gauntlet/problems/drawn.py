"""Forty observations drawn from the priors of four examples, a third of them sharp; their posteriors are nautilus's (references.py).

Sharp are: sines of a signal to noise of 100 to 1,000; microlensing with u0 of 0.001 to 0.03, with errors / 10, and with both; transits and
spectra with errors / 10. Grids and errors are else the examples', seeds are fixed.
"""
import csv
import hashlib
import json
import pathlib
import re
import tomllib

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from problems import Problem, normal, sines
from problems.transit import transit

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"
REFERENCES = pathlib.Path(__file__).resolve().parents[1] / "references"
FORMAT = b"sidereal-gauntlet-reference-1"

PRIORS = {
    "uniform": lambda low, high: stats.uniform(low, high - low),
    "log_uniform": lambda low, high: stats.loguniform(low, high),
    "normal": lambda mean, sd: stats.norm(mean, sd),
    "truncated_normal": lambda mean, sd, low, high: stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd),
    "log_normal": lambda mean, sd: stats.lognorm(s=sd, scale=np.exp(mean)),
    "beta": lambda alpha, beta: stats.beta(alpha, beta),
}


def sine(theta, t, simulator):
    phi0, a, omega = theta.T[:, :, None]
    return a * np.sin(omega * t + phi0)


def microlensing(theta, t, simulator):
    t0, u0, log10te, fs, m_base = theta.T[:, :, None]
    u2 = u0**2 + ((t - t0) / 10**log10te) ** 2
    magnification = (u2 + 2) / np.sqrt(u2 * (u2 + 4))
    return m_base - 2.5 * np.log10(np.maximum(fs * magnification + 1 - fs, 1e-12))


def transits(theta, t, simulator):
    return transit(theta, t, simulator["period"])


def absorption_spectrum(theta, wavelength, simulator):
    c0, s, d, v, w, r = theta.T[:, :, None]
    doppler = 1 + v / 299_792.458
    first, second = (np.exp(-0.5 * ((wavelength - line * doppler) / w) ** 2) for line in simulator["lines"])
    return c0 * (1 + s * (wavelength - simulator["pivot"]) / simulator["half_range"]) * np.exp(-d * (first + r * second))


# Model and how each of its ten observations is drawn.
MODELS = {
    "sine": (sine, ["plain"] * 6 + ["signal to noise"] * 4),
    "microlensing": (microlensing, ["plain"] * 6 + ["small u0"] * 2 + ["small errors", "small u0 and errors"]),
    "transit": (transits, ["plain"] * 7 + ["small errors"] * 3),
    "absorption-spectrum": (absorption_spectrum, ["plain"] * 7 + ["small errors"] * 3),
}


def read(example):
    """Campaign, priors by name and observation (grid, values, errors) of an example."""
    campaign = tomllib.loads((EXAMPLES / example / "campaign.toml").read_text())
    priors = {}
    for parameter in campaign["parameters"]:
        [(kind, numbers)] = parameter["prior"].items()
        priors[parameter["name"]] = PRIORS[kind](**numbers)
    with open(EXAMPLES / example / "observation.csv", newline="") as file:
        return campaign, priors, np.array(list(csv.reader(file))[1:], dtype=float).T


def periodic(campaign):
    return tuple(parameter["name"] for parameter in campaign["parameters"] if parameter.get("periodic"))


def of_example(example):
    """An example's own observation as a problem, and when its campaign stops."""
    (model, _), (campaign, priors, (grid, y, sigma)) = MODELS[example], read(example)

    def log_likelihood(theta):
        return normal(y, model(theta, grid, campaign["simulator"]), sigma)

    return Problem(example, priors, log_likelihood, periodic=periodic(campaign)), campaign["rounds"]["stop"]


def drawn(example, number):
    """Observation `number` of an example's model, as a problem whose reference may not be there yet."""
    model, ways = MODELS[example]
    way = ways[number]
    text = (EXAMPLES / example / "campaign.toml").read_text()
    campaign, priors, (grid, _, sigma) = read(example)
    simulator = campaign["simulator"]
    rng = np.random.default_rng([list(MODELS).index(example), number])
    truth = {name: prior.ppf(rng.random()) for name, prior in priors.items()}
    sharpness = rng.random()
    if way == "signal to noise":
        sigma = np.full(len(sigma), abs(truth["A"]) / 10 ** (2 + sharpness))
    if way.startswith("small u0"):
        truth["u0"] = 0.001 * 30**sharpness
    if way.endswith("errors"):
        sigma = sigma / 10
    y = model(np.array([list(truth.values())]), grid, simulator)[0] + sigma * rng.standard_normal(len(grid))

    def log_likelihood(theta):
        return normal(y, model(theta, grid, simulator), sigma)

    numbers = "\n".join(f"{key} = {[float(v) for v in values]}" for key, values in (("grid", grid), ("value", y), ("sigma", sigma)))
    written = re.sub(r'^path = .*$', numbers, text.partition("[rounds]")[0], flags=re.MULTILINE)
    name = f"{example}-drawn-{number}" + ("" if way == "plain" else "-sharp")
    return Problem(name, priors, log_likelihood, None, REFERENCES / f"{name}.parquet", [], periodic(campaign), written)


def all_drawn():
    """In an order whose first ones are of all models and kinds."""
    return [drawn(example, 7 * i % 10) for i in range(10) for example in MODELS]


def digest(problem):
    """What a reference was computed of."""
    return hashlib.sha256(problem.campaign.encode()).hexdigest()[:16]


def known(problem):
    """What nautilus has found: log evidence, its error, n_eff, calls."""
    found = json.loads(pq.read_schema(problem.reference).metadata[FORMAT])
    if found["digest"] != digest(problem):
        raise SystemExit(f"{problem.reference} is the reference of another observation; references.py computes it again once it is deleted")
    return found


def problems():
    """Those whose posterior is known: sines exactly, the others where their reference is there."""
    for problem in all_drawn():
        if not problem.reference.exists():
            problem.reference = None
        else:
            problem.log_evidence = known(problem)["log_evidence"]
        if problem.name.startswith("sine-"):
            observation = tomllib.loads(problem.campaign)["observation"]
            t, y, sigma = (np.array(observation[key]) for key in ("grid", "value", "sigma"))
            problem.log_evidence, problem.expected = sines.known(t, y, sigma, *problem.priors["omega"].support())
        if problem.log_evidence is not None:
            yield problem


def without_answer():
    return [problem.name for problem in all_drawn() if not problem.reference.exists() and not problem.name.startswith("sine-")]
