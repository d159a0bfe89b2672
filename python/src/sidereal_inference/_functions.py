"""Functions on their way to the processes that call them, and the first call, which shows whether they can be."""

import contextlib
import os
import pickle
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from ._campaign import Campaign
from ._child import Failure, Model, Unusable, kind_of, load_function, words_of
from ._errors import SiderealError
from ._fingerprint import fingerprints

PICKLE = "model.pkl"
N_TRIES = 10


@dataclass(frozen=True)
class Functions:
    """Functions by use; `places` has those that are known by name, with which workers are told to find them.

    `known_as` stands for the fingerprints of functions whose state changes from call to call.
    """

    functions: Mapping[str, Any]
    places: Mapping[str, str]
    known_as: Mapping[str, dict[str, str]] | None = None

    def campaign_places(self) -> dict[str, str]:
        """Where a campaign file beside the pickle says that functions are."""
        return {use: self.places.get(use, f"{PICKLE}:{use}") for use in self.functions}

    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Digests of each function by part; of one that is known by name, the name is a part."""
        if self.known_as is not None:
            return dict(self.known_as)
        named = {use: {"place": place} for use, place in self.places.items()}
        return {use: {**named.get(use, {}), **fingerprints(one)} for use, one in self.functions.items()}

    def pickle(self) -> bytes:
        """The pickle file of the protocol; paths and working directory are those of now."""
        here = os.getcwd()
        pickles = {}
        for use, function in self.functions.items():
            if use in self.places:
                continue
            try:
                pickles[use] = cloudpickle.dumps(function)
            except Exception as error:
                raise SiderealError(
                    f"{use}: it cannot be pickled ({words_of(error)}); what it uses must be made within it, or it must be "
                    f"given by name, as MODULE:NAME or FILE.py:NAME"
                ) from error
        path = [os.path.abspath(one) if one else here for one in sys.path]
        return pickle.dumps({"path": path, "directory": here, "functions": pickles}, protocol=4)


def take(given: Mapping[str, Any]) -> Functions:
    """Functions by use, each a function or its place: `MODULE:NAME` or `FILE.py:NAME`."""
    functions, places, loaded = {}, {}, {}
    for use, function in given.items():
        if isinstance(function, str):
            source, _, name = function.rpartition(":")
            place = f"{Path(source).resolve()}:{name}" if source.endswith(".py") else function
            try:
                functions[use] = load_function(place, loaded)
            except Unusable as unusable:
                raise SiderealError(f"{use}: {unusable}") from unusable.__cause__
            places[use] = place
        elif callable(function):
            functions[use] = function
        else:
            raise SiderealError(f"{use}: found {kind_of(function)}, expected a function or MODULE:NAME")
    return Functions(functions, places)


@contextlib.contextmanager
def kept_generators() -> Iterator[None]:
    """The global generators of numpy and Python are afterwards as they were: they are the user's."""
    numpys, pythons = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(numpys)
        random.setstate(pythons)


def call_once(functions: Functions, campaign: Campaign, shape: tuple[int, ...]) -> None:
    """Calls each function at draws from the prior, here and now, until one has a likelihood above 0; not that of the noise.

    `shape` is that of the observation. Raises SiderealError that names the argument and the user's own line where a function
    raises or gives what it must not.
    """
    try:
        of_model = {use: function for use, function in functions.functions.items() if use != "noise"}
        model = ShapedModel(hello_of(campaign), of_model, shape)
    except Unusable as unusable:
        raise SiderealError(str(unusable)) from None
    with kept_generators():
        call_until_possible(campaign, model)


def call_until_possible(campaign: Campaign, model: "ShapedModel") -> None:
    rng = np.random.default_rng(campaign.seed)
    n = campaign.block or 1
    for attempt in range(N_TRIES):
        coordinates = draws(campaign, n, rng)
        seeds = np.tile(np.array([campaign.seed, attempt], dtype="<u8"), (n, 1))
        answers = model.answers(coordinates, seeds, np.arange(n))
        if answers.errors:
            raise refusal(model, answers.errors[min(answers.errors)])
        if campaign.block and not model.simulate_takes_rng and not campaign.global_rng:
            check_vectorized(model, coordinates, seeds, answers)
        if answers.log_likelihood is None or (answers.log_likelihood > -np.inf).any():
            return


def refusal(model: Model, error: BaseException) -> BaseException:
    """What to raise where the first call has failed."""
    if isinstance(error, KeyboardInterrupt):
        return error
    if isinstance(error, Failure):
        return SiderealError(str(error))
    refused = SiderealError(f"{model.running} raised {words_of(error)}")
    refused.__cause__ = error
    return refused


def check_vectorized(model: Model, coordinates: np.ndarray, seeds: np.ndarray, answers: Any) -> None:
    """A row's numbers must not depend on the rows beside it: the last row's, given n times, are what they were."""
    last = np.repeat(coordinates[-1:], len(coordinates), axis=0)
    alone = model.answers(last, seeds, np.arange(len(last)))
    if alone.errors:
        raise refusal(model, alone.errors[min(alone.errors)])
    for use, name in (("prior_transform", "theta"), ("simulate", "x"), ("log_likelihood", "log_likelihood")):
        if use not in model.functions:
            continue
        together, apart = getattr(answers, name)[-1], getattr(alone, name)[0]
        if not np.allclose(together, apart, rtol=1e-6, atol=1e-300, equal_nan=True):
            raise SiderealError(
                f"{use} gave {numbers(together)} for a row among {len(last)}, and {numbers(apart)} for the same row among "
                f"its copies, expected the same: with vectorized= it gets rows of theta, [block, parameters], and must "
                f"answer each by itself"
            )


def numbers(values: Any) -> str:
    return np.array2string(np.asarray(values), threshold=4, edgeitems=2, precision=6)


def hello_of(campaign: Campaign) -> dict[str, Any]:
    """What a child of this campaign is told."""
    observation = campaign.observation
    transformed = "prior_transform" in campaign.functions
    names = [name for name, is_taken in zip(campaign.names, campaign.of_model) if is_taken]
    return {
        "parameters": [f"u_{name}" for name in names] if transformed else names,
        "theta": list(campaign.names) if transformed else None,
        "n_data": n_data_of(campaign),
        "observed": None if observation is None else {"value": observation.value},
        "blobs": list(campaign.blobs),
        "block": campaign.block,
        "global_rng": campaign.global_rng,
    }


def n_data_of(campaign: Campaign) -> int:
    """How many numbers x has; 0 where there is none."""
    if "simulate" not in campaign.functions:
        return 0
    return campaign.n_data if campaign.observation is None else campaign.observation.value.size


def draws(campaign: Campaign, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the parameters that functions get from the prior, or of the unit cube where there is a prior transform;
    [n, parameters]."""
    if not campaign.priors:
        return rng.random((n, len(campaign.names)))
    theta = np.array([[prior.draw(rng) for prior in campaign.priors.values()] for _ in range(n)])
    return theta[:, campaign.of_model]


class ShapedModel(Model):
    """A model whose x must have the observation's own shape, but for dimensions of length 1."""

    def __init__(self, hello: dict[str, Any], functions: Mapping[str, Any], shape: tuple[int, ...]) -> None:
        super().__init__(hello, functions)
        self.shape = shape

    def data(self, value: Any, lead: tuple[int, ...]) -> np.ndarray:
        x = super().data(value, lead)
        found = x.shape[len(lead) :]
        if without_ones(found) != without_ones(self.shape):
            raise self.unexpected("simulate", f"x of shape {found}", f"that of x_obs, {self.shape}")
        return x


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
