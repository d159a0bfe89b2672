"""The front end of nbi 0.4.1 on top of `fit` and `sample`: `from sidereal_inference import nbi` in place of `import nbi`.

Arguments that tune nbi's own networks and optimizer are taken and have no effect: rounds, networks and training follow from the
problem. nbi: https://github.com/kmzzhang/nbi (Zhang et al. 2023).
"""

import functools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ._call import first_x, fit, sample, train
from ._errors import NotToBeTrusted, SiderealError
from ._nbi_functions import anew, gaussian, log_like_of_path, no_likelihood, outcomes, with_noise
from ._network import Network, Said
from ._result import Result, needed

__all__ = ["NBI"]

# That whose names these are.
__version__ = "0.4.1"
STATE = "sidereal-nbi"
FEWEST_N_EFF = 100


class NBI:
    """nbi's engine, with its arguments, and `periodic`: labels of parameters whose bounds are one and the same point.

    flow, featurizer
        Dictionaries as nbi takes them, which are not changed; only `n_dims` is looked at. Networks of torch are refused. Not
        needed beside `state_dict`.
    simulator
        A function of an array of parameters that gives x, of shape [length] or [channels, length].
    priors
        Frozen distributions of scipy.stats, or priors of this package, one a parameter.
    labels
        Names of the parameters, for plots.
    n_jobs
        Processes that call the simulator, one a core at most.
    path
        Where `x_all` is written.
    device, tqdm_notebook, network_reinit, scale_reinit
        Have no effect.
    state_dict
        `best_params` of another engine, in whose place this one then stands. Networks of torch are refused.
    seed
        Of all randomness.
    """

    corner_kwargs: Mapping[str, Any] = {
        "quantiles": [0.16, 0.5, 0.84],
        "show_titles": True,
        "title_kwargs": {"fontsize": 16},
        "fill_contours": True,
        "levels": 1.0 - np.exp(-0.5 * np.arange(0.5, 2.6, 0.5) ** 2),
    }

    def __init__(
        self,
        flow: Mapping[str, Any] | None = None,
        featurizer: Mapping[str, Any] | None = None,
        simulator: Callable[..., Any] | None = None,
        priors: Sequence[Any] | None = None,
        device: str = "cpu",
        path: str | os.PathLike[str] = "test",
        n_jobs: int = 1,
        labels: Sequence[str] | None = None,
        tqdm_notebook: bool = False,
        network_reinit: bool = False,
        scale_reinit: bool = True,
        state_dict: Any = None,
        seed: int = 0,
        periodic: Sequence[str] = (),
    ) -> None:
        if state_dict is not None and (not isinstance(state_dict, Mapping) or state_dict.get("format") != STATE):
            raise SiderealError("state_dict: found another one, expected best_params: networks of torch cannot be read")
        for name, network in (("flow", flow), ("featurizer", featurizer)):
            if not isinstance(network, Mapping) and (network is not None or state_dict is None):
                raise SiderealError(
                    f"{name}: found {type(network).__name__}, expected a dictionary: no network of torch"
                )
        if simulator is None or priors is None:
            raise SiderealError(
                "simulator, priors: missing, expected both: simulations made beforehand cannot be used; a simulator may look "
                "up what your code gives for any parameters"
            )
        n_dims = (flow or {}).get("n_dims", len(priors))
        if n_dims != len(priors):
            raise SiderealError(f"priors: found {len(priors)}, expected {n_dims}, one a dimension of the flow")
        labels = [f"p{i}" for i in range(n_dims)] if labels is None else list(labels)
        if len(labels) != n_dims:
            raise SiderealError(f"labels: found {len(labels)}, expected {n_dims}, one a prior")
        for label in periodic:
            if label not in labels:
                raise SiderealError(f"periodic: found {label!r}, expected some of labels: {', '.join(labels)}")
        self.param_names = labels
        self.names = [label if label.isidentifier() else f"p{i}" for i, label in enumerate(labels)]
        self.periodic = [self.names[labels.index(label)] for label in periodic]
        self.prior = list(priors)
        self.simulator = simulator
        self.directory = os.fspath(path)
        self.n_jobs = n_jobs
        self.seed = seed
        self.x_obs: np.ndarray | None = None
        self.y_true: Any = None
        self._result: Result | None = None
        self._noise: np.ndarray | None = None
        self._log_like: Callable[..., Any] | None = None
        if state_dict is not None:
            self._result = Result(state_dict["directory"])
            self.x_obs, self._noise = state_dict["x_obs"], state_dict["noise"]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        noise: Any = None,
        log_like: Callable[..., Any] | None = None,
        n_epochs: int = 10,
        n_rounds: int = 1,
        n_sims: int = -1,
        x_obs: Any = None,
        y_true: Any = None,
        n_reuse: int = 0,
        batch_size: int = 64,
        project: str = "test",
        wandb_enabled: bool = False,
        neff_stop: float = -1,
        early_stop_train: bool = False,
        early_stop_patience: int = -1,
        f_val: float = 0.1,
        lr: float = 0.001,
        min_lr: float | None = None,
        decay_type: str = "SGDR",
        plot: bool = True,
        f_accept_min: float = -1,
        workers: int = 8,
    ) -> None:
        """Finds the posterior of one observation; without `x_obs`, trains a network that `predict` can ask about any one.

        x_obs
            The observation, of the simulator's shape.
        noise
            Its standard deviations, an array of the same shape. Without `x_obs` it may be a function of x and the parameters,
            by numpy's global generator, that gives x with noise and the same parameters, as nbi has it, and is called anew in
            each epoch. Where it changes the shape of x, it is called once a simulation.
        log_like
            In place of an array of `noise`: a function of x_obs, the path of a .npy file with x, and the parameters.
        n_sims, n_rounds
            The budget is n_sims (n_rounds + 1) simulations, and n_sims where n_rounds is 1.
        neff_stop, f_accept_min
            It stops at this effective sample size, or at this efficiency of a round; not positive: at the budget.
        y_true
            Shown in plots.
        plot
            Whether there is a corner plot at the end, where corner is installed.

        `x` and `y`, simulations made beforehand, are refused; all other arguments have no effect.
        """
        if x is not None or y is not None:
            raise SiderealError(
                "x, y: found simulations made beforehand, expected none: parameters are drawn here, so that their density is "
                "known; a simulator may call or look up what has made them"
            )
        if n_sims < 1 or n_rounds < 1:
            raise SiderealError(f"n_sims, n_rounds: found {n_sims} and {n_rounds}, expected 1 or more")
        if x_obs is None and n_rounds > 1:
            raise SiderealError(f"x_obs: missing, expected an observation, or n_rounds=1 in place of {n_rounds}")
        is_array = isinstance(noise, np.ndarray)
        if not is_array and noise is not None and not callable(noise):
            raise SiderealError(f"noise: found {noise!r}, expected an array of standard deviations, or a function")
        self._drop_cached()
        self.y_true = y_true
        settings: dict[str, Any] = {
            "priors": self.prior,
            "names": self.names,
            "periodic": self.periodic,
            "workers": min(self.n_jobs, os.cpu_count() or 1),
            "seed": self.seed,
        }
        if x_obs is None:
            self._train(noise, n_sims, settings)
            return
        if not is_array and log_like is None:
            raise SiderealError(
                "noise, log_like: found neither an array nor a function, expected one, to weigh draws with"
            )
        stop: dict[str, float] = {"simulations": n_sims * (n_rounds + 1) if n_rounds > 1 else n_sims}
        if neff_stop > 0:
            stop["n_eff"] = neff_stop
        if f_accept_min > 0:
            stop["efficiency"] = f_accept_min
        settings["options"] = {"rounds": {"stop": stop}}
        self.x_obs = np.array(x_obs, dtype=float)
        if is_array:
            shape = self.x_obs.shape
            self._noise, self._log_like = np.broadcast_to(noise, shape).astype(float), None
            self._result = fit(self.simulator, x_obs=self.x_obs, x_err=self._noise, **settings)
        else:
            self._noise, self._log_like = None, log_like
            by_path = functools.partial(log_like_of_path, self.simulator, log_like, self.x_obs)
            self._result = sample(by_path, **settings)
        print(f"Effective sample size for all rounds {self._result.n_eff:.1f}")
        if plot and can_plot():
            self.corner(self.x_obs, *self._draws(), y_true=y_true)

    def _train(self, noise: Any, n_sims: int, settings: Mapping[str, Any]) -> None:
        """A network for any observation, with an array of noise or a function."""
        if noise is None:
            raise SiderealError(
                "noise: missing, expected an array of standard deviations or a function: a network that has seen no noise is "
                "of no use for data with some"
            )
        self.x_obs, self._log_like = None, None
        simulate, more = self.simulator, {"x_err": noise}
        if callable(noise):
            x = first_x(self.simulator, self.prior, self.names, self.seed)
            noisy = first_x(lambda theta: with_noise(lambda _: x.copy(), noise, theta), self.prior, self.names, self.seed)
            if noisy.shape == x.shape:
                more = {"log_likelihood": no_likelihood, "noise": functools.partial(anew, noise, x.shape)}
            else:
                simulate = functools.partial(with_noise, self.simulator, noise)
                more = {"log_likelihood": no_likelihood, "global_rng": True}
        self._result, shape = train(simulate, simulations=n_sims, **more, **settings)
        self._noise = None if callable(noise) else np.broadcast_to(noise, shape).astype(float)

    def predict(
        self,
        x: Any,
        x_err: Any = None,
        y_true: Any = None,
        log_like: Callable[..., Any] | None = None,
        n_samples: int = 1000,
        neff_min: float = 0,
        n_max: int = -1,
        corner: bool = False,
        corner_reweight: bool = False,
        f_accept_min: float = -1,
        seed: int | None = None,
    ) -> Any:
        """Draws of the posterior, and their weights, which sum to 1; without `x_err` and `log_like` draws alone.

        After a fit of one observation: of that one. They are all draws of `fit`, weighed anew where `x_err` has other standard
        deviations than those of `fit`; further ones are made where they are worth less than `neff_min`, up to `n_max` in all
        where that is positive. Draws alone are n_samples of equal weight.

        After a fit without x_obs: of any observation. n_samples draws of the network are simulated and weighed by `x_err` or
        `log_like`, and more of them, up to `n_max`, until they are worth `neff_min`. Draws alone are those of the network.

        `f_accept_min` has no effect. `seed` is that of the draws; None: that of the engine.
        """
        of = self._draws_of_any if self._is_amortized else self._draws_of_fit
        n_most = (n_samples, neff_min, n_max)
        thetas, weights = of(x, x_err, y_true, log_like, n_most, corner, self.seed if seed is None else seed)
        if weights is None:
            return thetas
        tell(weights)
        if corner_reweight:
            self.corner(x, thetas, weights, y_true=y_true)
        return thetas, weights

    def _draws_of_fit(
        self,
        x: Any,
        x_err: Any,
        y_true: Any,
        log_like: Callable[..., Any] | None,
        n_most: tuple[int, float, int],
        corner: bool,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        result, (n_samples, neff_min, n_max) = self._fitted(), n_most
        self._check_x(x)
        if log_like is not None and log_like is not self._log_like:
            raise SiderealError("log_like: found another function, expected that of fit: x is not kept for it")
        if x_err is not None and self._noise is None:
            raise SiderealError("x_err: found one after a fit with log_like, expected that log_like")
        if neff_min > result.n_eff:
            most = None if n_max < 0 else max(1, n_max - result.simulations)
            self._result = result = result.draw(n_eff=neff_min, simulations=most)
            self._drop_cached()
        if corner:
            self.corner(x, np.asarray(result.samples), y_true=y_true)
        if x_err is None and log_like is None:
            return np.asarray(result.resample(n_samples, seed)), None
        thetas, weights = self._draws()
        if x_err is not None and not np.array_equal(np.broadcast_to(x_err, self.x_obs.shape), self._noise):
            weights = self._weights_with(np.broadcast_to(x_err, self.x_obs.shape))
        return thetas, weights

    def _draws_of_any(
        self,
        x: Any,
        x_err: Any,
        y_true: Any,
        log_like: Callable[..., Any] | None,
        n_most: tuple[int, float, int],
        corner: bool,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        x, (n_samples, neff_min, n_max) = np.asarray(x, dtype=float), n_most
        if x_err is not None and log_like is not None:
            raise SiderealError("x_err, log_like: found both, expected one of them")
        said = self._ask(x, x_err, "draws", n_samples, seed)
        if corner:
            self.corner(x, said.theta, y_true=y_true)
        if x_err is None and log_like is None:
            return said.theta, None
        if log_like is None:
            weigh = functools.partial(gaussian, self.simulator, x, np.broadcast_to(x_err, x.shape))
        else:
            weigh = functools.partial(log_like_of_path, self.simulator, log_like, x)
        log_likelihood = np.empty(0)
        while True:
            new = said.theta[len(log_likelihood) :]
            log_likelihood = np.append(log_likelihood, outcomes(weigh, new, self.n_jobs))
            weights = normalized(log_likelihood + said.log_prior - said.log_density)
            n_eff, n = n_eff_of(weights), len(weights)
            if n_eff >= neff_min or n >= n_max:
                return said.theta, weights
            wanted = max(2 * n, int(n * neff_min / max(n_eff, 1.0)))
            said = self._ask(x, x_err, "draws", min(n_max, wanted), seed)

    def _ask(self, x: np.ndarray, x_err: Any, what: str, *arguments: Any) -> Said:
        """The network about an observation. One that was trained with an array of noise is shown that of the observation."""
        sigma = self._noise
        if sigma is not None and x_err is not None:
            sigma = np.broadcast_to(x_err, x.shape)
        network = Network(Path(self._fitted().dir))
        return getattr(network, what)(x.reshape(-1), None if sigma is None else sigma.reshape(-1), *arguments)

    @property
    def _is_amortized(self) -> bool:
        return self._fitted()._summary["combined"] is None and self.x_obs is None

    def _check_x(self, x: Any) -> None:
        if not np.array_equal(np.asarray(x, dtype=float), self.x_obs):
            raise SiderealError(
                "x: found another observation, expected that of fit: its proposal is for that one alone; a fit without x_obs and "
                "with n_rounds=1 is for any"
            )

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws of all rounds, [N, D], and their weights, which sum to 1."""
        return self._draws()

    @property
    def neff(self) -> list[float]:
        """The effective sample size of each round alone."""
        return [one["n_eff"] for one in self._fitted()._summary["rounds"]]

    @property
    def weights(self) -> list[np.ndarray]:
        """Weights of each round's draws among themselves; their sum is 1, and 0 in rounds that do not count."""
        weights = []
        for rows in self._rows:
            total = self._draws()[1][rows].sum()
            weights.append(self._draws()[1][rows] / (total or 1.0))
        return weights

    @property
    def y_all(self) -> list[np.ndarray]:
        """Parameters of each round, [n, D]."""
        return [self._draws()[0][rows] for rows in self._rows]

    @functools.cached_property
    def x_all(self) -> list[np.ndarray]:
        """Paths of the simulations of each round: .npy files in `path`, written when they are asked for."""
        x = self._simulated().reshape(-1, *self.x_obs.shape)
        paths = []
        for number, rows in enumerate(self._rows):
            directory = os.path.join(self.directory, str(number))
            os.makedirs(directory, exist_ok=True)
            paths.append(np.array([os.path.join(directory, f"{i}.npy") for i in range(len(rows))]))
            for path, row in zip(paths[-1], rows):
                np.save(path, x[row])
        return paths

    @property
    def best_params(self) -> dict[str, Any]:
        """What stands for this engine as another one's `state_dict`: where its campaign is, and what it is about."""
        directory = os.path.abspath(self._fitted().dir)
        return {"format": STATE, "directory": directory, "x_obs": self.x_obs, "noise": self._noise}

    def get_params(self) -> dict[str, Any]:
        """`best_params`."""
        return self.best_params

    def sample(self, x: Any, y: Any = None, n: int = 5000, corner: bool = False) -> np.ndarray:
        """n draws of the network alone, which are not weighed; `y` are true parameters for the plot."""
        x = self._known(x, "sample")
        thetas = self._ask(x, None, "draws", n, self.seed).theta
        if corner:
            self.corner(x, thetas, y_true=y)
        return thetas

    def log_prob(self, x: Any, y: Any) -> np.ndarray:
        """The log density of the network alone at rows of parameters; that of the prior before `fit`."""
        theta = np.atleast_2d(np.asarray(y, dtype=float))
        if theta.shape[1:] != (len(self.names),):
            raise SiderealError(f"y: found shape {np.shape(y)}, expected [n, {len(self.names)}]")
        if self._result is None:
            return self.log_prior(theta)
        return self._ask(self._known(x, "log_prob"), None, "density_at", theta).log_density

    def log_prior(self, y: Any) -> np.ndarray:
        """The log density of the prior at rows of parameters, where priors are those of scipy.stats."""
        columns = np.atleast_2d(np.asarray(y, dtype=float)).T
        if not all(hasattr(prior, "logpdf") for prior in self.prior):
            raise SiderealError("log_prior: found priors of this package, expected frozen distributions of scipy.stats")
        return np.sum([prior.logpdf(column) for prior, column in zip(self.prior, columns)], axis=0)

    def _known(self, x: Any, what: str) -> np.ndarray:
        """An observation that the network can be asked about."""
        if not self._is_amortized:
            if self._noise is None:
                raise SiderealError(f"{what}: found a fit with log_like, expected one with an array of noise")
            self._check_x(x)
        return np.asarray(x, dtype=float)

    def corner(
        self,
        x: Any,
        y: Any = None,
        weights: Any = None,
        color: str = "k",
        y_true: Any = None,
        plot_datapoints: bool = True,
        plot_density: bool = False,
        range_: Any = None,
        truth_color: str = "r",
        n: int = 5000,
    ) -> Any:
        """A corner plot of draws `y` with `weights`; of n draws of the posterior where there are none. Gives the figure."""
        corner = needed("corner", "plots", "corner()")
        if y is None:
            y = np.asarray(self._fitted().resample(n, self.seed))
        if weights is not None:
            # Limits are those of the points, and far most of them weigh nothing.
            some = weights > 1e-4 * weights.max()
            y, weights = y[some], weights[some]
        figure = corner.corner(
            y,
            truths=y_true,
            color=color,
            plot_datapoints=plot_datapoints,
            range=range_,
            plot_density=plot_density,
            truth_color=truth_color,
            weights=weights,
            **{**self.corner_kwargs, "labels": self.param_names},
        )
        import matplotlib.pyplot as plt

        plt.show()
        return figure

    def _fitted(self) -> Result:
        if self._result is None:
            raise SiderealError("fit has not been called, expected that before any result")
        return self._result

    def _draws(self) -> tuple[np.ndarray, np.ndarray]:
        posterior = self._fitted()._read("posterior")
        return np.column_stack([posterior.column(name).to_numpy() for name in self.names]), self._fitted().weights

    @functools.cached_property
    def _rows(self) -> list[np.ndarray]:
        """Rows of the posterior, by round."""
        rounds = self._fitted()._read("posterior").column("round").to_numpy()
        return [np.flatnonzero(rounds == one) for one in np.unique(rounds)]

    def _drop_cached(self) -> None:
        for name in ("_rows", "x_all"):
            self.__dict__.pop(name, None)

    def _weights_with(self, x_err: np.ndarray) -> np.ndarray:
        """Weights of all draws with other standard deviations."""
        posterior = self._fitted()._read("posterior")
        residuals = (self._simulated() - self.x_obs.reshape(-1)) / x_err.reshape(-1)
        log_weights = -0.5 * (residuals**2).sum(axis=1)
        return normalized(
            log_weights + posterior.column("log_prior").to_numpy() - posterior.column("log_proposal").to_numpy()
        )

    def _simulated(self) -> np.ndarray:
        """x of each row of the posterior, [rows, data], as kept in single precision; NaN where it has failed."""
        if self._noise is None:
            raise SiderealError("x_all: x is not kept where fit was given a log_like")
        posterior = self._fitted()._read("posterior")
        rounds, row_ids = (posterior.column(name).to_numpy() for name in ("round", "row_id"))
        x = np.full((len(rounds), self.x_obs.size), np.nan)
        for one in np.unique(rounds):
            shards = pa.parquet.read_table(
                self._fitted().dir / "rounds" / f"{one:03d}" / "shards", columns=["row_id", "x"]
            )
            n = shards.num_rows
            by_row = np.full((int(row_ids[rounds == one].max()) + 1, x.shape[1]), np.nan)
            values = shards.column("x").combine_chunks().flatten().to_numpy().reshape(n, -1)
            known = shards.column("row_id").to_numpy()
            kept = known < len(by_row)
            by_row[known[kept]] = values[kept]
            x[rounds == one] = by_row[row_ids[rounds == one]]
        return x


def normalized(log_weights: np.ndarray) -> np.ndarray:
    """Weights of sum 1; those that are not known are 0."""
    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)
    if not (log_weights > -np.inf).any():
        raise SiderealError("no draw has a likelihood above 0, expected one at least")
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def n_eff_of(weights: np.ndarray) -> float:
    return 1 / (weights**2).sum() - 1


def tell(weights: np.ndarray) -> None:
    """What weighed draws are worth, with a warning where that is little."""
    n_eff = n_eff_of(weights)
    print(f"Effective Sample Size = {n_eff:.1f}")
    print(f"Sampling efficiency = {100 * n_eff / len(weights):.1f}%")
    if n_eff < FEWEST_N_EFF:
        words = f"n_eff is {n_eff:.1f}, expected {FEWEST_N_EFF} at least: not to be trusted"
        warnings.warn(NotToBeTrusted(words), stacklevel=3)


def can_plot() -> bool:
    try:
        needed("corner", "plots", "corner()")
    except SiderealError:
        return False
    return True
