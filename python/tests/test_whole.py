"""The package with the command that it runs: from a function to its posterior."""

import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sidereal_inference as si
from sidereal_inference._binary import binary


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A directory of its own, where the command is at hand; in CI it must be."""
    try:
        binary()
    except si.SiderealError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = np.array([0.3, -0.2, 0.5, 0.1])


def line(theta):
    return -0.5 * float(np.sum((DATA - theta[0]) ** 2)) - 0.5 * float(theta[1] - 1) ** 2 - 2.5 * math.log(2 * math.pi)


# p(a | data): precision 4 + 1, p(b): precision 1 + 1.
EXACT = {"a": (DATA.sum() / 5, 5**-0.5), "b": (0.5, 2**-0.5)}
EVIDENCE = (
    -2.5 * math.log(2 * math.pi)
    - 0.5 * (np.sum(DATA**2) - DATA.sum() ** 2 / 5)
    - 0.5 * math.log(5)
    - 0.25
    - 0.5 * math.log(2)
)
PRIORS = {"a": si.Normal(0, 1), "b": si.Normal(0, 1)}


def is_exact(result):
    posterior = result.to_pandas()
    for name, (mean, sd) in EXACT.items():
        found = np.average(posterior[name], weights=posterior["weight"])
        assert abs(found - mean) < 4.5 * sd / result.n_eff**0.5, name
        spread = np.average((posterior[name] - found) ** 2, weights=posterior["weight"]) ** 0.5
        assert spread == pytest.approx(sd, rel=4.5 / (2 * result.n_eff) ** 0.5)
    assert abs(result.log_evidence - EVIDENCE) < 4.5 * result.log_evidence_error


def test_a_function_has_its_posterior_in_one_call_and_the_next_call_has_it_at_once(place):
    result = si.sample(line, PRIORS, n_eff=1000)
    is_exact(result)
    assert result.status == "ok" and result.reasons == [] and result.n_eff >= 1000
    assert set(result.resample(100, seed=1)) >= {"a", "b"}
    before = sorted(place.rglob("*.parquet"))
    begun = time.monotonic()
    again = si.sample(line, PRIORS, n_eff=1000)
    assert time.monotonic() - begun < 10
    assert again.dir == result.dir and again.n_eff == result.n_eff
    assert sorted(place.rglob("*.parquet")) == before
    assert si.load(result.dir).log_evidence == result.log_evidence
    more = result.draw(n_eff=1500)
    assert more.n_eff >= 1500
    is_exact(more)


def test_other_ways_to_say_the_same_are_as_right():
    from scipy import stats

    def transform(u):
        return stats.norm.ppf(u)

    is_exact(si.sample(line, prior_transform=transform, names=["a", "b"], n_eff=1000))

    def many(theta):
        constant = 2.5 * np.log(2 * np.pi)
        return -0.5 * np.sum((DATA - theta[:, :1]) ** 2, axis=1) - 0.5 * (theta[:, 1] - 1) ** 2 - constant

    is_exact(si.sample(many, {"a": stats.norm(0, 1), "b": stats.norm(0, 1)}, vectorized=64, n_eff=1000))
    # With a number that nobody fits between them, and a quantity derived from both.
    def derived(theta):
        return line([theta[0], theta[2]]), {"sum": theta[0] + theta[1] + theta[2]}

    priors = {"a": si.Normal(0, 1), "shift": si.Fixed(2.0), "b": si.Normal(0, 1)}
    result = si.sample(derived, priors, blobs=["sum"], n_eff=1000)
    is_exact(result)
    posterior = result.to_pandas()
    assert np.allclose(posterior["sum"], posterior["a"] + posterior["b"] + 2)
    assert "shift" not in posterior


def test_a_simulator_is_fitted_with_its_check_of_the_fit():
    def simulate(theta):
        return np.append(np.full(4, theta[0]), theta[1])

    x_obs = np.append(DATA, 1.0)
    result = si.fit(simulate, PRIORS, x_obs=x_obs, x_err=1.0, n_eff=1000)
    is_exact(result)
    import json

    summary = json.loads((Path(result.dir) / "summary.json").read_text())
    assert summary["fit"]["p"] > 1e-4


BAD = """
import os, subprocess, time
import numpy as np

def log_likelihood(theta):
    a = float(theta[0])
    theta[0] = 77.0
    print("printed", flush=True)
    os.write(1, b"written")
    if a > 4.6:
        case = int((a - 4.6) / 0.05)
        if case == 0: os.kill(os.getpid(), 9)
        if case == 1: time.sleep(100)
        if case == 2: raise KeyError("mass")
        if case == 3: return np.nan
        if case == 4: return np.zeros(2)
        if case == 5: subprocess.Popen(["sleep", "100"]); os._exit(1)
        if case == 6: raise MemoryError
        if case == 7: return np.inf
    if a > 4.5:
        os.fork() or os._exit(0)
    return -0.5 * a * a
"""


SMALL = {"rounds": {"simulations": 300}}


def test_models_that_misbehave_cost_their_rows_and_nothing_else(place):
    Path("bad.py").write_text(BAD)
    result = si.sample("bad.py:log_likelihood", {"a": (-5, 5)}, n_eff=1000, timeout=0.5, seed=7, options=SMALL)
    assert result.status == "ok", result.reasons
    posterior = result.to_pandas()
    mean = np.average(posterior["a"], weights=posterior["weight"])
    assert abs(mean) < 4.5 / result.n_eff**0.5
    # What failed is in its round with the reason, and counts as not known.
    import pyarrow.parquet as parquet

    shards = [parquet.read_table(path).to_pandas() for path in sorted(place.rglob("rounds/*/shards/*.parquet"))]
    failed = {row.message for shard in shards for row in shard.itertuples() if row.status == "failed"}
    told = " ".join(failed)
    for words in ["SIGKILL", "took longer than", "KeyError: 'mass' (bad.py, line", "expected a number", "MemoryError"]:
        assert words in told, (words, failed)
    import json

    summary = json.loads((Path(result.dir) / "summary.json").read_text())
    assert any("failed after several tries" in reason for reason in summary["not_reproducible"])
    for shard in shards:
        bad = shard[shard.status == "failed"]
        assert (bad["a"] > 4.6).all()


def test_a_result_that_is_not_to_be_trusted_is_a_warning(place):
    def narrow(theta):
        return -0.5 * float(np.sum((theta / 1e-4) ** 2))

    with pytest.warns(si.NotToBeTrusted):
        result = si.sample(narrow, {"a": (-1, 1), "b": (-1, 1), "c": (-1, 1)}, simulations=900, n_eff=800)
    assert result.status == "not to be trusted" and result.reasons


def test_the_snippets_of_the_readme_run_as_they_stand(place):
    readme = Path(__file__).parents[2] / "README.md"
    if not readme.exists():
        pytest.skip("not in the repository")
    text = readme.read_text()
    section = text[text.index("## Your own model") :]
    section = section[: section.index("\n## ", 5)]
    files = dict(re.findall(r"`(\w+\.\w+)`:\n\n```\w+\n(.*?)```", section, re.S))
    for name, content in files.items():
        Path(name).write_text(content)
    scripts = [name for name in files if name.endswith(".py") and "sidereal_inference" in files[name]]
    assert scripts
    begun = time.monotonic()
    for name in scripts:
        subprocess.run([sys.executable, name], check=True, timeout=300)
    assert Path("corner.png").stat().st_size > 10_000
    assert time.monotonic() - begun < 120
    commands = re.findall(r"^sidereal (fit .*)$", section, re.M)
    assert commands
    for command in commands:
        arguments = [*command.split(), "--python", sys.executable, "-q"]
        subprocess.run([binary(), *arguments], check=True, timeout=300)


def test_jitter_and_offset_by_instrument(place):
    """Two data of each instrument and a known jitter: a normal posterior of level and offset."""

    def level(theta):
        return np.full(4, theta[0])

    value = np.array([1.0, 1.4, 3.0, 3.2])
    instrument = ["a", "a", "b", "b"]
    priors = {"s": 0.4, "level": si.Normal(0, 1), "gamma": si.Normal(0, 2)}
    result = si.fit(
        level,
        priors,
        x_obs=value,
        x_err=0.3,
        jitter="s",
        offset={"b": "gamma"},
        instrument=instrument,
        n_eff=1000,
    )
    # A variance of 0.25 a datum.
    design = np.array([[1, 0], [1, 0], [1, 1], [1, 1]])
    covariance = np.linalg.inv(design.T @ design / 0.25 + np.diag([1, 0.25]))
    mean = covariance @ design.T @ value / 0.25
    posterior = result.to_pandas()
    for i, name in enumerate(["level", "gamma"]):
        found = np.average(posterior[name], weights=posterior["weight"])
        assert abs(found - mean[i]) < 4.5 * (covariance[i, i] / result.n_eff) ** 0.5
    marginal = 0.25 * np.eye(4) + design @ np.diag([1, 4]) @ design.T
    evidence = -0.5 * (value @ np.linalg.solve(marginal, value) + np.linalg.slogdet(2 * np.pi * marginal)[1])
    assert abs(result.log_evidence - evidence) < 4.5 * result.log_evidence_error


def test_draws_are_the_prior_of_the_next_run(place):
    """a and b of covariance [[1, 0.6], [0.6, 1]] before a is measured."""
    rng = np.random.default_rng(3)
    u, v = rng.normal(size=(2, 20_000))
    samples = si.Samples({"a": u, "b": 0.6 * u + 0.8 * v})
    result = si.sample(
        lambda theta: -0.5 * float(theta[0] - 1) ** 2 / 0.25, {"a": samples, "b": samples}, n_eff=1000
    )
    posterior = result.to_pandas()
    # a is N(0.8, 0.2), and b follows it by 0.6.
    mean = {name: np.average(posterior[name], weights=posterior["weight"]) for name in "ab"}
    assert abs(mean["a"] - 0.8) < 0.07 and abs(mean["b"] - 0.48) < 0.12
    spread = np.average((posterior["b"] - mean["b"]) ** 2, weights=posterior["weight"])
    assert abs(spread / (0.64 + 0.36 * 0.2) - 1) < 0.2
