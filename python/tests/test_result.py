"""Results as they are read back."""

import builtins
import json
import os
from pathlib import Path

import numpy as np
import pytest

import sidereal_inference as si
from stand_in import SAMPLES, write_result


@pytest.fixture
def result(tmp_path):
    return si.load(write_result(tmp_path / "run"))


def test_numbers(result):
    assert (result.log_evidence, result.log_evidence_error) == (-3.25, 0.125)
    assert (result.n_eff, result.pareto_k, result.simulations) == (3.0, 0.25, 1234)
    assert (result.status, result.reasons) == ("ok", [])
    assert result.names == ["a", "b", "mass"]
    assert result.posterior["a"].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert result.to_pandas().equals(result.posterior)
    assert result.samples.to_numpy().tolist() == SAMPLES.tolist()
    assert result.weights.tolist() == [0.0, 0.5, 0.25, 0.25]
    assert repr(result) == f"<sidereal result of line in {result.dir}: ok>"


def test_without_pandas_tables_are_of_pyarrow(result, monkeypatch):
    monkeypatch.setattr("sidereal_inference._result.pd", None)
    assert result.samples.to_pydict() == {name: list(column) for name, column in zip("ab", SAMPLES.T)} | {
        "mass": [20.0, 30.0, 20.0, 40.0]
    }


def test_draws_of_equal_weight(result):
    again = result.resample(1000, seed=3)
    assert list(again.columns) == ["a", "b", "mass"]
    assert (again["b"] == -2 * again["a"]).all() and (again["mass"] == 20 * again["a"]).all()
    counts = again["a"].value_counts().to_dict()
    assert set(counts) == {1.0, 1.5, 2.0} and abs(counts[1.0] - 500) < 60
    assert result.resample(1000, seed=3).equals(again)
    assert not result.resample(1000, seed=4).equals(again)


TEXT = """parameter    mean     sd    16 %  median    84 %
a            1.38   0.41    0.90    1.25    1.75
b          -2.750  0.083  -3.500  -2.500  -2.000

log evidence  -3.2500 ± 0.1250
n_eff         3 of 1,200 draws (0.2 %)
pareto k      0.25
simulations   1,234
status        ok"""


def test_the_summary(result):
    assert str(result.summary()) == TEXT
    assert str(result) == repr(result.summary()) == str(result.summary())


def test_the_summary_of_modes_and_of_what_is_not_to_be_trusted(tmp_path):
    reasons = ["k-hat is 0.9 <, above 0.7"]
    result = si.load(write_result(tmp_path / "run", warnings=reasons, n_modes=2, pareto_k=None))
    lines = str(result.summary()).splitlines()
    assert [line for line in lines if line.startswith(("all", "mode"))] == [
        "all modes",
        "mode 1 of 2, 75.0 ± 1.0 % of the posterior",
        "mode 2 of 2, 25.0 ± 1.0 % of the posterior",
    ]
    assert "pareto k      unknown" in lines
    assert lines[-3:] == ["", "NOT TO BE TRUSTED:", "  k-hat is 0.9 <, above 0.7"]
    assert result.status == "not to be trusted"
    assert result._repr_html_().startswith(
        "<p><b>NOT TO BE TRUSTED</b></p><ul><li>k-hat is 0.9 &lt;, above 0.7</li></ul>"
    )
    assert result._repr_html_().count("<table>") == 4


def test_the_directory_of_a_call_is_one_of_a_campaign_too(tmp_path):
    write_result(tmp_path / "call" / "run")
    assert si.load(tmp_path / "call").dir == tmp_path / "call" / "run"


def test_what_is_no_result(tmp_path):
    with pytest.raises(si.SiderealError) as caught:
        si.load(tmp_path)
    assert (
        str(caught.value) == f"{tmp_path}/summary.json does not exist: {tmp_path} is no campaign, or has no result yet"
    )
    write_result(tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (tmp_path / "run" / "summary.json").write_text(json.dumps({**summary, "version": 2}))
    with pytest.raises(si.SiderealError) as caught:
        si.load(tmp_path)
    path = tmp_path / "run" / "summary.json"
    assert str(caught.value) == f"{path} is sidereal-summary version 2, expected sidereal-summary version 1"
    (tmp_path / "run" / "summary.json").write_text(json.dumps({**summary, "combined": None}))
    with pytest.raises(si.SiderealError) as caught:
        si.load(tmp_path).n_eff  # noqa: B018
    assert str(caught.value) == f"{tmp_path}/run is a model for any observation, expected a campaign with one"


def test_arviz(result):
    arviz = pytest.importorskip("arviz")
    data = result.to_arviz()
    assert data["posterior"]["mass"].values.tolist() == [SAMPLES[:, 2].tolist()]
    assert type(data).__name__ == ("DataTree" if arviz.__version__.startswith("1") else "InferenceData")


def test_anesthetic(result):
    pytest.importorskip("anesthetic")
    samples = result.to_anesthetic()
    assert samples.mean().droplevel(1)["a"] if samples.mean().index.nlevels > 1 else samples.mean()["a"] == 1.375
    assert samples.get_weights().tolist() == [0.5, 0.25, 0.25]


def test_getdist(result):
    pytest.importorskip("getdist")
    samples = result.to_getdist()
    assert samples.getMeans().tolist() == [1.375, -2.75, 27.5]
    assert samples.loglikes.tolist() == [0.5, 1.5, 2.5]


def test_corner(result, monkeypatch):
    corner = pytest.importorskip("corner")
    taken = {}
    monkeypatch.setattr(corner, "corner", lambda values, **options: taken.update(values=values, **options))
    result.corner(show_titles=False, color="red")
    assert taken.pop("values").tolist() == SAMPLES.tolist()
    assert taken == {"labels": ["a", "b", "mass"], "show_titles": False, "quantiles": [0.16, 0.5, 0.84], "color": "red"}


MISSING = [
    ("corner", "corner", "corner() needs corner: pip install 'sidereal-inference[plots]'"),
    ("to_arviz", "arviz", "to_arviz() needs arviz: pip install 'sidereal-inference[arviz]'"),
    ("to_getdist", "getdist", "to_getdist() needs getdist: pip install getdist"),
]


@pytest.mark.parametrize("method, module, words", MISSING)
def test_what_is_not_installed_is_named_with_its_line(result, monkeypatch, method, module, words):
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name == module:
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(si.SiderealError) as caught:
        getattr(result, method)()
    assert str(caught.value) == words


def test_more_draws(command, tmp_path):
    run = write_result(tmp_path / "mine" / "run")
    command.behave(result=write_result(tmp_path / "drawn", n_eff=50.0))
    assert si.draw(tmp_path / "mine", n_eff=2).n_eff == 3.0
    assert si.draw(tmp_path / "mine", n_eff=50, simulations=70, workers=2).n_eff == 50.0
    assert len(si.load(run).draw(60, progress=False)) == 60
    assert command.calls() == [
        ["draw", str(run), "--n-eff", "50", "--json", "--simulations", "70", "--workers", "2"],
        ["draw", str(run), "--n-eff", "60", "--json", "--quiet"],
    ]
    with pytest.raises(si.SiderealError) as caught:
        si.draw(run)
    assert str(caught.value) == "draw: found both or none of n and n_eff, expected one of them"


@pytest.mark.skipif(
    "SIDEREAL_RESULT" not in os.environ, reason="needs SIDEREAL_RESULT, a campaign that the command has run"
)
def test_a_result_of_the_command():
    result = si.load(Path(os.environ["SIDEREAL_RESULT"]))
    posterior = result.posterior
    assert np.isclose(posterior["weight"].sum(), 1)
    assert 1 / (posterior["weight"] ** 2).sum() - 1 == pytest.approx(result.n_eff)
    assert str(result.summary()).endswith(f"status        {result.status}")
