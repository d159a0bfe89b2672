"""Priors that are fitted to samples: of a file, or of arrays, which are written into the campaign's directory."""

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import SiderealError
from ._priors import Prior, as_number

WEIGHT = "weight"


class Samples(Prior):
    """A density that is fitted to weighted samples, such as those of another run.

    samples
        The path of a table (Parquet, or CSV with a header), such as another run's `posterior.parquet`; columns by name (a
        DataFrame, a dict); or an array of the parameter's own samples. Parameters with samples in the same file or the same
        columns keep their correlations, by a Gaussian copula.
    weights
        The name of the column of weights, `weight` where there is one; or an array, one a sample.
    column
        The column of the samples; None: that of the parameter's name.
    low, high
        Bounds of the density, beyond all samples; None: it has a normal tail there.
    """

    def __init__(
        self,
        samples: Any,
        weights: Any = None,
        column: str | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        self.column = column
        self.bounds = {name: bound_of(name, value) for name, value in (("low", low), ("high", high)) if value is not None}
        if isinstance(samples, (str, os.PathLike)):
            self.columns = read(Path(samples))
        elif isinstance(samples, Mapping) or hasattr(samples, "columns"):
            self.columns = {str(name): numbers(samples[name], f"column {name!r}") for name in samples}
        else:
            self.columns = {"samples": numbers(samples, "samples")}
            self.column = column = "samples" if column is None else column
        if not isinstance(weights, (str, type(None))):
            self.columns = {**self.columns, WEIGHT: numbers(weights, "weights")}
            weights = None
        self.weights = weights or (WEIGHT if WEIGHT in self.columns else None)
        lengths = {len(values) for values in self.columns.values()}
        if len(lengths) != 1:
            raise SiderealError(f"Samples: found columns of {', '.join(map(str, sorted(lengths)))} rows, expected one length")
        for name in (column, self.weights):
            if name is not None:
                self.check_column(name)

    def __repr__(self) -> str:
        return f"Samples({', '.join(self.columns)})"

    def check_column(self, name: str) -> None:
        if name not in self.columns:
            raise SiderealError(f"Samples: found no column {name!r}, expected one of {', '.join(self.columns)}")

    def named(self, name: str) -> "Samples":
        """Of the parameter of this name."""
        if self.column is not None:
            return self
        self.check_column(name)
        other = object.__new__(Samples)
        other.__dict__.update(self.__dict__, column=name)
        return other

    def draw(self, rng: np.random.Generator) -> float:
        values = self.columns[self.column]
        if self.weights is None:
            return float(rng.choice(values))
        weights = self.columns[self.weights]
        total = weights.sum()
        if not (weights >= 0).all() or not 0 < total < np.inf:
            raise SiderealError(f"Samples: {self.weights}: expected numbers of 0 or more, not all of them 0")
        return float(rng.choice(values, p=weights / total))

    def table(self) -> tuple[str, Any]:
        weights = {} if self.weights is None else {"weights": self.weights}
        return "samples", {"path": self.file_name, "column": self.column, **weights, **self.bounds}

    @property
    def content(self) -> bytes:
        """The columns as CSV."""
        lines = [",".join(f'"{name}"' for name in self.columns)]
        rows = zip(*(values.tolist() for values in self.columns.values()))
        lines.extend(",".join(map(repr, row)) for row in rows)
        return ("\n".join(lines) + "\n").encode()

    @property
    def file_name(self) -> str:
        """Says what is in the file: other samples are in another one."""
        return f"samples-{hashlib.sha256(self.content).hexdigest()[:16]}.csv"


def bound_of(name: str, value: Any) -> float:
    number = as_number(value)
    if number is None or not np.isfinite(number):
        raise SiderealError(f"Samples: {name} is {value!r}, expected a finite number")
    return number


def numbers(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim != 1 or array.size == 0:
        raise SiderealError(f"Samples: {where}: expected numbers, one a sample")
    return array


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of numbers of a file."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path)
            columns = {name: table[name].to_pylist() for name in table.column_names}
        else:
            with open(path, newline="") as file:
                header, *rows = [row for row in csv.reader(file) if row]
            columns = {name.strip(): [row[i] for row in rows] for i, name in enumerate(header)}
    except (OSError, ValueError, IndexError) as error:
        raise SiderealError(f"Samples: {path}: {error}") from error
    found = {}
    for name, values in columns.items():
        try:
            found[name] = numbers([np.nan if value in (None, "") else value for value in values], name)
        except SiderealError:
            continue  # a column of texts
    if not found:
        raise SiderealError(f"Samples: {path}: found no column of numbers, expected a table with a header")
    return found
