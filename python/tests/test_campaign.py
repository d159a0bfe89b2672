"""Campaign files as they are written."""

import numpy as np
import pytest

from sidereal_inference._campaign import Campaign, Observation, toml, value_of
from sidereal_inference._priors import Fixed, TruncatedNormal, Uniform

BARE = {
    "name": "line",
    "seed": 3,
    "names": ["a", "b"],
    "periodic": [],
    "observation": None,
    "vectorized": False,
    "blobs": [],
    "global_rng": False,
    "timeout": 600,
    "setup_timeout": 300,
    "stop": {"n_eff": 2000, "simulations": 50000},
    "workers": None,
    "python": "/usr/bin/python3",
}


def test_a_log_likelihood():
    campaign = Campaign(
        **BARE,
        functions={"log_likelihood": "model.pkl:log_likelihood"},
        priors={"a": TruncatedNormal(0, 1, low=0.1), "b": Fixed(1e-7)},
    )
    assert campaign.block == 0
    assert campaign.toml() == (
        'name = "line"\nseed = 3\n'
        '\n[[parameters]]\nname = "a"\nprior = { truncated_normal = { mean = 0.0, sd = 1.0, low = 0.1 } }\n'
        '\n[[parameters]]\nname = "b"\nprior = { fixed = 1e-07 }\n'
        '\n[likelihood]\npython = "model.pkl:log_likelihood"\ntimeout = 600.0\nsetup_timeout = 300.0\n'
        "\n[rounds]\nstop = { n_eff = 2000, simulations = 50000 }\n"
        '\n[workers]\npython = "/usr/bin/python3"\n'
    )


def test_a_simulator_with_everything():
    given = {**BARE, "periodic": ["a"], "vectorized": True, "blobs": ["mass"], "global_rng": True, "workers": 2}
    campaign = Campaign(
        **{**given, "observation": Observation(np.array([1.5, 2]), np.arange(2.0), np.array([0.1, 0.3]))},
        functions={"simulate": "stars.model:simulate"},
        priors={"a": Uniform(0, 1)},
        more={"trust": {"misfit": "warn"}},
    )
    assert campaign.block == 256
    assert campaign.toml() == (
        'name = "line"\nseed = 3\n'
        '\n[[parameters]]\nname = "a"\nprior = { uniform = { low = 0.0, high = 1.0 } }\nperiodic = true\n'
        '\n[simulator]\npython = "stars.model:simulate"\nvectorized = true\nblobs = ["mass"]\nglobal_rng = true\n'
        "timeout = 600.0\nsetup_timeout = 300.0\n"
        "\n[observation]\ngrid = [0.0, 1.0]\nvalue = [1.5, 2.0]\nsigma = [0.1, 0.3]\n"
        '\n[noise]\ngaussian = { sigma = "observed" }\n'
        "\n[rounds]\nstop = { n_eff = 2000, simulations = 50000 }\n"
        '\n[workers]\ncount = 2\npython = "/usr/bin/python3"\n'
        '\n[trust]\nmisfit = "warn"\n'
    )


def test_a_prior_transform_and_noise_of_its_own():
    functions = {use: f"model.pkl:{use}" for use in ("prior_transform", "simulate", "log_likelihood")}
    given = {**BARE, "periodic": ["b"], "vectorized": 64}
    campaign = Campaign(
        **{**given, "observation": Observation(np.array([1.5]), np.zeros(1), None)}, functions=functions, priors={}
    )
    assert campaign.block == 64
    assert campaign.toml() == (
        'name = "line"\nseed = 3\n'
        '\n[prior]\ntransform = { python = "model.pkl:prior_transform", names = ["a", "b"], periodic = ["b"] }\n'
        '\n[simulator]\npython = "model.pkl:simulate"\nvectorized = 64\ntimeout = 600.0\nsetup_timeout = 300.0\n'
        '\n[likelihood]\npython = "model.pkl:log_likelihood"\n'
        "\n[observation]\ngrid = [0.0]\nvalue = [1.5]\n"
        "\n[rounds]\nstop = { n_eff = 2000, simulations = 50000 }\n"
        '\n[workers]\npython = "/usr/bin/python3"\n'
    )


VALUES = [
    (1.0, "1.0"),
    (1e-300, "1e-300"),
    (np.float64(0.1), "0.1"),
    (True, "true"),
    (np.int64(3), "3"),
    ('a "quoted" \\ line\n\x01\x7f é', '"a \\"quoted\\" \\\\ line\\n\\u0001\\u007f é"'),
    ([], "[]"),
    ({"a": [1, "b"]}, '{ a = [1, "b"] }'),
]


@pytest.mark.parametrize("value, text", VALUES)
def test_values(value, text):
    assert value_of(value) == text


def test_what_is_written_is_read_back():
    tomllib = pytest.importorskip("tomllib")
    floats = np.random.default_rng(0).normal(size=100) * 10.0 ** np.arange(-150, 150, 3)
    document = {"name": 'x"\n', "table": {"floats": floats, "deep": {"a": {"b": 1}}}, "rows": [{"a": 1}, {"a": 2.5}]}
    assert tomllib.loads(toml(document)) == {**document, "table": {"floats": floats.tolist(), "deep": {"a": {"b": 1}}}}
