"""Campaign files of models in Python, as TOML."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._noise import NoiseTerms
from ._priors import Prior

DEFAULT_BLOCK = 256


@dataclass(frozen=True)
class Observation:
    """What was observed, each of as many numbers as x has; no sigma where the model draws its own noise."""

    value: np.ndarray
    grid: np.ndarray
    sigma: np.ndarray | None
    terms: NoiseTerms = field(default_factory=NoiseTerms)


@dataclass(frozen=True)
class Campaign:
    """What a campaign file of a model in Python says.

    `functions` are places by use, as children are told them: simulate, log_likelihood, prior_transform, noise (which goes by
    the global generators). Parameters have
    priors, or with a prior transform no more than `names`. `n_data` is how many numbers x has where there is no observation:
    a model for any one is trained.
    """

    name: str
    seed: int
    functions: Mapping[str, str]
    priors: Mapping[str, Prior]
    names: Sequence[str]
    periodic: Sequence[str]
    observation: Observation | None
    vectorized: bool | int
    blobs: Sequence[str]
    global_rng: bool
    timeout: float
    setup_timeout: float
    stop: Mapping[str, float]
    workers: int | None
    python: str
    n_data: int | None = None
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def block(self) -> int:
        """Rows that functions get at once; 0: one row a call."""
        return (DEFAULT_BLOCK if self.vectorized else 0) if isinstance(self.vectorized, bool) else self.vectorized

    @property
    def of_model(self) -> list[bool]:
        """Of each name, whether functions get that parameter, and not the noise."""
        taken = set() if self.observation is None else self.observation.terms.names
        return [name not in taken for name in self.names]

    def toml(self) -> str:
        """The campaign file."""
        tables: dict[str, Any] = {"name": self.name, "seed": self.seed}
        tables["parameters"] = [
            {"name": name, "prior": dict([prior.table()]), **({"periodic": True} if name in self.periodic else {})}
            for name, prior in self.priors.items()
        ]
        if "prior_transform" in self.functions:
            transform = {"python": self.functions["prior_transform"], "names": list(self.names)}
            tables["prior"] = {
                "transform": {**transform, **({"periodic": list(self.periodic)} if self.periodic else {})}
            }
        for use, table in (("simulate", "simulator"), ("log_likelihood", "likelihood"), ("noise", "noise")):
            if use in self.functions:
                tables[table] = {"python": self.functions[use]}
        tables["simulator" if "simulate" in self.functions else "likelihood"].update(self.options())
        if "noise" in self.functions:
            tables["noise"]["global_rng"] = True
        if self.n_data is not None:
            tables["simulator"]["grid"] = np.arange(float(self.n_data))
        if self.observation is not None:
            tables["observation"] = {"grid": self.observation.grid, "value": self.observation.value}
            if self.observation.sigma is not None:
                tables["observation"]["sigma"] = self.observation.sigma
                tables["noise"] = {"gaussian": {"sigma": "observed", **self.observation.terms.table()}}
        tables["rounds"] = {"stop": dict(self.stop)} if self.stop else {}
        tables["workers"] = {**({} if self.workers is None else {"count": self.workers}), "python": self.python}
        for table, keys in self.more.items():
            tables.setdefault(table, {}).update(keys)
        return toml(tables)

    def options(self) -> dict[str, Any]:
        """Options of the functions, where they are not the default."""
        options: dict[str, Any] = {}
        if self.vectorized:
            options["vectorized"] = self.vectorized
        if self.blobs:
            options["blobs"] = list(self.blobs)
        if self.global_rng:
            options["global_rng"] = True
        return {**options, "timeout": float(self.timeout), "setup_timeout": float(self.setup_timeout)}


def toml(tables: Mapping[str, Any]) -> str:
    """A document of keys, tables and arrays of tables; what is deeper is written in line."""
    lines = [f"{key} = {value_of(value)}\n" for key, value in tables.items() if not is_table(value)]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines.append(f"\n[{key}]\n{keys_of(value)}")
        elif is_table(value):
            lines.extend(f"\n[[{key}]]\n{keys_of(one)}" for one in value)
    return "".join(lines)


def is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and all(isinstance(one, Mapping) for one in value))


def keys_of(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {value_of(value)}\n" for key, value in table.items())


def key_of(key: str) -> str:
    """In quotes where it has more than letters, digits, _ and -."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else value_of(key)


def value_of(value: Any) -> str:
    """A value in line; floats with all digits that they need."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key_of(key)} = {value_of(one)}" for key, one in value.items()) + " }"
    return "[" + ", ".join(map(value_of, value)) + "]"
