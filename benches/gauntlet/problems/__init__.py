"""Reference problems: plain log-likelihoods in Python, priors as frozen distributions of scipy, and what must come out."""
import dataclasses
import functools
import pathlib
import typing

import numpy as np


@dataclasses.dataclass
class Problem:
    """Independent `priors` by name, in the order of theta; `log_likelihood` takes theta [n, parameters] and gives [n].

    What is known of the posterior, each where it is: `log_evidence`; `reference`, a file of equally weighted draws; `expected`, a list
    of (words, f(theta [n, parameters]) -> [n], mean of f under the posterior). `campaign` is a campaign file of the same posterior without
    its [rounds], for models that sidereal has built in.
    """

    name: str
    priors: dict
    log_likelihood: typing.Callable
    log_evidence: float | None = None
    reference: pathlib.Path | None = None
    expected: list = dataclasses.field(default_factory=list)
    periodic: tuple = ()
    campaign: str | None = None

    @property
    def budget(self):
        return 50_000 if len(self.priors) <= 13 else 200_000

    def from_cube(self, u):
        """The prior's quantiles, coordinate by coordinate: u [..., parameters] -> theta."""
        u = np.asarray(u)
        return np.stack([prior.ppf(u[..., i]) for i, prior in enumerate(self.priors.values())], axis=-1)


def normal(y, mean, sd):
    """Log-density of Normal(mean, sd) at y, summed over the last axis."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.sum(-0.5 * ((y - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi), axis=-1)


@functools.cache
def catalogue(reference):
    """All problems by name; `reference` is the folder of posteriors computed by others, and where it is not there its problems are left out."""
    from problems import analytic, drawn, large, planets, posteriordb, sbibm, sines

    found = [*analytic.problems(reference / "analytic"), *sines.problems(), *planets.problems(), *large.problems(), *drawn.problems()]
    if reference.is_dir():
        found += [*posteriordb.problems(reference / "posteriordb"), *sbibm.problems(reference / "sbibm")]
    return {problem.name: problem for problem in found}
