"""Priors as plain objects: what a parameter may be before the data are seen."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._errors import SiderealError


class Prior:
    """What all priors have: `draw`, and `table`, the prior's key in a campaign file with what stands under it."""

    def draw(self, rng: np.random.Generator) -> float:
        raise NotImplementedError

    def table(self) -> tuple[str, Any]:
        raise NotImplementedError

    def named(self, name: str) -> "Prior":
        """As the prior of the parameter of this name."""
        return self


@dataclass(frozen=True)
class Uniform(Prior):
    """The same density from low to high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        finite(self, "low", "high")
        ordered(self, self.low, self.high)

    def draw(self, rng: np.random.Generator) -> float:
        return rng.uniform(self.low, self.high)

    def table(self) -> tuple[str, Any]:
        return "uniform", {"low": self.low, "high": self.high}


@dataclass(frozen=True)
class LogUniform(Prior):
    """A logarithm of the same density from low to high, both positive."""

    low: float
    high: float

    def __post_init__(self) -> None:
        finite(self, "low", "high")
        positive(self, "low")
        ordered(self, self.low, self.high)

    def draw(self, rng: np.random.Generator) -> float:
        return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))

    def table(self) -> tuple[str, Any]:
        return "log_uniform", {"low": self.low, "high": self.high}


@dataclass(frozen=True)
class Normal(Prior):
    """Normal, of mean and standard deviation."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        finite(self, "mean", "sd")
        positive(self, "sd")

    def draw(self, rng: np.random.Generator) -> float:
        return rng.normal(self.mean, self.sd)

    def table(self) -> tuple[str, Any]:
        return "normal", {"mean": self.mean, "sd": self.sd}


@dataclass(frozen=True)
class TruncatedNormal(Prior):
    """Normal from low to high, 0 beyond; None for a side without a bound.

    `mean` and `sd` are those of the normal before it is cut.
    """

    mean: float
    sd: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        finite(self, "mean", "sd")
        positive(self, "sd")
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                finite(self, name)
        if self.low is None and self.high is None:
            raise SiderealError("TruncatedNormal has neither low nor high, expected one of them, or Normal(mean, sd)")
        if self.low is not None and self.high is not None:
            ordered(self, self.low, self.high)

    def draw(self, rng: np.random.Generator) -> float:
        low = -math.inf if self.low is None else (self.low - self.mean) / self.sd
        high = math.inf if self.high is None else (self.high - self.mean) / self.sd
        return self.mean + self.sd * truncated_standard_normal(low, high, rng)

    def table(self) -> tuple[str, Any]:
        bounds = {name: getattr(self, name) for name in ("low", "high") if getattr(self, name) is not None}
        return "truncated_normal", {"mean": self.mean, "sd": self.sd, **bounds}


def HalfNormal(sd: float) -> TruncatedNormal:
    """The upper half of a normal around 0 of that standard deviation."""
    return TruncatedNormal(0.0, sd, low=0.0)


@dataclass(frozen=True)
class LogNormal(Prior):
    """A normal logarithm; mean and standard deviation are those of the natural logarithm."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        finite(self, "mean", "sd")
        positive(self, "sd")

    def draw(self, rng: np.random.Generator) -> float:
        return math.exp(rng.normal(self.mean, self.sd))

    def table(self) -> tuple[str, Any]:
        return "log_normal", {"mean": self.mean, "sd": self.sd}


@dataclass(frozen=True)
class Beta(Prior):
    """Beta distribution, stretched from [0, 1] to [low, high]."""

    alpha: float
    beta: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        finite(self, "alpha", "beta", "low", "high")
        positive(self, "alpha", "beta")
        ordered(self, self.low, self.high)

    def draw(self, rng: np.random.Generator) -> float:
        return self.low + (self.high - self.low) * rng.beta(self.alpha, self.beta)

    def table(self) -> tuple[str, Any]:
        return "beta", {"alpha": self.alpha, "beta": self.beta, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Fixed(Prior):
    """No freedom at all: the function gets this value each time."""

    value: float

    def __post_init__(self) -> None:
        finite(self, "value")

    def draw(self, rng: np.random.Generator) -> float:
        return self.value

    def table(self) -> tuple[str, Any]:
        return "fixed", self.value


def finite(prior: Prior, *names: str) -> None:
    """Makes floats of these fields; refuses what is no finite number."""
    for name in names:
        value = getattr(prior, name)
        number = as_number(value)
        if number is None or not math.isfinite(number):
            raise SiderealError(f"{type(prior).__name__}: {name} is {value!r}, expected a finite number")
        object.__setattr__(prior, name, number)


def positive(prior: Prior, *names: str) -> None:
    for name in names:
        if getattr(prior, name) <= 0:
            raise SiderealError(f"{type(prior).__name__}: {name} is {getattr(prior, name)!r}, expected more than 0")


def ordered(prior: Prior, low: float, high: float) -> None:
    if not low < high:
        raise SiderealError(f"{type(prior).__name__}: low {low!r} is not below high {high!r}")


def as_number(value: Any) -> float | None:
    """A real number as a float; None of anything else."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    return float(value)


def truncated_standard_normal(low: float, high: float, rng: np.random.Generator) -> float:
    """By rejection, exact in the tails too (Robert 1995)."""
    if high < 0:
        return -truncated_standard_normal(-high, -low, rng)
    while True:
        if low <= 0:
            # With a narrow window around the mode uniform draws are accepted more often.
            x = rng.uniform(low, high) if high - low < 2 else rng.normal()
            log_acceptance = -0.5 * x * x if high - low < 2 else 0.0
        else:
            rate = 0.5 * (low + math.sqrt(low * low + 4))
            if high - low < 1 / rate:
                x = rng.uniform(low, high)
                log_acceptance = 0.5 * (low * low - x * x)
            else:
                x = low + rng.exponential(1 / rate)
                log_acceptance = -0.5 * (x - rate) ** 2
        if low <= x <= high and math.log(1 - rng.random()) <= log_acceptance:
            return x


KNOWN = (
    "Uniform, LogUniform, Normal, TruncatedNormal, HalfNormal, LogNormal, Beta, Samples, Fixed, (low, high), a "
    "number, "
    "or scipy.stats' uniform, norm, truncnorm, lognorm, loguniform, beta, halfnorm"
)
WAY_OUT = "any other one is a prior_transform, such as lambda u: [prior.ppf(u[0])]"


def as_prior(value: Any, where: str) -> Prior:
    """A prior of what a user gave: one of ours, (low, high), a number, or a frozen distribution of scipy."""
    if isinstance(value, Prior):
        return value
    number = as_number(value)
    try:
        if number is not None:
            return Fixed(number)
        if isinstance(value, (tuple, list)) and len(value) == 2 and all(as_number(one) is not None for one in value):
            return Uniform(*value)
        prior = of_scipy(value, where)
    except SiderealError as error:
        raise SiderealError(f"{where}: {error}") from error
    if prior is None:
        raise SiderealError(f"{where}: found {value!r}, expected one of {KNOWN}; {WAY_OUT}")
    return prior


def of_scipy(value: Any, where: str) -> Prior | None:
    """A frozen distribution of scipy as one of ours; None where it is none or another one.

    Without scipy loaded there is none.
    """
    if "scipy.stats" not in sys.modules or not hasattr(value, "dist") or not hasattr(value.dist, "_parse_args"):
        return None
    shapes, loc, scale = value.dist._parse_args(*value.args, **value.kwds)
    shapes, loc, scale = [float(one) for one in shapes], float(loc), float(scale)
    name = value.dist.name
    if name == "uniform":
        return Uniform(loc, loc + scale)
    if name == "norm":
        return Normal(loc, scale)
    if name == "halfnorm":
        return TruncatedNormal(loc, scale, low=loc)
    if name == "beta":
        return Beta(*shapes, low=loc, high=loc + scale)
    if name == "truncnorm":
        low, high = (loc + scale * one for one in shapes)
        if math.isinf(low) and math.isinf(high):
            return Normal(loc, scale)
        return TruncatedNormal(loc, scale, None if math.isinf(low) else low, None if math.isinf(high) else high)
    if loc == 0 and name in ("loguniform", "reciprocal"):
        return LogUniform(*(scale * one for one in shapes))
    if loc == 0 and name == "lognorm":
        return LogNormal(math.log(scale), shapes[0])
    return None


def as_priors(priors: Any, names: Sequence[str] | None) -> dict[str, Prior]:
    """Priors by parameter, in their order: of a mapping, or of a sequence with `names`."""
    if isinstance(priors, Mapping):
        given = list(priors)
        if names is not None and list(names) != given:
            raise SiderealError(f"names: found {list(names)}, expected those of priors, {given}, or none")
        values = list(priors.values())
    elif isinstance(priors, Sequence) and not isinstance(priors, str):
        if names is None:
            raise SiderealError("names: missing, expected one a prior, or priors as a dict by name")
        given, values = list(names), list(priors)
        if len(given) != len(values):
            raise SiderealError(f"names: found {len(given)}, expected {len(values)}, one a prior")
    else:
        raise SiderealError(f"priors: found {type(priors).__name__}, expected a dict of priors by name")
    if not given:
        raise SiderealError("priors: found none, expected at least one parameter")
    check_names(given, "priors" if isinstance(priors, Mapping) else "names")
    return {name: as_prior(value, f"priors[{name!r}]").named(name) for name, value in zip(given, values)}


# Columns of every result.
RESERVED = (
    "log_likelihood",
    "log_prior",
    "log_proposal",
    "round",
    "row_id",
    "weight",
    "component",
    "seed",
    "status",
    "message",
)


def check_names(names: Sequence[Any], where: str) -> None:
    """Refuses names that cannot be columns of a result, and those that are there twice."""
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise SiderealError(f"{where}: found {name!r}, expected letters, digits and _, a letter first")
        if name in RESERVED or name.startswith("z_"):
            raise SiderealError(f"{where}: {name!r} is a column of every result, expected another name")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise SiderealError(f"{where}: found {', '.join(twice)} twice, expected each name once")


def check_periodic(periodic: Sequence[str], priors: Mapping[str, Prior]) -> None:
    """Periodic parameters have uniform priors, whose bounds are one and the same point."""
    if isinstance(periodic, str):
        raise SiderealError(f"periodic: found {periodic!r}, expected a list of names")
    for name in periodic:
        if name not in priors:
            raise SiderealError(f"periodic: found {name!r}, expected names of parameters: {', '.join(priors)}")
        if not isinstance(priors[name], Uniform):
            raise SiderealError(f"periodic: {name} has the prior {priors[name]!r}, expected a Uniform one")
