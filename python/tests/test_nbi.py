"""nbi's front end: its arguments, and what it makes of a result."""

import math
import pickle
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from scipy import stats

from sidereal_inference import SiderealError, nbi

FLOW = {"n_dims": 2, "flow_hidden": 32}
FEATURIZER = {"type": "resnet-gru", "dim_in": 1, "depth": 3}
PRIORS = [stats.uniform(0, 1), stats.norm(0, 2)]
X_OBS = np.array([11.0, 1.0])


def line(theta):
    return np.array([theta[0], theta[1]])


def engine(**more):
    return nbi.NBI(FLOW, FEATURIZER, line, **{"priors": PRIORS, "labels": ["a", r"$\beta$"], "n_jobs": 1000, **more})


@pytest.fixture
def fitted(command, tmp_path, capsys):
    command.behave(result=None)
    (tmp_path / "finished").rename(tmp_path / "nbi")
    one = tmp_path / "nbi"
    import pyarrow.parquet as pq

    for name in ("posterior", "samples"):
        table = pq.read_table(one / f"{name}.parquet").drop_columns("mass")
        names = ["p1" if column == "b" else column for column in table.column_names]
        pq.write_table(table.rename_columns(names), one / f"{name}.parquet")
    command.behave(result=one)
    made = engine(path=str(tmp_path / "test"))
    made.fit(noise=np.array([1.0, 1.0]), x_obs=X_OBS, n_sims=1280, n_rounds=4, neff_stop=2000, plot=False)
    assert capsys.readouterr().out == "Effective sample size for all rounds 3.0\n"
    return made


def test_the_campaign(fitted):
    text = Path("sidereal-runs/line-1/campaign.toml").read_text()
    assert 'name = "a"\nprior = { uniform = { low = 0.0, high = 1.0 } }\n' in text
    assert 'name = "p1"\nprior = { normal = { mean = 0.0, sd = 2.0 } }\n' in text
    assert "value = [11.0, 1.0]\nsigma = [1.0, 1.0]\n" in text
    assert "stop = { simulations = 6400, n_eff = 2000 }\n" in text
    assert FLOW == {"n_dims": 2, "flow_hidden": 32} and FEATURIZER == {"type": "resnet-gru", "dim_in": 1, "depth": 3}


def test_what_it_found(fitted):
    thetas, weights = fitted.result()
    assert thetas.tolist() == [[0.5, -1.0], [1.0, -2.0], [1.5, -3.0], [2.0, -4.0]]
    assert weights.tolist() == [0.0, 0.5, 0.25, 0.25]
    assert fitted.neff == [0.0, 1.5]
    assert [one.tolist() for one in fitted.weights] == [[0.0], [0.5, 0.25, 0.25]]
    assert [one.tolist() for one in fitted.y_all] == [thetas[:1].tolist(), thetas[1:].tolist()]


def test_another_engine_goes_on_with_its_best_params(fitted):
    assert fitted.get_params() == fitted.best_params
    other = engine(state_dict=fitted.best_params, periodic=[])
    assert other.result()[1].tolist() == [0.0, 0.5, 0.25, 0.25]
    thetas, weights = other.predict(X_OBS, x_err=np.array([2.0, 2.0]))
    expected = fitted.predict(X_OBS, x_err=np.array([2.0, 2.0]))
    assert (thetas.tolist(), weights.tolist()) == (expected[0].tolist(), expected[1].tolist())


def test_simulations_are_paths(fitted, tmp_path):
    assert [one.tolist() for one in fitted.x_all] == [
        [f"{tmp_path}/test/0/0.npy"],
        [f"{tmp_path}/test/1/{row}.npy" for row in range(3)],
    ]
    assert [np.load(path).tolist() for path in fitted.x_all[1]] == [[10.0, 0.0], [11.0, 1.0], [12.0, 2.0]]


def test_predict(fitted, capsys):
    thetas, weights = fitted.predict(X_OBS, x_err=np.array([1.0, 1.0]))
    assert weights.tolist() == [0.0, 0.5, 0.25, 0.25]
    assert capsys.readouterr().out == "Effective Sample Size = 1.7\nSampling efficiency = 41.7%\n"
    thetas, weights = fitted.predict(X_OBS, x_err=np.array([2.0, 2.0]))
    # Of x - x_obs (-11, -1), (-1, -1), (0, 0), (1, 1), and log priors 0, 0.5, 0.5, 0.5.
    expected = np.array([math.exp(-122 / 8 - 0.5), math.exp(-2 / 8), 1.0, math.exp(-2 / 8)])
    assert weights == pytest.approx(expected / expected.sum())
    assert len(thetas) == 4
    alone = fitted.predict(X_OBS, n_samples=50)
    assert alone.shape == (50, 2) and set(alone[:, 0]) == {1.0, 1.5, 2.0}


def test_predict_makes_more_draws(fitted, command):
    fitted.predict(X_OBS, x_err=np.array([1.0, 1.0]), neff_min=50, n_max=2000)
    run = "sidereal-runs/line-1/run"
    assert command.calls()[-1] == ["draw", run, "--n-eff", "50", "--json", "--simulations", "766"]


def test_a_likelihood_is_told_a_path(command):
    def log_like(x_obs, x_path, y):
        return -np.sum((np.load(x_path) - x_obs) ** 2) - y[0]

    value = nbi.log_like_of_path(line, log_like, X_OBS, np.array([10.0, 1.0]))
    assert value == -11.0
    made = engine()
    made.fit(noise=lambda x, y: (x, y), log_like=log_like, x_obs=X_OBS, n_sims=100, f_accept_min=0.5, plot=False)
    text = Path("sidereal-runs/log_like_of_path-1/campaign.toml").read_text()
    assert "[likelihood]" in text and "[simulator]" not in text
    assert "stop = { simulations = 100, efficiency = 0.5 }\n" in text


def test_corner(fitted, monkeypatch):
    corner = pytest.importorskip("corner")
    pytest.importorskip("matplotlib").use("agg")
    taken = {}
    monkeypatch.setattr(corner, "corner", lambda values, **options: taken.update(values=values, **options))
    fitted.corner(X_OBS, *fitted.result(), y_true=[1, 2])
    assert taken["values"].tolist() == [[1.0, -2.0], [1.5, -3.0], [2.0, -4.0]]
    assert taken["weights"].tolist() == [0.5, 0.25, 0.25]
    assert (taken["labels"], taken["truths"]) == (["a", r"$\beta$"], [1, 2])


def test_periodic_parameters_go_by_their_labels(command):
    made = engine(labels=[r"$\phi$", "b"], periodic=[r"$\phi$"])
    made.fit(noise=np.ones(2), x_obs=X_OBS, n_sims=100, plot=False)
    assert (
        'name = "p0"\nprior = { uniform = { low = 0.0, high = 1.0 } }\nperiodic = true\n'
        in Path("sidereal-runs/line-1/campaign.toml").read_text()
    )


REFUSED = [
    (
        lambda: nbi.NBI(FLOW, object(), line, PRIORS),
        "featurizer: found object, expected a dictionary: no network of torch",
    ),
    (
        lambda: engine(state_dict={}),
        "state_dict: found another one, expected best_params: networks of torch cannot be read",
    ),
    (lambda: engine(priors=PRIORS[:1]), "priors: found 1, expected 2, one a dimension of the flow"),
    (lambda: engine(labels=["a"]), "labels: found 1, expected 2, one a prior"),
    (lambda: engine(periodic=["c"]), r"periodic: found 'c', expected some of labels: a, $\beta$"),
    (
        lambda: engine(priors=None),
        "simulator, priors: missing, expected both: simulations made beforehand cannot be used; a simulator may look up what "
        "your code gives for any parameters",
    ),
    (
        lambda: engine().fit(y=np.zeros((3, 2)), x_obs=X_OBS),
        "x, y: found simulations made beforehand, expected none: parameters are drawn here, so that their density is known; a "
        "simulator may call or look up what has made them",
    ),
    (
        lambda: engine().fit(n_sims=10, n_rounds=2),
        "x_obs: missing, expected an observation, or n_rounds=1 in place of 2",
    ),
    (
        lambda: engine().fit(n_sims=10),
        "noise: missing, expected an array of standard deviations or a function: a network that has seen no noise is of no use "
        "for data with some",
    ),
    (lambda: engine().fit(x_obs=X_OBS, noise=np.ones(2)), "n_sims, n_rounds: found -1 and 1, expected 1 or more"),
    (
        lambda: engine().fit(x_obs=X_OBS, n_sims=9, noise=0.5),
        "noise: found 0.5, expected an array of standard deviations, or a function",
    ),
    (
        lambda: engine().fit(x_obs=X_OBS, n_sims=9),
        "noise, log_like: found neither an array nor a function, expected one, to weigh draws with",
    ),
    (lambda: engine().result(), "fit has not been called, expected that before any result"),
    (lambda: engine().sample(X_OBS), "fit has not been called, expected that before any result"),
    (lambda: engine().log_prob(X_OBS, [[1, 2, 3]]), "y: found shape (1, 3), expected [n, 2]"),
]


@pytest.mark.parametrize("call, words", REFUSED)
def test_what_is_refused(call, words):
    with pytest.raises(SiderealError) as caught:
        call()
    assert str(caught.value) == words


def test_another_observation_is_refused(fitted):
    with pytest.raises(SiderealError) as caught:
        fitted.predict(X_OBS + 1, x_err=np.ones(2))
    assert str(caught.value) == (
        "x: found another observation, expected that of fit: its proposal is for that one alone; a fit without x_obs and with "
        "n_rounds=1 is for any"
    )


def test_the_density_before_a_fit_is_that_of_the_prior():
    density = engine().log_prob(None, [[0.5, 0.0], [2.0, 0.0]])
    assert density.tolist() == [-0.5 * math.log(2 * math.pi) - math.log(2), -math.inf]


def test_a_model_for_any_observation_is_a_campaign_without_one(command):
    engine().fit(noise=np.array([1.0, 2.0]), n_sims=1280)
    text = Path("sidereal-runs/line-1/campaign.toml").read_text()
    assert "[observation]" not in text and "grid = [0.0, 1.0]\n" in text
    assert "[noise]\ngaussian = { sigma = { table = [[1.0, 2.0]] } }\n" in text
    assert "[rounds]\nmax = 1\nsimulations = 1280\n" in text
    engine().fit(noise=np.array([2.0, 2.0]), n_sims=1280)
    text = Path("sidereal-runs/line-2/campaign.toml").read_text()
    assert "[noise]\ngaussian = { sigma = 2.0 }\n" in text
    engine().fit(noise=np.array([2.0, 2.0]), n_sims=1281)
    assert Path("sidereal-runs/line-3").exists(), "as many simulations are part of what it is"


def test_noise_of_a_function_is_drawn_anew_in_each_epoch(command):
    def noise(x, y):
        return x + y[1] * np.random.normal(size=x.shape), y

    np.random.seed(3)
    engine().fit(noise=noise, n_sims=100)
    assert np.random.normal() == np.random.RandomState(3).normal()
    text = Path("sidereal-runs/line-1/campaign.toml").read_text()
    assert '[noise]\npython = "model.pkl:noise"\nglobal_rng = true\n' in text
    assert '[simulator]\npython = "model.pkl:simulate"\n' in text and 'log_likelihood"\n' in text
    with open("sidereal-runs/line-1/model.pkl", "rb") as file:
        anew = cloudpickle.loads(pickle.load(file)["functions"]["noise"])
    np.random.seed(4)
    found = anew(np.array([1.0, 2.0]), np.array([0.0, 0.5]), None)
    assert found.tolist() == (np.array([1.0, 2.0]) + 0.5 * np.random.RandomState(4).normal(size=2)).tolist()


def test_noise_may_be_a_function_that_changes_the_shape_of_x_and_leaves_the_generator(command):
    def noise(x, y):
        return np.append(x, np.random.normal()), y

    np.random.seed(3)
    engine().fit(noise=noise, n_sims=100)
    assert np.random.normal() == np.random.RandomState(3).normal()
    text = Path("sidereal-runs/with_noise-1/campaign.toml").read_text()
    assert "grid = [0.0, 1.0, 2.0]\n" in text and "global_rng = true\n" in text
    assert 'log_likelihood"\n' in text and "[noise]" not in text
    with pytest.raises(SiderealError) as caught:
        engine().fit(noise=lambda x, y: (x, y + 1), n_sims=100)
    assert str(caught.value).startswith("simulate raised ValueError: noise gave parameters [")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_simulations_that_raise_weigh_nothing_and_are_told(n_jobs, capsys):
    def value(theta):
        return 1.0 / theta[0]

    with np.errstate(all="raise"):
        found = nbi.outcomes(value, np.array([[2.0], [0.0], [4.0]]), n_jobs)
    assert found[[0, 2]].tolist() == [0.5, 0.25] and np.isnan(found[1])
    words = (
        "1 of 3 simulations failed and weigh nothing: FloatingPointError: divide by zero encountered in scalar divide\n"
    )
    assert capsys.readouterr().err == words
    assert nbi.normalized(np.log(found)).tolist() == pytest.approx([2 / 3, 0, 1 / 3])
