"""One call from a function to its posterior: `sample` and `fit`."""

import dataclasses
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ._binary import binary
from ._campaign import Campaign, Observation
from ._child import kind_of, n_arguments, numbers_of, words_of
from ._errors import NotToBeTrusted, SiderealError
from ._functions import Functions, call_once, kept_generators, take
from ._noise import terms_of
from ._priors import Fixed, Prior, as_number, as_priors, check_names, check_periodic
from ._process import NOT_TRUSTED, run
from ._result import Result, load
from ._runs import RUN, create, find_place, record_of, reused_call, settled, write
from ._samples import Samples

SIMULATIONS = 50_000
Directory = str | os.PathLike[str] | None
Earlier = Result | str | os.PathLike[str] | Sequence[Result | str | os.PathLike[str]]


def sample(
    log_likelihood: Callable[..., Any] | str,
    priors: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    prior_transform: Callable[..., Any] | str | None = None,
    names: Sequence[str] | None = None,
    periodic: Sequence[str] = (),
    n_eff: float | None = 2000,
    simulations: int = SIMULATIONS,
    vectorized: bool | int = False,
    blobs: Sequence[str] = (),
    workers: int | None = None,
    seed: int = 0,
    dir: Directory = None,
    reuse: Earlier = (),
    global_rng: bool = False,
    timeout: float = 600.0,
    setup_timeout: float = 300.0,
    progress: bool = True,
    listen: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Result:
    """The posterior and the evidence of a log-likelihood.

    log_likelihood
        A function of theta, an array of float64 with a number a parameter, that gives a float; -inf is a likelihood of zero.
        Or the place of one that can be imported, `"package.module:name"` or `"file.py:name"`.
    priors
        A prior by name, in the order of theta: `Uniform(low, high)`, `LogUniform`, `Normal(mean, sd)`, `TruncatedNormal`,
        `HalfNormal`, `LogNormal`, `Beta`, `Samples(path)`, `Fixed(value)`; also `(low, high)`, a number, or a frozen distribution of
        scipy.stats. Or a list of them, with `names`.
    prior_transform
        In place of `priors`: a function from the unit cube to theta, both arrays of a number a parameter. Needs `names`.
    periodic
        Parameters whose bounds are one and the same point, such as phases: of uniform priors, or coordinates of the cube.
    n_eff, simulations
        It stops at this effective sample size, or after that many calls of the function; `n_eff` None: after the calls.
    vectorized
        True where functions take `theta` of shape [256, parameters] and give as many answers; a number: that many rows.
    blobs
        Names of derived quantities: the function then gives `(value, derived)`, where `derived` is a dict, or numbers in
        this order.
    workers
        How many processes call the function; None: one a core.
    seed
        Of all randomness. The same call with the same seed gives the same draws.
    dir
        Where the campaign lies; None: `sidereal-runs/NAME-NUMBER`. The same call goes on where it was, or gives its result
        again; a changed function begins a new number.
    reuse
        Earlier results, or their directories, of the same functions: their simulations come first, weighed anew for other priors (or
        another `x_obs` and `x_err`), and no more are made as long as they are enough.
    global_rng
        Whether numpy's and Python's global generators are seeded before each call.
    timeout, setup_timeout
        Seconds after which a call of the function, or the start of its process, is given up.
    progress
        Whether there is a line a round on standard error; in notebooks one line that changes.
    listen
        Address and port at which workers of other machines may join, such as `"0.0.0.0:0"` (port 0: any free one); what to start
        there is said. They must see `dir`, and have the packages that functions need. None: nobody else joins.
    options
        Further keys of the campaign file by table, such as `{"flow": {"kind": "nsf"}}`.

    Before anything is started, the function is called here at a draw from the prior. Raises SiderealError where an argument
    or a function is unusable, and warns with NotToBeTrusted where the result is not to be trusted.
    """
    functions = take(given(log_likelihood=log_likelihood, prior_transform=prior_transform))
    campaign = campaign_of(
        functions,
        None,
        priors=priors,
        names=names,
        periodic=periodic,
        n_eff=n_eff,
        simulations=simulations,
        vectorized=vectorized,
        blobs=blobs,
        workers=workers,
        seed=seed,
        global_rng=global_rng,
        timeout=timeout,
        setup_timeout=setup_timeout,
        options=options,
    )
    return carry_out(functions, campaign, (), dir, progress, listen, reuse)


def fit(
    simulate: Callable[..., Any] | str,
    priors: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    x_obs: Any,
    x_err: Any = None,
    grid: Any = None,
    jitter: str | Mapping[str, str] | None = None,
    offset: str | Mapping[str, str] | None = None,
    instrument: Any = None,
    linear: Sequence[str] = (),
    log_likelihood: Callable[..., Any] | str | None = None,
    prior_transform: Callable[..., Any] | str | None = None,
    names: Sequence[str] | None = None,
    periodic: Sequence[str] = (),
    n_eff: float | None = 2000,
    simulations: int = SIMULATIONS,
    vectorized: bool | int = False,
    blobs: Sequence[str] = (),
    workers: int | None = None,
    seed: int = 0,
    dir: Directory = None,
    reuse: Earlier = (),
    global_rng: bool = False,
    timeout: float = 600.0,
    setup_timeout: float = 300.0,
    progress: bool = True,
    listen: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Result:
    """The posterior and the evidence of a simulator's parameters, from what was observed.

    simulate
        A function of theta that gives x without noise, of the shape of `x_obs`; or, with a `log_likelihood`, a function
        `simulate(theta, rng)` that draws noise of its own from a numpy Generator.
    x_obs
        What was observed: an array of shape [length] or [channels, length].
    x_err
        Standard deviations of its Gaussian noise, in the units of `x_obs`: an array of the same shape, or one number.
    grid
        Where it was observed (times, wavelengths), for plots and the check of the fit: an array of shape [length] or of
        that of `x_obs`; None: 0, 1, 2, ...
    jitter
        The name of a parameter whose square is added to that of `x_err`, or a dict of such names by instrument. Its prior
        is that of a number of 0 or more.
    offset
        The name of a parameter that is added to what `simulate` gives, or a dict of such names by instrument. Functions
        get neither these parameters nor those of the jitter: theta has the others, in their order.
    instrument
        What `jitter` and `offset` go by, one a datum: an array of shape [length] or of that of `x_obs`.
    linear
        Parameters with normal priors that x is linear in, such as fluxes, offsets and coefficients of a baseline: they are integrated
        out in closed form, so that they cost no simulations, and drawn given the others.
    log_likelihood
        In place of `x_err`: a function of theta and x_obs (of x's shape) that gives a float.

    All other arguments are those of `sample`.
    """
    functions = take(given(simulate=simulate, log_likelihood=log_likelihood, prior_transform=prior_transform))
    observation, shape = observation_of(x_obs, x_err, grid, log_likelihood is not None)
    if log_likelihood is None and n_arguments(functions.functions["simulate"]) > 1:
        raise SiderealError(
            "simulate takes rng and so draws noise of its own, expected a log_likelihood(theta, x_obs) in place of x_err"
        )
    if any(argument is not None for argument in (jitter, offset, instrument)):
        if log_likelihood is not None or prior_transform is not None:
            other = "log_likelihood" if log_likelihood is not None else "prior_transform"
            raise SiderealError(f"jitter and offset: found beside a {other}, expected x_err and priors")
        by_name, _, _ = parameters_of(functions, priors, names, periodic)
        terms = terms_of(jitter, offset, instrument, shape, list(by_name))
        observation = replace(observation, terms=terms)
    campaign = campaign_of(
        functions,
        observation,
        priors=priors,
        names=names,
        periodic=periodic,
        n_eff=n_eff,
        simulations=simulations,
        vectorized=vectorized,
        blobs=blobs,
        workers=workers,
        seed=seed,
        global_rng=global_rng,
        timeout=timeout,
        setup_timeout=setup_timeout,
        options=with_linear(linear, options),
    )
    return carry_out(functions, campaign, shape, dir, progress, listen, reuse)


def with_linear(
    linear: Sequence[str], options: Mapping[str, Mapping[str, Any]] | None
) -> Mapping[str, Mapping[str, Any]] | None:
    """Keys of the campaign file with those of linear parameters."""
    names = names_of(linear, "linear")
    if not names:
        return options
    options = options or {}
    return {**options, "likelihood": {**options.get("likelihood", {}), "linear": names}}


def train(
    simulate: Callable[..., Any],
    priors: Sequence[Any],
    *,
    simulations: int,
    names: Sequence[str],
    periodic: Sequence[str],
    workers: int,
    seed: int,
    x_err: Any = None,
    noise: Callable[..., Any] | None = None,
    log_likelihood: Callable[..., Any] | None = None,
    global_rng: bool = False,
) -> tuple[Result, tuple[int, ...]]:
    """A network for any observation, from simulations of the prior, and the shape of x. For front ends.

    x_err
        Standard deviations of the Gaussian noise, of x's shape or one number.
    noise
        In its place a function of x, theta and rng, by the global generators, that gives x with noise, drawn anew in each
        epoch.
    log_likelihood
        Where the noise is not `x_err`; nothing asks for it.
    """
    functions = take(given(simulate=simulate, log_likelihood=log_likelihood, noise=noise))
    x = first_x(simulate, priors, names, seed)
    shape = x.shape
    more: dict[str, Any] = {"rounds": {"max": 1, "simulations": whole(simulations, "simulations", 1)}}
    if x_err is not None:
        sigma = observation_of(x, x_err, None, has_likelihood=False)[0].sigma
        is_constant = (sigma == sigma[0]).all()
        more["noise"] = {"gaussian": {"sigma": float(sigma[0]) if is_constant else {"table": [sigma.tolist()]}}}
    campaign = campaign_of(
        functions,
        None,
        priors=priors,
        names=names,
        periodic=periodic,
        n_eff=None,
        simulations=simulations,
        vectorized=False,
        blobs=(),
        workers=workers,
        seed=seed,
        global_rng=global_rng,
        timeout=600.0,
        setup_timeout=300.0,
        options=more,
    )
    campaign = dataclasses.replace(campaign, n_data=int(np.prod(shape)), stop={})
    return carry_out(functions, campaign, shape, None, True), shape


def first_x(simulate: Callable[..., Any], priors: Sequence[Any], names: Sequence[str], seed: int) -> np.ndarray:
    """What a simulator gives for a draw of the prior."""
    rng = np.random.default_rng(seed)
    theta = np.array([prior.draw(rng) for prior in as_priors(priors, names).values()])
    try:
        with kept_generators():
            x = simulate(theta)
    except Exception as error:
        raise SiderealError(f"simulate raised {words_of(error)}") from error
    return array_of(x, "x of simulate")


def draw(directory: str | os.PathLike[str] | Result, n: int | None = None, **options: Any) -> Any:
    """More draws of a finished campaign's posterior, without training: `Result.draw` of the result in a directory."""
    result = directory if isinstance(directory, Result) else load(directory)
    return result.draw(n, **options)


def given(**functions: Any) -> dict[str, Any]:
    """The functions that there are, in the order in which they are called."""
    return {use: function for use, function in functions.items() if function is not None}


def campaign_of(
    functions: Functions,
    observation: Observation | None,
    *,
    priors: Any,
    names: Sequence[str] | None,
    periodic: Sequence[str],
    n_eff: float | None,
    simulations: int,
    vectorized: bool | int,
    blobs: Sequence[str],
    workers: int | None,
    seed: int,
    global_rng: bool,
    timeout: float,
    setup_timeout: float,
    options: Mapping[str, Mapping[str, Any]] | None,
) -> Campaign:
    """Checks arguments that `sample` and `fit` have in common, and puts them together."""
    by_name, names, periodic = parameters_of(functions, priors, names, periodic)
    blobs = names_of(blobs, "blobs")
    check_names([*names, *blobs], "blobs")
    if observation is not None and "x" in [*names, *blobs]:
        raise SiderealError("names: 'x' is the column of simulated data, expected another name")
    stop: dict[str, float] = {} if n_eff is None else {"n_eff": more_than_zero(n_eff, "n_eff")}
    stop["simulations"] = whole(simulations, "simulations", 1)
    return Campaign(
        name=name_of(functions),
        seed=whole(seed, "seed", 0),
        functions=functions.campaign_places(),
        priors=by_name,
        names=names,
        periodic=periodic,
        observation=observation,
        vectorized=vectorized if isinstance(vectorized, bool) else whole(vectorized, "vectorized", 1),
        blobs=blobs,
        global_rng=bool(global_rng),
        timeout=more_than_zero(timeout, "timeout"),
        setup_timeout=more_than_zero(setup_timeout, "setup_timeout"),
        stop=stop,
        workers=None if workers is None else whole(workers, "workers", 1),
        python=sys.executable,
        more=options or {},
    )


def parameters_of(
    functions: Functions, priors: Any, names: Sequence[str] | None, periodic: Sequence[str]
) -> tuple[dict[str, Prior], list[str], list[str]]:
    """Priors by name (none with a prior transform), names of theta, and which are periodic."""
    names = None if names is None else names_of(names, "names")
    periodic = names_of(periodic, "periodic")
    if "prior_transform" not in functions.functions:
        if priors is None:
            raise SiderealError("priors: missing, expected priors, or a prior_transform with names")
        by_name = as_priors(priors, names)
        check_periodic(periodic, by_name)
        if all(isinstance(prior, Fixed) for prior in by_name.values()):
            raise SiderealError("priors: all parameters are fixed, expected one at least that is not")
        return by_name, list(by_name), periodic
    if priors is not None:
        raise SiderealError("priors: found beside a prior_transform, expected one of them")
    if not names:
        raise SiderealError("names: missing, expected a name for each number that prior_transform gives")
    check_names(names, "names")
    for name in periodic:
        if name not in names:
            raise SiderealError(f"periodic: found {name!r}, expected some of names: {', '.join(names)}")
    return {}, names, periodic


def observation_of(x_obs: Any, x_err: Any, grid: Any, has_likelihood: bool) -> tuple[Observation, tuple[int, ...]]:
    """The observation row by row, and its shape."""
    value = array_of(x_obs, "x_obs")
    if value.ndim not in (1, 2) or value.size == 0:
        raise SiderealError(f"x_obs: found shape {value.shape}, expected [length] or [channels, length]")
    if (x_err is None) != has_likelihood:
        found = "missing" if x_err is None else "found beside a log_likelihood"
        raise SiderealError(f"x_err: {found}, expected standard deviations of x_obs, or a log_likelihood(theta, x_obs)")
    sigma = None
    if x_err is not None:
        sigma = array_of(x_err, "x_err")
        if sigma.shape not in ((), value.shape):
            raise SiderealError(
                f"x_err: found shape {sigma.shape}, expected that of x_obs, {value.shape}, or one number"
            )
        if not (sigma > 0).all():
            raise SiderealError(f"x_err: found {sigma.min()}, expected more than 0")
        sigma = np.broadcast_to(sigma, value.shape).reshape(-1)
    if grid is None:
        grid = np.arange(float(value.size))
    else:
        grid = array_of(grid, "grid")
        if grid.shape not in (value.shape, value.shape[-1:]):
            raise SiderealError(f"grid: found shape {grid.shape}, expected that of x_obs, {value.shape}, or [length]")
        grid = np.broadcast_to(grid, value.shape).reshape(-1)
    return Observation(value.reshape(-1), grid, sigma), value.shape


def array_of(value: Any, name: str) -> np.ndarray:
    array = numbers_of(value)
    if array is None:
        raise SiderealError(f"{name}: found {kind_of(value)}, expected an array of numbers")
    if not np.isfinite(array).all():
        raise SiderealError(f"{name}: found {array[~np.isfinite(array)][0]}, expected finite numbers")
    return array


def names_of(names: Any, argument: str) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise SiderealError(f"{argument}: found {names!r}, expected a list of names")
    return list(names)


def whole(value: Any, name: str, least: int) -> int:
    number = as_number(value)
    if number is None or not number.is_integer() or number < least:
        raise SiderealError(f"{name}: found {value!r}, expected a whole number of {least} or more")
    return int(value)


def more_than_zero(value: Any, name: str) -> float:
    number = as_number(value)
    if number is None or not 0 < number < float("inf"):
        raise SiderealError(f"{name}: found {value!r}, expected a number above 0")
    return value


def name_of(functions: Functions) -> str:
    """What the campaign is called: the name of the function that its call was about, or its use where that has none."""
    use = "simulate" if "simulate" in functions.functions else "log_likelihood"
    function = functions.functions[use]
    while hasattr(function, "func"):
        function = function.func
    name = re.sub(r"\W", "_", getattr(function, "__name__", type(function).__name__), flags=re.ASCII)
    return name if name[0].isalpha() else use


def reused(reuse: Earlier, record: Mapping[str, Any]) -> tuple[list[Path], bytes | None]:
    """Directories of campaigns whose simulations come first, and their functions as they were stored: the same functions are
    other bytes each time."""
    one = isinstance(reuse, Result | str | os.PathLike)
    runs, pickle = [], None
    for earlier in [reuse] if one else reuse:
        path = earlier.dir if isinstance(earlier, Result) else Path(earlier)
        run, stored = reused_call(path, record)
        runs.append(run)
        pickle = stored if pickle is None else pickle
    return runs, pickle


def carry_out(
    functions: Functions,
    campaign: Campaign,
    shape: tuple[int, ...],
    directory: Directory,
    progress: bool,
    listen: str | None = None,
    reuse: Earlier = (),
) -> Result:
    """Runs the campaign, or goes on with it where the same call was there before."""
    command = binary()  # what is missing is told before anything is written
    record = record_of(functions, campaign)
    earlier, earlier_pickle = reused(reuse, record)
    place = find_place(directory, campaign.name, record)
    if place.is_new:
        pickle = functions.pickle() if earlier_pickle is None else earlier_pickle
        call_once(functions, campaign, shape)
        create(place, settled(record, functions), pickle)
    for prior in campaign.priors.values():
        if isinstance(prior, Samples):
            write(place.directory / prior.file_name, prior.content)
    file = place.directory / "campaign.toml"
    write(file, campaign.toml().encode())
    run_directory = place.directory / RUN
    arguments = ["fit", str(file), "--out", str(run_directory), "--json"]
    if earlier:
        arguments += ["--from", *map(str, earlier)]
    if listen is not None:
        arguments += ["--listen", listen]
        words = shlex.join([command, "worker", "--campaign", str(run_directory.resolve()), "--python", sys.executable])
        print(f"on other machines that see {place.directory.resolve()}: {words}", file=sys.stderr)
    status = run(arguments, progress)
    result = Result(run_directory)
    if status == NOT_TRUSTED:
        warnings.warn(NotToBeTrusted(f"{run_directory}: {'; '.join(result.reasons)}"), stacklevel=3)
    return result
