"""nbi's functions as those of a model, in a module of their own that processes of models can import."""

import concurrent.futures
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np


def with_noise(simulator: Callable[..., Any], noise: Callable[..., Any], theta: np.ndarray) -> np.ndarray:
    """x with the noise of nbi's function, which may change its shape, but not the parameters."""
    x, y = noise(np.asarray(simulator(theta)), theta.copy())
    if not np.array_equal(y, theta):
        raise ValueError(f"noise gave parameters {np.asarray(y)}, expected those it was given, {theta}")
    return x


def anew(noise: Callable[..., Any], shape: tuple[int, ...], x: np.ndarray, theta: np.ndarray, rng: Any) -> np.ndarray:
    """What nbi's function of noise makes of the numbers of x, which has `shape`; it goes by numpy's global generator."""
    return with_noise(lambda _: x.reshape(shape), noise, theta)


def no_likelihood(theta: np.ndarray) -> float:
    """Of a model that is trained for any observation: nobody asks for it."""
    return 0.0


def log_like_of_path(
    simulator: Callable[..., Any], log_like: Callable[..., Any], x_obs: np.ndarray, theta: np.ndarray
) -> float:
    """nbi's log-likelihood of parameters, which is told of x by the path of a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "0.npy")
        np.save(path, simulator(theta))
        return log_like(x_obs, path, theta)


def gaussian(simulator: Callable[..., Any], x_obs: np.ndarray, x_err: np.ndarray, theta: np.ndarray) -> float:
    """The log-likelihood of independent Gaussian noise, but for a constant."""
    residuals = (np.asarray(simulator(theta)).reshape(x_obs.shape) - x_obs) / x_err
    return -0.5 * float(np.sum(residuals**2))


def outcomes(function: Callable[[np.ndarray], float], thetas: np.ndarray, n_jobs: int) -> np.ndarray:
    """The function of each row; NaN, said, where it raises. In processes where `n_jobs` is more than 1."""
    n_jobs = min(n_jobs, os.cpu_count() or 1, len(thetas))
    if n_jobs <= 1:
        answers = [outcome(function, theta) for theta in thetas]
    else:
        pickled = cloudpickle.dumps(function)
        parts = np.array_split(thetas, n_jobs)
        with concurrent.futures.ProcessPoolExecutor(n_jobs, multiprocessing.get_context("fork")) as pool:
            answers = [one for part in pool.map(outcomes_of_pickled, [pickled] * n_jobs, parts) for one in part]
    errors = [words for _, words in answers if words is not None]
    if errors:
        print(f"{len(errors)} of {len(thetas)} simulations failed and weigh nothing: {errors[0]}", file=sys.stderr)
    return np.array([value for value, _ in answers])


def outcomes_of_pickled(function: bytes, thetas: np.ndarray) -> list[tuple[float, str | None]]:
    loaded = cloudpickle.loads(function)
    return [outcome(loaded, theta) for theta in thetas]


def outcome(function: Callable[[np.ndarray], float], theta: np.ndarray) -> tuple[float, str | None]:
    try:
        return float(function(theta.copy())), None
    except Exception as error:
        return float("nan"), f"{type(error).__name__}: {error}"
