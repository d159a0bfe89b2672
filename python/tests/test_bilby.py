"""sidereal as a sampler of bilby."""

from pathlib import Path

import numpy as np
import pytest

from parent import Parent
from sidereal_inference import SiderealError

bilby = pytest.importorskip("bilby")

from sidereal_inference._bilby import Sidereal  # noqa: E402


class Line(bilby.Likelihood):
    def log_likelihood(self, parameters=None):
        return -(parameters["a"] ** 2) - 2 * parameters["b"] ** 2 - parameters["c"]

    def noise_log_likelihood(self):
        return -1.0


def difference(parameters):
    return {**parameters, "difference": parameters["b"] - parameters["a"]}


def priors():
    given = bilby.core.prior.PriorDict(conversion_function=difference)
    given["a"] = bilby.core.prior.Uniform(0, 4, boundary="periodic")
    given["b"] = bilby.core.prior.Uniform(-8, 0)
    given["c"] = bilby.core.prior.DeltaFunction(3.0)
    given["difference"] = bilby.core.prior.Constraint(-6, 0)
    return given


def sampler(**options):
    return Sidereal(Line(), priors=priors(), outdir="out", label="line", soft_init=True, **options)


def test_a_run(command, tmp_path):
    made = sampler(n_eff=100, npool=1, seed=3, workers=2)
    result = bilby.run_sampler(Line(), priors=priors(), sampler=made, outdir="out", label="line", save=False)
    text = Path("out/sidereal_line/campaign.toml").read_text()
    assert 'names = ["a", "b"], periodic = ["a"] }' in text
    assert "seed = 3\n" in text and "count = 2\n" in text and "n_eff = 100," in text
    assert (result.log_evidence, result.log_evidence_err) == (-3.25, 0.125)
    assert result.log_noise_evidence == -1.0
    assert set(result.posterior["a"]) <= {1.0, 1.5, 2.0} and (result.posterior["b"] == -2 * result.posterior["a"]).all()
    assert (result.posterior["c"] == 3.0).all()
    assert set(zip(result.posterior["a"], result.posterior["log_likelihood"])) <= {
        (1.0, -1.0),
        (1.5, -2.0),
        (2.0, -3.0),
    }
    assert result.nested_samples["weights"].tolist() == [0.0, 0.5, 0.25, 0.25]
    assert result.num_likelihood_evaluations == 1234


def test_what_its_children_are_told(command, tmp_path):
    sampler().run_sampler()
    place = f"{tmp_path}/out/sidereal_line/model.pkl"
    functions = {use: f"{place}:{use}" for use in ("prior_transform", "log_likelihood")}
    parent = Parent(functions, parameters=["u_a", "u_b"], theta=["a", "b"])
    assert "program" in parent.ready()
    answers = parent.ask([[0.25, 0.75], [0.75, 0.25]])
    assert (answers["a"], answers["b"]) == ([1.0, 3.0], [-2.0, -6.0])
    assert answers["log_likelihood"] == [-1.0 - 8.0 - 3.0, -np.inf], "the second breaks the constraint"
    parent.close()


def test_the_same_label_goes_on_and_other_priors_are_refused(command):
    sampler().run_sampler()
    before = Path("out/sidereal_line/model.pkl").stat().st_mtime_ns
    sampler(n_eff=3000).run_sampler()
    assert Path("out/sidereal_line/model.pkl").stat().st_mtime_ns == before
    other = sampler()
    other.priors["b"] = bilby.core.prior.Uniform(-9, 0)
    with pytest.raises(SiderealError, match=r"different in log_likelihood \(priors\);"):
        other.run_sampler()
    other = sampler(resume=False)
    other.priors["b"] = bilby.core.prior.Uniform(-9, 0)
    other.run_sampler()
    assert Path("out/sidereal_line/model.pkl").stat().st_mtime_ns != before


def test_the_ratio_to_noise(command):
    made = sampler(use_ratio=True)
    made.run_sampler()
    from sidereal_inference._bilby import Problem

    problem = Problem(Line(), priors(), ["a", "b"], {"c": 3.0}, True)
    assert problem.log_likelihood(np.array([1.0, -2.0])) == -12.0 + 1.0
