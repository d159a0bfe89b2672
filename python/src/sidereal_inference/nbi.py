"""The front end of nbi 0.4.1 on top of `fit` and `sample`: `from sidereal_inference import nbi` in place of `import nbi`.

For one observation. Arguments that tune nbi's own networks and optimizer are taken and have no effect: rounds, networks and
training follow from the problem. nbi: https://github.com/kmzzhang/nbi (Zhang et al. 2023).
"""

import functools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ._call import fit, sample
from ._errors import SiderealError
from ._result import Result, needed

__all__ = ["NBI"]


class NBI:
    """nbi's engine, with its arguments, and `periodic`: labels of parameters whose bounds are one and the same point.

    flow, featurizer
        Dictionaries as nbi takes them, which are not changed; only `n_dims` is looked at. Networks of torch are refused.
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
        Refused: networks of torch cannot be read.
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
        flow: Mapping[str, Any],
        featurizer: Mapping[str, Any],
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
        for name, network in (("flow", flow), ("featurizer", featurizer)):
            if not isinstance(network, Mapping):
                raise SiderealError(
                    f"{name}: found {type(network).__name__}, expected a dictionary: no network of torch"
                )
        if state_dict is not None:
            raise SiderealError("state_dict: found one, expected none: networks of torch cannot be read")
        if simulator is None or priors is None:
            raise SiderealError("simulator, priors: missing, expected both: simulations made beforehand cannot be used")
        n_dims = flow.get("n_dims", len(priors))
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
        """Finds the posterior of one observation.

        x_obs
            The observation, of the simulator's shape.
        noise
            Its standard deviations, an array of the same shape; a function, which nbi trains with, is not needed here.
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
            raise SiderealError("x, y: found simulations made beforehand, expected none: they cannot be weighed")
        if x_obs is None:
            raise SiderealError(
                "x_obs: missing, expected an observation: models for any one are trained by `sidereal fit`"
            )
        if n_sims < 1 or n_rounds < 1:
            raise SiderealError(f"n_sims, n_rounds: found {n_sims} and {n_rounds}, expected 1 or more")
        is_array = isinstance(noise, np.ndarray)
        if not is_array and noise is not None and not callable(noise):
            raise SiderealError(f"noise: found {noise!r}, expected an array of standard deviations, or a function")
        if not is_array and log_like is None:
            raise SiderealError(
                "noise, log_like: found neither an array nor a function, expected one, to weigh draws with"
            )
        stop: dict[str, float] = {"simulations": n_sims * (n_rounds + 1) if n_rounds > 1 else n_sims}
        if neff_stop > 0:
            stop["n_eff"] = neff_stop
        if f_accept_min > 0:
            stop["efficiency"] = f_accept_min
        settings: dict[str, Any] = {
            "priors": self.prior,
            "names": self.names,
            "periodic": self.periodic,
            "workers": min(self.n_jobs, os.cpu_count() or 1),
            "seed": self.seed,
            "options": {"rounds": {"stop": stop}},
        }
        self.x_obs, self.y_true = np.array(x_obs, dtype=float), y_true
        if is_array:
            shape = self.x_obs.shape
            self._noise, self._log_like = np.broadcast_to(noise, shape).astype(float), None
            self._result = fit(self.simulator, x_obs=self.x_obs, x_err=self._noise, **settings)
        else:
            self._noise, self._log_like = None, log_like
            by_path = functools.partial(log_like_of_path, self.simulator, log_like, self.x_obs)
            self._result = sample(by_path, **settings)
        self._drop_cached()
        print(f"Effective sample size for all rounds {self._result.n_eff:.1f}")
        if plot and can_plot():
            self.corner(self.x_obs, *self._draws(), y_true=y_true)

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
    ) -> Any:
        """Draws of the posterior of the observation that `fit` was given, and their weights, which sum to 1.

        They are all draws of `fit`, weighed anew where `x_err` has other standard deviations than those of `fit`. Further ones
        are made where they are worth less than `neff_min`, up to `n_max` in all where that is positive. Without `x_err` and
        `log_like`: n_samples draws of equal weight alone.
        """
        result = self._fitted()
        if not np.array_equal(np.asarray(x, dtype=float), self.x_obs):
            raise SiderealError(
                "x: found another observation, expected that of fit: its proposal is for that one alone"
            )
        if log_like is not None and log_like is not self._log_like:
            raise SiderealError("log_like: found another function, expected that of fit: x is not kept for it")
        if x_err is not None and self._noise is None:
            raise SiderealError("x_err: found one after a fit with log_like, expected that log_like")
        if neff_min > result.n_eff:
            most = None if n_max < 0 else max(1, n_max - result.simulations)
            self._result = result = result.draw(n_eff=neff_min, simulations=most)
            self._drop_cached()
        if x_err is None and log_like is None:
            return np.asarray(result.resample(n_samples, self.seed))
        thetas, weights = self._draws()
        if x_err is not None and not np.array_equal(np.broadcast_to(x_err, self.x_obs.shape), self._noise):
            weights = self._weights_with(np.broadcast_to(x_err, self.x_obs.shape))
        n_eff = 1 / (weights**2).sum() - 1
        print(f"Effective Sample Size = {n_eff:.1f}")
        print(f"Sampling efficiency = {100 * n_eff / len(weights):.1f}%")
        if corner:
            self.corner(x, np.asarray(result.samples), y_true=y_true)
        if corner_reweight:
            self.corner(x, thetas, weights, y_true=y_true)
        return thetas, weights

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
    def best_params(self) -> np.ndarray:
        """The draw of highest posterior density."""
        posterior = self._fitted()._read("posterior")
        density = posterior.column("log_likelihood").to_numpy() + posterior.column("log_prior").to_numpy()
        return self._draws()[0][np.nanargmax(density)]

    def sample(self, x: Any, y: Any = None, n: int = 5000, corner: bool = False) -> np.ndarray:
        """Not supported: draws of the network alone; `predict` gives draws that are weighed."""
        raise SiderealError("sample: draws of the network alone are not supported, predict gives weighed ones")

    def log_prob(self, x: Any, y: Any) -> np.ndarray:
        """Not supported: the density of the network."""
        raise SiderealError("log_prob: the density of the network is not supported")

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
        log_weights += posterior.column("log_prior").to_numpy() - posterior.column("log_proposal").to_numpy()
        log_weights[np.isnan(log_weights)] = -np.inf
        weights = np.exp(log_weights - log_weights.max())
        return weights / weights.sum()

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


def log_like_of_path(
    simulator: Callable[..., Any], log_like: Callable[..., Any], x_obs: np.ndarray, theta: np.ndarray
) -> float:
    """nbi's log-likelihood of parameters, which is told of x by the path of a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "0.npy")
        np.save(path, simulator(theta))
        return log_like(x_obs, path, theta)


def can_plot() -> bool:
    try:
        needed("corner", "plots", "corner()")
    except SiderealError:
        return False
    return True
