"""What Gaussian noise takes from the parameters: a jitter and an offset, for all data or by instrument."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._errors import SiderealError

Term = str | Mapping[str, str] | None


@dataclass(frozen=True)
class NoiseTerms:
    """Names of parameters, one for all data or one by label; `labels` has the label of each datum, where a term goes by them."""

    jitter: Term = None
    offset: Term = None
    labels: Sequence[str] = ()

    @property
    def names(self) -> set[str]:
        """Of all parameters that it takes; the model is not given them."""
        terms = [term for term in (self.jitter, self.offset) if term is not None]
        return {name for term in terms for name in ([term] if isinstance(term, str) else term.values())}

    def table(self) -> dict[str, Any]:
        """As `gaussian` in a campaign file has it."""
        given = {"jitter": self.jitter, "offset": self.offset, "by": list(self.labels)}
        return {key: value for key, value in given.items() if value}


def terms_of(jitter: Any, offset: Any, instrument: Any, shape: tuple[int, ...], names: Sequence[str]) -> NoiseTerms:
    """Checks the arguments of `fit`; `shape` is that of x_obs, `names` are the parameters with priors."""
    labels: list[str] = []
    if any(isinstance(argument, Mapping) and argument for argument in (jitter, offset)):
        labels = labels_of(instrument, shape)
    elif instrument is not None and not isinstance(jitter, Mapping) and not isinstance(offset, Mapping):
        raise SiderealError("instrument: found it where neither jitter nor offset is a dict, expected none")
    terms = NoiseTerms(
        term_of(jitter, "jitter", labels, names), term_of(offset, "offset", labels, names), tuple(labels)
    )
    if terms.names >= set(names):
        raise SiderealError(
            f"the noise takes all parameters, {', '.join(names)}, expected one at least that simulate takes"
        )
    return terms


def term_of(term: Any, argument: str, labels: Sequence[str], names: Sequence[str]) -> Term:
    if term is None:
        return None
    if isinstance(term, str):
        return known(term, argument, names)
    if not isinstance(term, Mapping) or not term:
        raise SiderealError(
            f"{argument}: found {term!r}, expected the name of a parameter, or a dict of such names by instrument"
        )
    found = dict.fromkeys(labels)
    for label in map(str, term):
        if label not in found:
            raise SiderealError(f"{argument}: no datum has {label!r} in instrument, found {', '.join(found)}")
    return {str(label): known(name, f"{argument}[{label!r}]", names) for label, name in term.items()}


def known(name: Any, where: str, names: Sequence[str]) -> str:
    if name not in names:
        raise SiderealError(f"{where}: found {name!r}, expected a parameter with a prior: {', '.join(names)}")
    return name


def labels_of(instrument: Any, shape: tuple[int, ...]) -> list[str]:
    if instrument is None:
        raise SiderealError("instrument: missing, expected what jitter and offset go by, one a datum")
    labels = np.asarray(instrument)
    if labels.shape not in (shape, shape[-1:]):
        raise SiderealError(f"instrument: found shape {labels.shape}, expected that of x_obs, {shape}, or [length]")
    return [str(label) for label in np.broadcast_to(labels, shape).reshape(-1)]
