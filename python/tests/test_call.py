"""`sample` and `fit`: what they write, what they refuse, and where they go on."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import sidereal_inference as si
from parent import Parent
from stand_in import write_result

PRIORS = {"a": (0, 1), "b": si.Normal(0, 1)}
RUN = Path("sidereal-runs")


def log_likelihood(theta):
    return -np.sum(theta**2)


def simulate(theta):
    return theta[0] + np.zeros(3)


def test_one_call(command, tmp_path, capsys):
    result = si.sample(log_likelihood, PRIORS, periodic=["a"], n_eff=100, workers=2, seed=5)
    assert result.dir == RUN / "log_likelihood-1" / "run"
    assert result.log_evidence == -3.25
    directory = RUN / "log_likelihood-1"
    assert command.calls() == [["fit", f"{directory}/campaign.toml", "--out", f"{directory}/run", "--json"]]
    assert (directory / "campaign.toml").read_text() == (
        'name = "log_likelihood"\nseed = 5\n'
        '\n[[parameters]]\nname = "a"\nprior = { uniform = { low = 0.0, high = 1.0 } }\nperiodic = true\n'
        '\n[[parameters]]\nname = "b"\nprior = { normal = { mean = 0.0, sd = 1.0 } }\n'
        '\n[likelihood]\npython = "model.pkl:log_likelihood"\ntimeout = 600.0\nsetup_timeout = 300.0\n'
        "\n[rounds]\nstop = { n_eff = 100, simulations = 50000 }\n"
        f'\n[workers]\ncount = 2\npython = "{sys.executable}"\n'
    )
    content = pickle.loads((directory / "model.pkl").read_bytes())
    assert content["directory"] == str(tmp_path)
    assert content["path"] == [os.path.abspath(one) if one else str(tmp_path) for one in sys.path]
    assert cloudpickle.loads(content["functions"]["log_likelihood"])(np.ones(2)) == -2.0
    assert capsys.readouterr().err == ""


def test_workers_of_other_machines_are_told_what_to_start(command, tmp_path, capsys):
    si.sample(log_likelihood, PRIORS, dir="shared", listen="0.0.0.0:0")
    run = ["fit", "shared/campaign.toml", "--out", "shared/run", "--json"]
    assert command.calls() == [[*run, "--listen", "0.0.0.0:0"]]
    assert capsys.readouterr().err == (
        f"on other machines that see {tmp_path}/shared: {command.path} worker --campaign {tmp_path}/shared/run "
        f"--python {sys.executable}\n"
    )


def test_a_child_finds_what_was_written(command, tmp_path):
    scale = 3.0
    si.sample(lambda theta: -scale * theta[0] + len(os.getcwd()), {"a": (0, 1)}, dir="mine")
    parent = Parent({"log_likelihood": f"{tmp_path}/mine/model.pkl:log_likelihood"}, parameters=["a"])
    assert "program" in parent.ready()
    assert parent.ask([[2.0]])["log_likelihood"] == [-6.0 + len(str(tmp_path))]
    parent.close()


def test_a_simulator(command):
    si.fit(simulate, PRIORS, x_obs=[1, 2, 3], x_err=0.5, grid=[0, 10, 20], blobs=[], vectorized=False)
    text = (RUN / "simulate-1" / "campaign.toml").read_text()
    assert '\n[simulator]\npython = "model.pkl:simulate"\n' in text
    assert (
        "\n[observation]\ngrid = [0.0, 10.0, 20.0]\nvalue = [1.0, 2.0, 3.0]\nsigma = [0.5, 0.5, 0.5]\n"
        '\n[noise]\ngaussian = { sigma = "observed" }\n'
    ) in text


def test_jitter_and_offset_by_instrument(command):
    def simulate(theta):
        assert theta.shape == (1,)
        return theta[0] + np.zeros(3)

    priors = {"s_1": (0, 1), "c": (0, 1), "gamma": (-5, 5), "s_2": 0.5}
    terms = {"jitter": {"HARPS": "s_1", "HIRES 2": "s_2"}, "offset": "gamma"}
    given = {"x_obs": [1, 2, 3], "x_err": 0.5, "instrument": np.array(["HARPS", "HIRES 2", "HARPS"]), **terms}
    first = si.fit(simulate, priors, **given)
    assert (
        '\ngaussian = { sigma = "observed", jitter = { HARPS = "s_1", "HIRES 2" = "s_2" }, offset = "gamma", '
        'by = ["HARPS", "HIRES 2", "HARPS"] }\n'
    ) in (RUN / "simulate-1" / "campaign.toml").read_text()
    assert si.fit(simulate, priors, **given).dir == first.dir
    given["instrument"] = ["HARPS", "HIRES 2", "HIRES 2"]
    assert si.fit(simulate, priors, **given).dir == RUN / "simulate-2" / "run"
    si.fit(lambda theta: theta, {"a": (0, 1), "s": (0, 1)}, x_obs=[1], x_err=1, jitter="s", dir="mine")
    assert '\ngaussian = { sigma = "observed", jitter = "s" }\n' in Path("mine/campaign.toml").read_text()


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"jitter": "c"}, "jitter: found 'c', expected a parameter with a prior: a, b"),
        ({"jitter": {}}, "jitter: found {}, expected the name of a parameter, or a dict of such names by instrument"),
        ({"jitter": {"x": "a"}}, "instrument: missing, expected what jitter and offset go by, one a datum"),
        (
            {"jitter": "a", "instrument": ["x"] * 3},
            "instrument: found it where neither jitter nor offset is a dict, expected none",
        ),
        (
            {"offset": {"x": "a"}, "instrument": ["y", "z", "y"]},
            "offset: no datum has 'x' in instrument, found y, z",
        ),
        (
            {"offset": {"x": "a"}, "instrument": ["x"]},
            "instrument: found shape (1,), expected that of x_obs, (3,), or [length]",
        ),
        (
            {"offset": {"x": "d"}, "instrument": ["x"] * 3},
            "offset['x']: found 'd', expected a parameter with a prior: a, b",
        ),
        (
            {"jitter": "a", "offset": "b"},
            "the noise takes all parameters, a, b, expected one at least that simulate takes",
        ),
    ],
)
def test_terms_of_the_noise_that_are_none(command, terms, message):
    with pytest.raises(si.SiderealError) as caught:
        si.fit(simulate, PRIORS, x_obs=[1, 2, 3], x_err=0.5, **terms)
    assert str(caught.value) == message


def test_samples_are_written_beside_the_campaign(command):
    samples = si.Samples({"a": [0.25, 0.5], "b": [1, 2]})
    result = si.sample(log_likelihood, {"a": samples, "b": samples})
    directory = RUN / "log_likelihood-1"
    text = (directory / "campaign.toml").read_text()
    for name in "ab":
        assert f'prior = {{ samples = {{ path = "{samples.file_name}", column = "{name}" }} }}' in text
    assert (directory / samples.file_name).read_bytes() == samples.content
    again = si.Samples({"a": [0.25, 0.5], "b": [1, 2]})
    assert si.sample(log_likelihood, {"a": again, "b": again}).dir == result.dir
    other = si.Samples({"a": [0.25, 0.75], "b": [1, 2]})
    assert si.sample(log_likelihood, {"a": other, "b": other}).dir == RUN / "log_likelihood-2" / "run"


def test_channels_are_written_row_by_row(command):
    x_obs = np.arange(6.0).reshape(2, 3)
    si.fit(lambda theta: x_obs, PRIORS, x_obs=x_obs, x_err=np.arange(1, 7).reshape(2, 3), grid=[0, 1, 2], dir="mine")
    assert (
        "\n[observation]\ngrid = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]\nvalue = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]\n"
        "sigma = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]\n"
    ) in Path("mine/campaign.toml").read_text()


def test_noise_of_its_own_and_a_prior_transform(command):
    def noisy(theta, rng):
        return theta[:1] + rng.normal(size=(1, 3))

    def density(theta, x_obs):
        assert x_obs.shape == (1, 3)
        return -np.sum((x_obs - theta[0]) ** 2)

    si.fit(
        noisy,
        x_obs=[[1, 2, 3]],
        log_likelihood=density,
        prior_transform=lambda u: 2 * u,
        names=["a", "b"],
        periodic=["b"],
    )
    text = (RUN / "noisy-1" / "campaign.toml").read_text()
    places = (
        'transform = { python = "model.pkl:prior_transform", names = ["a", "b"], periodic = ["b"] }',
        "[likelihood]",
    )
    assert all(place in text for place in places)
    assert "sigma" not in text and "noise" not in text and "parameters" not in text


def test_functions_by_name(command, tmp_path):
    (tmp_path / "model.py").write_text("def log_likelihood(theta):\n    return -theta[0]\n")
    si.sample("model.py:log_likelihood", {"a": (0, 1)})
    text = (RUN / "log_likelihood-1" / "campaign.toml").read_text()
    assert f'python = "{tmp_path}/model.py:log_likelihood"' in text
    with pytest.raises(si.SiderealError) as caught:
        si.sample("model.py:other", {"a": (0, 1)})
    assert str(caught.value) == f"log_likelihood: {tmp_path}/model.py has no other, it has log_likelihood"


def test_the_same_call_finds_its_own_directory(command, capsys):
    calls = []

    def counted(theta):
        calls.append(len(theta))
        return -1.0

    first = si.sample(counted, PRIORS)
    calls.clear()
    pickled = (RUN / "counted-1" / "model.pkl").read_bytes()
    again = si.sample(counted, PRIORS, n_eff=5000, simulations=100_000, workers=1, timeout=5)
    assert again.dir == first.dir
    assert calls == [], "what has been called before is not called again"
    assert (RUN / "counted-1" / "model.pkl").read_bytes() == pickled
    assert "stop = { n_eff = 5000, simulations = 100000 }" in (RUN / "counted-1" / "campaign.toml").read_text()
    assert capsys.readouterr().err == ""


def test_the_same_call_of_another_process_too(command):
    script = """
    import numpy as np
    import sidereal_inference as si

    data = {"x": np.arange(3.0), "names": {"p", "q", "r"}}

    def log_likelihood(theta):
        return -np.sum((data["x"] - theta[0]) ** 2) if "p" in data["names"] else 0.0

    print(si.sample(log_likelihood, {"a": (0, 1)}).dir)
    """
    directories = []
    for number in range(3):
        path = Path(f"script{number}.py")
        path.write_text("\n" * number + textwrap.dedent(script))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(number)}
        output = subprocess.run([sys.executable, path], env=environment, capture_output=True, text=True, check=True)
        directories.append(output.stdout.strip())
    assert directories == [f"{RUN}/log_likelihood-1/run"] * 3


def test_a_changed_call_begins_the_next_number(command, capsys):
    def make(scale):
        def log_likelihood(theta):
            return -scale * theta[0]

        return log_likelihood

    numbers = []
    for scale, seed in ((1.0, 0), (2.0, 0), (2.0, 1), (1.0, 0)):
        numbers.append(si.sample(make(scale), {"a": (0, 1)}, seed=seed).dir.parent.name)
    assert numbers == ["log_likelihood-1", "log_likelihood-2", "log_likelihood-3", "log_likelihood-1"]
    assert capsys.readouterr().err.splitlines() == [
        f"log_likelihood (closure scale) changed since {RUN}/log_likelihood-1: this is a new campaign, in {RUN}/log_likelihood-2",
        f"seed changed since {RUN}/log_likelihood-2: this is a new campaign, in {RUN}/log_likelihood-3",
    ]


class Star:
    def __init__(self):
        self.radius = 1.0


STAR = Star()


def writes_into_a_global(theta):
    STAR.radius = float(theta[0])
    return -STAR.radius


def test_what_a_call_leaves_behind_makes_no_other_call_of_it(command, capsys):
    names = [si.sample(writes_into_a_global, {"a": (0, 1)}).dir.parent.name for _ in range(2)]
    STAR.radius = 1.0  # as in another process
    names.append(si.sample(writes_into_a_global, {"a": (0, 1)}).dir.parent.name)
    assert set(names) == {"writes_into_a_global-1"}
    STAR.radius = 5.0  # as nobody has seen it
    capsys.readouterr()
    assert si.sample(writes_into_a_global, {"a": (0, 1)}).dir.parent.name == "writes_into_a_global-2"
    assert capsys.readouterr().err == (
        f"log_likelihood (object STAR) changed since {RUN}/writes_into_a_global-1: this is a new campaign, in "
        f"{RUN}/writes_into_a_global-2; an object that a function writes into is a part of it: make it, or a copy of it, within "
        "the function\n"
    )


def test_a_directory_of_another_call_is_refused(command):
    si.sample(log_likelihood, PRIORS, dir="mine")
    assert si.sample(log_likelihood, PRIORS, dir="mine").dir == Path("mine/run")
    with pytest.raises(si.SiderealError) as caught:
        si.sample(log_likelihood, {**PRIORS, "a": (0, 2)}, dir="mine", vectorized=7)
    assert str(caught.value) == (
        "dir: mine has the campaign of another call, different in priors, vectorized; expected the same call, or a new directory"
    )
    Path("full").mkdir()
    Path("full/file").write_text("")
    with pytest.raises(si.SiderealError) as caught:
        si.sample(log_likelihood, PRIORS, dir="full")
    assert (
        str(caught.value)
        == "dir: full has no call.json, expected a new or empty directory, or that of a call like this"
    )


def test_what_is_not_to_be_trusted_is_a_warning(command, tmp_path):
    command.behave(status=3, result=write_result(tmp_path / "poor", warnings=["k-hat is 0.9", "n_eff is 3"]))
    with pytest.warns(si.NotToBeTrusted) as caught:
        result = si.sample(log_likelihood, PRIORS, dir="mine")
    assert [str(one.message) for one in caught] == ["mine/run: k-hat is 0.9; n_eff is 3"]
    assert caught[0].filename == __file__
    assert result.status == "not to be trusted"


def test_what_the_command_refuses_is_an_error(command):
    command.behave(status=2, says=["error: campaign.toml:3: no"])
    with pytest.raises(si.SiderealError, match=r"^campaign\.toml:3: no$"):
        si.sample(log_likelihood, PRIORS)


def sampled(*arguments, **options):
    return lambda: si.sample(*arguments, **options)


def fitted(*arguments, **options):
    return lambda: si.fit(*arguments, **options)


def unit(u):
    return u


ARGUMENTS = [
    (sampled(3, PRIORS), "log_likelihood: found 3, expected a function or MODULE:NAME"),
    (sampled(log_likelihood), "priors: missing, expected priors, or a prior_transform with names"),
    (
        sampled(log_likelihood, PRIORS, prior_transform=unit),
        "priors: found beside a prior_transform, expected one of them",
    ),
    (
        sampled(log_likelihood, prior_transform=unit),
        "names: missing, expected a name for each number that prior_transform gives",
    ),
    (sampled(log_likelihood, PRIORS, names="a"), "names: found 'a', expected a list of names"),
    (sampled(log_likelihood, {"a": 1}), "priors: all parameters are fixed, expected one at least that is not"),
    (
        sampled(log_likelihood, prior_transform=unit, names=["a"], periodic=["b"]),
        "periodic: found 'b', expected some of names: a",
    ),
    (sampled(log_likelihood, PRIORS, periodic=["c"]), "periodic: found 'c', expected names of parameters: a, b"),
    (sampled(log_likelihood, PRIORS, n_eff=0), "n_eff: found 0, expected a number above 0"),
    (sampled(log_likelihood, PRIORS, simulations=1.5), "simulations: found 1.5, expected a whole number of 1 or more"),
    (sampled(log_likelihood, PRIORS, vectorized=0), "vectorized: found 0, expected a whole number of 1 or more"),
    (sampled(log_likelihood, PRIORS, workers=0), "workers: found 0, expected a whole number of 1 or more"),
    (sampled(log_likelihood, PRIORS, seed=-1), "seed: found -1, expected a whole number of 0 or more"),
    (sampled(log_likelihood, PRIORS, seed=np.inf), "seed: found inf, expected a whole number of 0 or more"),
    (sampled(log_likelihood, PRIORS, blobs="mass"), "blobs: found 'mass', expected a list of names"),
    (sampled(log_likelihood, PRIORS, blobs=["a"]), "blobs: found a twice, expected each name once"),
    (sampled(log_likelihood, PRIORS, timeout="1"), "timeout: found '1', expected a number above 0"),
    (fitted(simulate, PRIORS, x_obs="x", x_err=1), "x_obs: found 'x', expected an array of numbers"),
    (fitted(simulate, PRIORS, x_obs=1.0, x_err=1), "x_obs: found shape (), expected [length] or [channels, length]"),
    (fitted(simulate, PRIORS, x_obs=[1, np.nan], x_err=1), "x_obs: found nan, expected finite numbers"),
    (
        fitted(simulate, PRIORS, x_obs=[1, 2, 3], x_err=[1, 2]),
        "x_err: found shape (2,), expected that of x_obs, (3,), or one number",
    ),
    (fitted(simulate, PRIORS, x_obs=[1, 2, 3], x_err=[1, 2, 0]), "x_err: found 0.0, expected more than 0"),
    (
        fitted(simulate, PRIORS, x_obs=[1, 2, 3]),
        "x_err: missing, expected standard deviations of x_obs, or a log_likelihood(theta, x_obs)",
    ),
    (
        fitted(simulate, PRIORS, x_obs=[1, 2, 3], x_err=1, log_likelihood=log_likelihood),
        "x_err: found beside a log_likelihood, expected standard deviations of x_obs, or a log_likelihood(theta, x_obs)",
    ),
    (
        fitted(simulate, PRIORS, x_obs=[1, 2, 3], x_err=1, grid=[1, 2]),
        "grid: found shape (2,), expected that of x_obs, (3,), or [length]",
    ),
    (
        fitted(lambda theta, rng: theta, PRIORS, x_obs=[1, 2], x_err=1),
        "simulate takes rng and so draws noise of its own, expected a log_likelihood(theta, x_obs) in place of x_err",
    ),
]


@pytest.mark.parametrize("call, words", ARGUMENTS)
def test_wrong_arguments(command, call, words):
    with pytest.raises(si.SiderealError) as caught:
        call()
    assert str(caught.value) == words
    assert not RUN.exists() and command.calls() == []


def test_a_missing_command_is_told_before_anything_is_written(command, monkeypatch):
    monkeypatch.setenv("SIDEREAL_BINARY", "nowhere")
    with pytest.raises(si.SiderealError, match=r"^SIDEREAL_BINARY is nowhere, expected a file$"):
        si.sample(log_likelihood, PRIORS)
    assert not RUN.exists()


HERE = "(test_call.py, line {}, in {})"


def line_of(function, offset=0):
    return HERE.format(function.__code__.co_firstlineno + offset, function.__code__.co_name)


def raises(theta):
    raise ValueError("no such star")


def gives_nan(theta):
    return np.nan


def gives_array(theta):
    return theta


def takes_three(a, b, c):
    return 0.0


def blind(theta):
    theta[0] = 10 * theta[0]
    return theta[:, 0]


def blind_transform(u):
    theta = u.copy()
    theta[0] = 10 * u[0]
    return theta


def uneven(theta):
    return theta[:, 0] + np.arange(len(theta))


FIRST_CALLS = [
    (sampled(raises, PRIORS), f"log_likelihood raised ValueError: no such star {line_of(raises, 1)}"),
    (sampled(gives_nan, PRIORS), f"log_likelihood gave nan, expected a number or -inf {line_of(gives_nan)}"),
    (
        sampled(gives_array, PRIORS),
        f"log_likelihood gave ndarray of shape (2,), expected a number {line_of(gives_array)}",
    ),
    (
        sampled(takes_three, PRIORS),
        f"log_likelihood takes 3 arguments without a default {line_of(takes_three)}, expected 1 or 2: theta, x_obs",
    ),
    (
        sampled(log_likelihood, prior_transform=raises, names=["a"]),
        f"prior_transform raised ValueError: no such star {line_of(raises, 1)}",
    ),
    (
        sampled(log_likelihood, prior_transform=lambda u: u[:1], names=["a", "b"]),
        "prior_transform gave ndarray of shape (1,), expected shape (2,)",
    ),
    (
        sampled(log_likelihood, PRIORS, blobs=["mass"]),
        "expected (value, derived) with derived quantities mass " + line_of(log_likelihood),
    ),
    (fitted(raises, PRIORS, x_obs=[1], x_err=1), f"simulate raised ValueError: no such star {line_of(raises, 1)}"),
    (
        fitted(simulate, PRIORS, x_obs=[1], x_err=1),
        f"simulate gave x of shape (3,), expected 1 numbers {line_of(simulate)}",
    ),
    (
        fitted(simulate, PRIORS, x_obs=np.zeros((3, 1)), x_err=1, log_likelihood=None, names=["b"]),
        "names: found ['b'], expected those of priors, ['a', 'b'], or none",
    ),
    (
        fitted(lambda theta: np.zeros((3, 2)), PRIORS, x_obs=np.zeros((2, 3)), x_err=1),
        "simulate gave x of shape (3, 2), expected that of x_obs, (2, 3)",
    ),
    (
        sampled(log_likelihood, PRIORS, vectorized=8),
        f"log_likelihood gave {{}}, expected shape (8,) for 8 rows at once {line_of(log_likelihood)}",
    ),
    (sampled(uneven, PRIORS, vectorized=8), "for the same row among its copies, expected the same: with vectorized="),
    (
        sampled(lambda theta: -theta[:, 0], prior_transform=blind_transform, names=["a", "b"], vectorized=8),
        "for the same row among its copies, expected the same: with vectorized=",
    ),
]


@pytest.mark.parametrize("call, words", FIRST_CALLS)
def test_the_first_call_shows_what_is_wrong(command, call, words):
    with pytest.raises(si.SiderealError) as caught:
        call()
    assert all(piece in str(caught.value) for piece in words.split("{}")), str(caught.value)
    assert not RUN.exists() and command.calls() == []


def test_what_was_raised_is_the_cause(command):
    with pytest.raises(si.SiderealError) as caught:
        si.sample(raises, PRIORS)
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_interrupt_in_the_first_call_is_one(command):
    def interrupted(theta):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        si.sample(interrupted, PRIORS)


def test_priors_most_of_which_is_impossible_are_no_error(command):
    calls = []

    def rarely(theta):
        calls.append(theta[0])
        return -1.0 if len(calls) == 4 else -np.inf

    si.sample(rarely, PRIORS)
    assert len(calls) == 4
    si.sample(lambda theta: -np.inf, PRIORS)


def test_what_cannot_be_pickled_is_said(command):
    generator = (number for number in range(3))
    with pytest.raises(
        si.SiderealError, match=r"^log_likelihood: it cannot be pickled \(TypeError: cannot pickle 'generator' "
    ):
        si.sample(lambda theta: float(next(generator)), PRIORS)


def test_vectorized_functions_are_called_with_blocks(command):
    shapes = []

    def log_likelihood(theta):
        shapes.append(theta.shape)
        return -theta[:, 0], {"mass": theta[:, 1]}

    si.sample(log_likelihood, PRIORS, vectorized=True, blobs=["mass"])
    assert shapes == [(256, 2), (256, 2)]
    text = (RUN / "log_likelihood-1" / "campaign.toml").read_text()
    assert 'vectorized = true\nblobs = ["mass"]\n' in text


def test_functions_without_a_name_have_that_of_their_use(command):
    assert si.sample(lambda theta: 0.0, PRIORS).dir == RUN / "log_likelihood-1" / "run"
    assert si.fit(lambda theta: theta[:1], PRIORS, x_obs=[1], x_err=1).dir == RUN / "simulate-1" / "run"


def test_further_keys(command):
    si.sample(log_likelihood, PRIORS, options={"flow": {"kind": "nsf"}, "workers": {"batch_rows": 3}}, dir="mine")
    text = Path("mine/campaign.toml").read_text()
    assert '\n[flow]\nkind = "nsf"\n' in text and "batch_rows = 3\n" in text
    si.sample(log_likelihood, PRIORS, options={"flow": {"kind": "nsf"}}, dir="mine")
    with pytest.raises(si.SiderealError, match="different in options"):
        si.sample(log_likelihood, PRIORS, dir="mine")


def test_scipy_is_not_loaded_for_its_sake(command):
    script = (
        "import sys, sidereal_inference; print(sorted({'scipy', 'corner', 'arviz', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert output.stdout == "[]\n"


def test_records_are_of_a_format(command):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        si.sample(log_likelihood, PRIORS, dir="mine")
    record = json.loads(Path("mine/call.json").read_text())
    assert (record["format"], record["version"]) == ("sidereal-call", 1)
    Path("mine/call.json").write_text(json.dumps({**record, "version": 2}))
    with pytest.raises(si.SiderealError, match="has no call"):
        si.sample(log_likelihood, PRIORS, dir="mine")
