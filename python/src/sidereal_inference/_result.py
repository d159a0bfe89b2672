"""What a campaign found: weighted draws, evidence, and how far to trust them."""

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ._errors import SiderealError
from ._process import run
from ._table import Table, html_of, summary_table

try:
    import pandas as pd
except ImportError:
    pd = None

FORMAT = "sidereal-summary"
VERSION = 1


class Result:
    """A campaign's result, read from its directory.

    `posterior` and `samples` are data frames of pandas where that is installed, else tables of pyarrow.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.dir = Path(directory)
        self._tables: dict[str, pa.Table] = {}
        path = self.dir / "summary.json"
        try:
            self._summary = json.loads(path.read_text())
        except FileNotFoundError:
            raise SiderealError(f"{path} does not exist: {self.dir} is no campaign, or has no result yet") from None
        except ValueError as error:
            raise SiderealError(f"{path} cannot be read: {error}") from error
        found = self._summary.get("format"), self._summary.get("version")
        if found != (FORMAT, VERSION):
            raise SiderealError(f"{path} is {found[0]} version {found[1]}, expected {FORMAT} version {VERSION}")

    @property
    def names(self) -> list[str]:
        """Parameters and derived quantities, as columns of `samples`."""
        return self._read("samples").column_names

    @functools.cached_property
    def posterior(self) -> Any:
        """All draws, with their weights, which sum to 1: a row a draw.

        Columns: parameters, derived quantities, `log_likelihood`, `log_prior`, `log_proposal`, `round`, `row_id`, `weight`.
        """
        return framed(self._read("posterior"))

    @functools.cached_property
    def samples(self) -> Any:
        """Draws of equal weight, in random order: as many as n_eff, and 1,000 at least, where some stand repeatedly."""
        return framed(self._read("samples"))

    @property
    def weights(self) -> np.ndarray:
        """Of the draws in `posterior`; their sum is 1."""
        return self._read("posterior").column("weight").to_numpy()

    def resample(self, n: int, seed: int = 0) -> Any:
        """n draws of equal weight, drawn from `posterior` by their weights, with replacement; [n, names]."""
        posterior = self._read("posterior")
        weights = self.weights
        rows = np.random.default_rng(seed).choice(len(weights), size=n, p=weights / weights.sum())
        return framed(posterior.select(self.names).take(pa.array(rows)))

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the evidence."""
        return self._combined["evidence"]["log_evidence"]

    @property
    def log_evidence_error(self) -> float:
        """Standard error of `log_evidence`."""
        return self._combined["evidence"]["error"]

    @property
    def n_eff(self) -> float:
        """Effective sample size: the weighted draws are worth about as many independent ones."""
        return self._combined["n_eff"]

    @property
    def pareto_k(self) -> float | None:
        """Shape of the weights' tail: below 0.5 is good, above 0.7 a few draws carry the result; None: too few draws."""
        return self._combined["pareto_k"]

    @property
    def simulations(self) -> int:
        """Calls of the model."""
        return self._summary["simulations"]

    @property
    def status(self) -> str:
        """`ok`, `not to be trusted`, or `unfinished`."""
        if self._summary["stop_reason"] is None:
            return "unfinished"
        return "not to be trusted" if self.reasons else "ok"

    @property
    def reasons(self) -> list[str]:
        """Why the result is not to be trusted; empty where it is."""
        return list(self._summary["warnings"])

    def summary(self) -> Table:
        """A table of mean, sd and quantiles, mode by mode where there are several, and how good they are; to be printed."""
        return summary_table(self._summary, self.status)

    def corner(self, **options: Any) -> Any:
        """A corner plot of `samples`, a figure; options are those of corner.corner. Needs the extra `plots`."""
        corner = needed("corner", "plots", "corner()")
        names = [name for name in self.names if np.ptp(self._column("samples", name)) > 0]
        values = np.column_stack([self._column("samples", name) for name in names])
        return corner.corner(
            values, **{"labels": names, "show_titles": True, "quantiles": [0.16, 0.5, 0.84], **options}
        )

    def to_pandas(self) -> Any:
        """`posterior` as a data frame."""
        needed("pandas", None, "to_pandas()")
        return self._read("posterior").to_pandas()

    def to_arviz(self) -> Any:
        """`samples` as one chain: a DataTree of arviz 1, an InferenceData of arviz 0. Needs the extra `arviz`."""
        arviz = needed("arviz", "arviz", "to_arviz()")
        chain = {name: self._column("samples", name)[np.newaxis] for name in self.names}
        if int(arviz.__version__.split(".")[0]) >= 1:
            return arviz.from_dict({"posterior": chain})
        return arviz.from_dict(posterior=chain)

    def to_anesthetic(self) -> Any:
        """The weighted draws as anesthetic's MCMCSamples."""
        anesthetic = needed("anesthetic", None, "to_anesthetic()")
        values, weights, log_likelihood, _ = self._weighted()
        return anesthetic.MCMCSamples(data=values, columns=self.names, weights=weights, logL=log_likelihood)

    def to_getdist(self) -> Any:
        """The weighted draws as getdist's MCSamples."""
        getdist = needed("getdist", None, "to_getdist()")
        values, weights, log_likelihood, log_prior = self._weighted()
        return getdist.MCSamples(
            samples=values,
            weights=weights,
            loglikes=-(log_likelihood + log_prior),
            names=self.names,
            labels=self.names,
            sampler="uncorrelated",
        )

    def draw(
        self,
        n: int | None = None,
        *,
        n_eff: float | None = None,
        simulations: int | None = None,
        workers: int | None = None,
        progress: bool = True,
    ) -> Any:
        """More draws from the final proposal, without training.

        With `n_eff`, until all draws together are worth that many: a new Result. With `n`, n draws of equal weight, from
        draws that are worth as many. At most `simulations` further calls of the model (ten times n_eff).
        """
        if (n is None) == (n_eff is None):
            raise SiderealError("draw: found both or none of n and n_eff, expected one of them")
        target = n if n_eff is None else n_eff
        result = self
        if target > self.n_eff:
            arguments = ["draw", str(self.dir), "--n-eff", str(target), "--json"]
            for option, value in (("--simulations", simulations), ("--workers", workers)):
                arguments += [] if value is None else [option, str(value)]
            run(arguments, progress)
            result = Result(self.dir)
        return result if n is None else result.resample(n)

    def __repr__(self) -> str:
        return f"<sidereal result of {self._summary['campaign']} in {self.dir}: {self.status}>"

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return html_of(self.summary())

    @property
    def _combined(self) -> dict[str, Any]:
        combined = self._summary["combined"]
        if combined is None:
            raise SiderealError(f"{self.dir} is a model for any observation, expected a campaign with one")
        return combined

    def _read(self, name: str) -> pa.Table:
        if name not in self._tables:
            path = self.dir / f"{name}.parquet"
            if not path.exists():
                raise SiderealError(f"{path} does not exist: the campaign is {self.status}")
            self._tables[name] = pa.parquet.read_table(path)
        return self._tables[name]

    def _column(self, table: str, name: str) -> np.ndarray:
        return self._read(table).column(name).to_numpy()

    def _weighted(self) -> tuple[np.ndarray, ...]:
        """Values, weights, log-likelihoods and log priors of the draws that weigh anything."""
        some = self.weights > 0
        values = np.column_stack([self._column("posterior", name)[some] for name in self.names])
        columns = [self._column("posterior", name)[some] for name in ("weight", "log_likelihood", "log_prior")]
        return values, *columns


def load(directory: str | os.PathLike[str]) -> Result:
    """The result in a campaign's directory, whoever has run it: `sample`, `fit`, or the command."""
    path = Path(directory)
    if not (path / "summary.json").exists() and (path / "run").is_dir():
        path = path / "run"
    return Result(path)


def framed(table: pa.Table) -> Any:
    return table if pd is None else table.to_pandas()


def needed(module: str, extra: str | None, what: str) -> Any:
    """A module that not everybody has; SiderealError with the line that installs it."""
    try:
        return __import__(module)
    except ImportError as error:
        package = module if extra is None else f"'sidereal-inference[{extra}]'"
        raise SiderealError(f"{what} needs {module}: pip install {package}") from error
