"""sidereal as a sampler of bilby: `bilby.run_sampler(likelihood, priors, sampler="sidereal")`."""

import inspect
import os
import shutil
from typing import Any

import numpy as np
import pandas as pd
from bilby.core.sampler.base_sampler import NestedSampler

from ._call import SIMULATIONS, campaign_of, carry_out
from ._functions import Functions


class Sidereal(NestedSampler):
    """Neural posterior estimation made exact by importance sampling.

    Keyword arguments, as those of `sidereal_inference.sample`: n_eff (2000), simulations (50,000), workers (npool where that is
    more than 1, else one a core), seed (0), timeout and setup_timeout (s), progress, options; and resume (True): whether a
    campaign that lies in outdir already goes on. Priors of bilby are all taken, constraints too.
    """

    sampler_name = "sidereal"
    external_sampler_name = "sidereal_inference"
    sampling_seed_key = "seed"
    default_kwargs: dict[str, Any] = {  # noqa: RUF012
        "n_eff": 2000,
        "simulations": SIMULATIONS,
        "workers": None,
        "seed": 0,
        "timeout": 600.0,
        "setup_timeout": 300.0,
        "progress": True,
        "resume": True,
        "options": None,
    }

    def _translate_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        for key in self.npool_equiv_kwargs:
            if key in kwargs:
                kwargs["workers"] = kwargs.pop(key)
        return super()._translate_kwargs(kwargs)

    def run_sampler(self) -> Any:
        """Runs the campaign in `outdir/sidereal_LABEL`, or goes on with it; gives bilby's result."""
        options = dict(self.kwargs)
        directory = os.path.join(self.outdir, f"sidereal_{self.label}")
        if not options.pop("resume") and os.path.isdir(directory):
            shutil.rmtree(directory)
        progress = options.pop("progress")
        if options["workers"] is None and self._npool is not None and self._npool > 1:
            options["workers"] = self._npool
        keys = self.search_parameter_keys
        names = [key if key.isidentifier() and not key.startswith("z_") else f"p{i}" for i, key in enumerate(keys)]
        problem = Problem(self.likelihood, self.priors, keys, self.parameters, self.use_ratio)
        # A likelihood of bilby keeps its last parameters and caches, so that its state tells nothing.
        known_as = {"log_likelihood": {"class": type(self.likelihood).__name__, "priors": repr(self.priors)}}
        functions = Functions(
            {"prior_transform": problem.prior_transform, "log_likelihood": problem.log_likelihood}, {}, known_as
        )
        campaign = campaign_of(
            functions,
            None,
            priors=None,
            names=names,
            periodic=[name for name, key in zip(names, keys) if self.priors[key].boundary == "periodic"],
            vectorized=False,
            blobs=(),
            global_rng=False,
            **options,
        )
        found = carry_out(functions, campaign, (), directory, progress)
        posterior = found._read("posterior").to_pandas()
        rng = np.random.default_rng(options["seed"])
        rows = rng.choice(len(posterior), size=len(found._read("samples")), p=found.weights / found.weights.sum())
        self.result.samples = posterior[names].to_numpy()[rows]
        self.result.log_likelihood_evaluations = posterior["log_likelihood"].to_numpy()[rows]
        self.result.nested_samples = pd.DataFrame(
            {**{key: posterior[name] for name, key in zip(names, keys)}, "log_likelihood": posterior["log_likelihood"]}
        ).assign(weights=found.weights)
        self.result.log_evidence = found.log_evidence
        self.result.log_evidence_err = found.log_evidence_error
        self.result.num_likelihood_evaluations = found.simulations
        return self.result


class Problem:
    """What is called in other processes: a likelihood and its priors, and nothing of the sampler."""

    def __init__(
        self, likelihood: Any, priors: Any, keys: list[str], fixed: dict[str, float], use_ratio: bool | None
    ) -> None:
        self.likelihood = likelihood
        self.priors = priors
        self.keys = list(keys)
        self.fixed = dict(fixed)
        self.use_ratio = bool(use_ratio)

    def prior_transform(self, u: np.ndarray) -> np.ndarray:
        """From the unit cube to the parameters."""
        return np.array([float(np.squeeze(one)) for one in self.priors.rescale(self.keys, u)])

    def log_likelihood(self, theta: np.ndarray) -> float:
        """-inf where the priors' constraints are not met."""
        parameters = {**self.fixed, **{key: float(value) for key, value in zip(self.keys, theta)}}
        if not self.priors.evaluate_constraints(dict(parameters)):
            return -np.inf
        function = self.likelihood.log_likelihood_ratio if self.use_ratio else self.likelihood.log_likelihood
        if "parameters" in inspect.signature(function).parameters:
            return float(function(parameters=parameters))
        self.likelihood.parameters.update(parameters)  # as of likelihoods before bilby 2.7
        return float(function())
