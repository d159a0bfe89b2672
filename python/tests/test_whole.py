"""The package with the command that it runs: from a function to its posterior."""

import json
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
    summary = json.loads((Path(result.dir) / "summary.json").read_text())
    assert summary["fit"]["p"] > 1e-4


FLOW = {"n_dims": 2}
FEATURIZER = {"type": "resnet-gru", "dim_in": 1}


def scaled(theta):
    return np.array([theta[0], 2 * theta[1], theta[0] + theta[1]])


def scaled_posterior(x, sigma):
    """Mean and covariance for normal priors of 0 and 1."""
    design = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    precision = np.eye(2) + design.T @ np.diag(1 / sigma**2) @ design
    covariance = np.linalg.inv(precision)
    return covariance @ design.T @ (x / sigma**2), covariance


def with_scatter(x, y):
    return x + np.random.uniform(0.1, 0.4) * np.random.normal(size=3), y


@pytest.mark.parametrize("noise", [np.array([0.2, 0.3, 0.2]), with_scatter], ids=["array", "function"])
def test_nbis_front_end_trains_for_any_observation(noise, capsys):
    from scipy import stats

    from sidereal_inference import nbi

    settings = {"simulator": scaled, "priors": [stats.norm(0, 1)] * 2, "labels": ["a", "b"], "n_jobs": 2}
    engine = nbi.NBI(FLOW, FEATURIZER, **settings)
    engine.fit(noise=noise, n_sims=3000, n_rounds=1)
    again = nbi.NBI(state_dict=engine.best_params, **settings)
    for x, sigma in [(np.array([0.5, -1.0, 0.1]), 0.2), (np.array([-1.0, 1.0, -0.6]), 0.3)]:
        sigma = np.full(3, sigma)
        thetas, weights = engine.predict(x, x_err=sigma, n_samples=2000, neff_min=500, n_max=8000, seed=1)
        n_eff = 1 / (weights**2).sum() - 1
        assert n_eff > 500, n_eff
        mean, covariance = scaled_posterior(x, sigma)
        found = weights @ thetas
        assert np.all(np.abs(found - mean) < 4.5 * np.sqrt(np.diag(covariance) / n_eff)), (found, mean)
        assert np.array_equal(
            again.predict(x, x_err=sigma, n_samples=2000, neff_min=500, n_max=8000, seed=1)[0], thetas
        )

        def log_like(x_obs, x_path, y, sigma=sigma):
            return -0.5 * np.sum(((np.load(x_path) - x_obs) / sigma) ** 2)

        by_path = engine.predict(x, log_like=log_like, n_samples=100, seed=1)
        alone = engine.predict(x, n_samples=100, seed=1)
        assert np.array_equal(by_path[0], alone) and alone.shape == (100, 2)
    # The network's density: at its own draws that of a normal near the posterior, 0 nowhere.
    draws = engine.sample(x, n=50)
    density = engine.log_prob(x, draws)
    assert draws.shape == (50, 2) and np.isfinite(density).all()
    assert engine.log_prob(x, [mean])[0] > density.mean()


def test_nbis_front_end_knows_the_density_of_a_fit():
    from scipy import stats

    from sidereal_inference import nbi

    engine = nbi.NBI(FLOW, FEATURIZER, scaled, [stats.norm(0, 1)] * 2, labels=["a", "b"])
    x, sigma = np.array([0.5, -1.0, 0.1]), np.full(3, 0.2)
    engine.fit(x_obs=x, noise=sigma, n_sims=500, n_rounds=3, neff_stop=500, plot=False)
    mean, covariance = scaled_posterior(x, sigma)
    theta = np.random.default_rng(0).multivariate_normal(mean, covariance, 200)
    exact = stats.multivariate_normal(mean, covariance).logpdf(theta)
    assert abs(np.mean(engine.log_prob(x, theta) - exact)) < 0.2
    draws = engine.sample(x, n=400)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 0.5 * np.sqrt(np.diag(covariance)))
    with pytest.raises(si.SiderealError, match="x: found another observation"):
        engine.sample(x + 1)


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


SLOW = """
import os, time

def log_likelihood(theta):
    with open("parents", "a") as file:
        file.write(f"{os.getppid()}\\n")
    time.sleep(0.02)
    return -0.5 * float(theta @ theta)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux alone")
def test_a_worker_joins_by_address(place):
    Path("slow.py").write_text(SLOW)
    call = "import sidereal_inference as si; si.sample('slow.py:log_likelihood', {'a': (-5, 5)}, n_eff=300, workers=1, "
    call += "dir='shared', listen='127.0.0.2:0', options={'rounds': {'simulations': 600}})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    caller = subprocess.Popen([sys.executable, "-c", call], env=environment, stderr=subprocess.PIPE, text=True)
    file = place / "shared" / "run" / "access.json"
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    access = json.loads(file.read_text())
    assert access["address"].startswith("https://127.0.0.2:"), access
    for name in ("token", "certificate"):
        Path(name).write_text(access[name])
    Path("token").chmod(0o600)
    join = [
        binary(),
        "worker",
        "--coordinator",
        access["address"],
        "--token-file",
        "token",
        "--certificate",
        "certificate",
    ]
    worker = subprocess.Popen([*join, "--python", sys.executable], stderr=subprocess.PIPE, text=True)
    try:
        said = caller.communicate(timeout=120)[1]
        assert caller.returncode == 0, said
        told = worker.communicate(timeout=60)[1]
        assert worker.returncode == 0, told
    finally:
        worker.kill()
        caller.kill()
    assert said.startswith(f"on other machines that see {place}/shared: "), said
    assert str(worker.pid) in Path("parents").read_text().split(), told
    assert si.load("shared").status == "ok"


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


T = np.linspace(-1, 1, 5)


def straight(theta):
    return theta[0] + theta[1] * T


def exact_line(y, sigma, sd):
    """Log-evidence and mean of the slope, with priors of standard deviation 1 and `sd`."""
    columns = np.stack([np.ones(5), sd * T], axis=1)
    covariance = sigma**2 * np.eye(5) + columns @ columns.T
    log_evidence = -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    return log_evidence, sd * (columns.T @ np.linalg.solve(covariance, y))[1]


def is_line(result, y, sigma, sd):
    log_evidence, slope = exact_line(y, sigma, sd)
    assert abs(result.log_evidence - log_evidence) < 4.5 * result.log_evidence_error + 1e-3
    posterior = result.to_pandas()
    found = np.average(posterior["slope"], weights=posterior["weight"])
    spread = np.average((posterior["slope"] - found) ** 2, weights=posterior["weight"]) ** 0.5
    assert abs(found - slope) < 4.5 * spread / result.n_eff**0.5


def test_what_was_simulated_before_is_weighed_anew(place):
    y = np.array([1.8, 0.9, 0.5, 0.1, -0.8])
    priors = {"offset": si.Normal(0, 1), "slope": si.Normal(0, 1)}
    first = si.fit(straight, priors, x_obs=y, x_err=0.3, n_eff=800, progress=False)
    narrow = {"offset": si.Normal(0, 1), "slope": si.Normal(0, 0.8)}
    second = si.fit(straight, narrow, x_obs=y + 0.1, x_err=0.35, n_eff=200, reuse=first, progress=False)
    summary = json.loads((second.dir / "summary.json").read_text())
    assert summary["simulations"] == 0 and summary["reused"][0]["n_rows"] > 500
    is_line(second, y + 0.1, 0.35, 0.8)
    # The same call again, and one with more draws than there are.
    again = si.fit(straight, narrow, x_obs=y + 0.1, x_err=0.35, n_eff=200, reuse=first, progress=False)
    assert again.dir == second.dir
    more = si.fit(straight, narrow, x_obs=y, x_err=0.3, n_eff=1500, reuse=[first.dir.parent], dir="more", progress=False)
    assert json.loads((more.dir / "summary.json").read_text())["simulations"] > 0
    is_line(more, y, 0.3, 0.8)
    with pytest.raises(si.SiderealError, match=r"reuse: .* has simulations of other functions, different in simulate"):
        si.fit(lambda theta: theta[0] - theta[1] * T, priors, x_obs=y, x_err=0.3, reuse=first, progress=False)


def test_what_is_linear_is_integrated_out_and_drawn():
    y = np.array([1.8, 0.9, 0.5, 0.1, -0.8])
    priors = {"offset": si.Normal(0, 1), "slope": si.Normal(0, 0.8)}
    result = si.fit(straight, priors, x_obs=y, x_err=0.3, linear=["slope"], n_eff=800, progress=False)
    assert result.status == "ok", result.reasons
    is_line(result, y, 0.3, 0.8)
    with pytest.raises(si.SiderealError, match="the prior of slope is not normal"):
        si.fit(straight, {**priors, "slope": (-3, 3)}, x_obs=y, x_err=0.3, linear=["slope"], progress=False)
