"""Priors: what they accept, what they draw, and what stands in the campaign file."""

import numpy as np
import pytest
from scipy import stats

from sidereal_inference import _priors
from sidereal_inference._errors import SiderealError
from sidereal_inference._priors import (
    Beta,
    Fixed,
    HalfNormal,
    LogNormal,
    LogUniform,
    Normal,
    TruncatedNormal,
    Uniform,
    as_prior,
    as_priors,
    check_periodic,
)
from sidereal_inference._samples import Samples

SAME = [
    (Uniform(-1, 3), stats.uniform(-1, 4)),
    (LogUniform(0.1, 30), stats.loguniform(0.1, 30)),
    (LogUniform(0.2, 60), stats.reciprocal(0.1, 30, scale=2)),
    (Normal(2, 0.5), stats.norm(2, 0.5)),
    (Normal(2, 0.5), stats.truncnorm(-np.inf, np.inf, 2, 0.5)),
    (TruncatedNormal(2, 0.5, 1.5, 4), stats.truncnorm(-1, 4, loc=2, scale=0.5)),
    (TruncatedNormal(2, 0.5, low=4.0), stats.truncnorm(4, np.inf, loc=2, scale=0.5)),
    (TruncatedNormal(2, 0.5, high=0.5), stats.truncnorm(-np.inf, -3, loc=2, scale=0.5)),
    (TruncatedNormal(0, 1, 2.0, 2.25), stats.truncnorm(2.0, 2.25)),
    (TruncatedNormal(0, 1, -0.5, 0.25), stats.truncnorm(-0.5, 0.25)),
    (HalfNormal(3), stats.halfnorm(scale=3)),
    (LogNormal(0.5, 0.25), stats.lognorm(0.25, scale=np.exp(0.5))),
    (Beta(2, 3, -1, 1), stats.beta(2, 3, loc=-1, scale=2)),
]


@pytest.mark.parametrize("ours, theirs", SAME)
def test_ours_and_scipys_are_the_same(ours, theirs):
    translated = as_prior(theirs, "priors['a']")
    assert type(translated) is type(ours)
    key, table = translated.table()
    assert key == ours.table()[0]
    assert table == pytest.approx(ours.table()[1], rel=1e-15)
    rng = np.random.default_rng(1)
    draws = [ours.draw(rng) for _ in range(2000)]
    assert stats.kstest(draws, theirs.cdf).pvalue > 1e-3


TABLES = [
    (Uniform(0, 1), ("uniform", {"low": 0.0, "high": 1.0})),
    (TruncatedNormal(1, 2, low=0), ("truncated_normal", {"mean": 1.0, "sd": 2.0, "low": 0.0})),
    (TruncatedNormal(1, 2, high=0), ("truncated_normal", {"mean": 1.0, "sd": 2.0, "high": 0.0})),
    (HalfNormal(2), ("truncated_normal", {"mean": 0.0, "sd": 2.0, "low": 0.0})),
    (Beta(1, 2), ("beta", {"alpha": 1.0, "beta": 2.0, "low": 0.0, "high": 1.0})),
    (1.5, ("fixed", 1.5)),
    (np.int64(2), ("fixed", 2.0)),
    (Fixed(1), ("fixed", 1.0)),
    ((0, np.float32(2)), ("uniform", {"low": 0.0, "high": 2.0})),
    ([0, 1], ("uniform", {"low": 0.0, "high": 1.0})),
]


@pytest.mark.parametrize("given, table", TABLES)
def test_tables(given, table):
    assert as_prior(given, "priors['a']").table() == table


WRONG = [
    (lambda: Uniform(1, 0), "Uniform: low 1.0 is not below high 0.0"),
    (lambda: Uniform(0, np.inf), "Uniform: high is inf, expected a finite number"),
    (lambda: Normal(0, 0), "Normal: sd is 0.0, expected more than 0"),
    (lambda: Normal("0", 1), "Normal: mean is '0', expected a finite number"),
    (lambda: LogUniform(0, 1), "LogUniform: low is 0.0, expected more than 0"),
    (
        lambda: TruncatedNormal(0, 1),
        "TruncatedNormal has neither low nor high, expected one of them, or Normal(mean, sd)",
    ),
    (lambda: Beta(0, 1), "Beta: alpha is 0.0, expected more than 0"),
    (lambda: as_prior((1, 0), "priors['a']"), "priors['a']: Uniform: low 1.0 is not below high 0.0"),
    (
        lambda: as_prior(True, "priors['a']"),
        f"priors['a']: found True, expected one of {_priors.KNOWN}; {_priors.WAY_OUT}",
    ),
    (lambda: as_priors([1.0], None), "names: missing, expected one a prior, or priors as a dict by name"),
    (lambda: as_priors([(0, 1)], ["a", "b"]), "names: found 2, expected 1, one a prior"),
    (lambda: as_priors({"a": 1}, ["b"]), "names: found ['b'], expected those of priors, ['a'], or none"),
    (lambda: as_priors({}, None), "priors: found none, expected at least one parameter"),
    (lambda: as_priors(3, None), "priors: found int, expected a dict of priors by name"),
    (lambda: as_priors({"a b": 1}, None), "priors: found 'a b', expected letters, digits and _, a letter first"),
    (lambda: as_priors({"weight": 1}, None), "priors: 'weight' is a column of every result, expected another name"),
    (lambda: as_priors([1, 2], ["a", "a"]), "names: found a twice, expected each name once"),
    (lambda: check_periodic(["b"], {"a": Uniform(0, 1)}), "periodic: found 'b', expected names of parameters: a"),
    (lambda: check_periodic("a", {"a": Uniform(0, 1)}), "periodic: found 'a', expected a list of names"),
    (
        lambda: check_periodic(["a"], {"a": Normal(0, 1)}),
        "periodic: a has the prior Normal(mean=0.0, sd=1.0), expected a Uniform one",
    ),
]


@pytest.mark.parametrize("make, words", WRONG)
def test_what_is_refused(make, words):
    with pytest.raises(SiderealError) as caught:
        make()
    assert str(caught.value) == words


@pytest.mark.parametrize("distribution", [stats.gamma(2), stats.lognorm(1, loc=3), stats.poisson(3), stats.uniform])
def test_other_distributions_are_refused_with_the_list_and_the_way_out(distribution):
    with pytest.raises(SiderealError) as caught:
        as_prior(distribution, "priors['a']")
    assert str(caught.value).startswith("priors['a']: found <scipy.stats.")
    assert str(caught.value).endswith(f"expected one of {_priors.KNOWN}; {_priors.WAY_OUT}")


def test_priors_keep_their_order():
    given = as_priors([(0, 1), 2, Normal(0, 1)], ["b", "a", "c"])
    assert list(given.items()) == [("b", Uniform(0, 1)), ("a", Fixed(2)), ("c", Normal(0, 1))]


def test_samples_of_arrays_columns_and_files(tmp_path):
    rng = np.random.default_rng(0)
    own = Samples([1.0, 2.5], weights=[0.0, 1.0], low=0)
    assert own.content == b'"samples","weight"\n1.0,0.0\n2.5,1.0\n'
    key, table = own.named("a").table()
    assert key == "samples"
    assert table == {"path": own.file_name, "column": "samples", "weights": "weight", "low": 0.0}
    assert own.draw(rng) == 2.5
    columns = Samples({"a": [1, 2], "b": [3, 4]})
    a, b = columns.named("a"), columns.named("b")
    assert (a.table()[1], b.table()[1]) == tuple({"path": columns.file_name, "column": name} for name in "ab")
    assert b.draw(rng) in (3, 4)
    (tmp_path / "file.csv").write_text("a,name,b\n1.0,x,3.0\n2.0,y,4\n")
    of_file = Samples(tmp_path / "file.csv")
    assert of_file.file_name == columns.file_name and of_file.content == columns.content
    assert as_priors({"a": of_file}, None)["a"].column == "a"


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (lambda: Samples([[1.0, 2.0]]), "Samples: samples: expected numbers, one a sample"),
        (lambda: Samples([1, 2], weights=[1]), "Samples: found columns of 1, 2 rows, expected one length"),
        (lambda: Samples({"a": [1]}, weights="w"), "Samples: found no column 'w', expected one of a"),
        (lambda: Samples({"a": [1]}).named("b"), "Samples: found no column 'b', expected one of a"),
        (lambda: Samples([1], low="x"), "Samples: low is 'x', expected a finite number"),
        (lambda: Samples("none.csv"), "Samples: none.csv: [Errno 2] No such file or directory: 'none.csv'"),
    ],
)
def test_samples_that_are_none(prior, message):
    with pytest.raises(SiderealError) as caught:
        prior()
    assert str(caught.value) == message
