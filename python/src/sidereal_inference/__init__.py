"""Posteriors and evidence of any model: neural posterior estimation made exact by importance sampling.

`sample` takes a log-likelihood, `fit` a simulator and what was observed; both give a `Result`.
"""

from ._call import draw, fit, sample
from ._errors import NotToBeTrusted, SiderealError
from ._priors import Beta, Fixed, HalfNormal, LogNormal, LogUniform, Normal, TruncatedNormal, Uniform
from ._result import Result, load
from ._samples import Samples

__all__ = [
    "Beta",
    "Fixed",
    "HalfNormal",
    "LogNormal",
    "LogUniform",
    "Normal",
    "NotToBeTrusted",
    "Result",
    "Samples",
    "SiderealError",
    "TruncatedNormal",
    "Uniform",
    "draw",
    "fit",
    "load",
    "sample",
]
