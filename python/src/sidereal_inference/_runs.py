"""Where a call's campaign lies, and whether the same call has been there before.

A directory has `call.json` (what the call was), `model.pkl` (its functions), `campaign.toml` and `run/`, the campaign's own.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._campaign import Campaign
from ._errors import SiderealError
from ._fingerprint import OBJECT, changed
from ._functions import PICKLE, Functions

RUNS = "sidereal-runs"
RUN = "run"
RECORD = "call.json"
FORMAT = {"format": "sidereal-call", "version": 1}


def record_of(functions: Functions, campaign: Campaign) -> dict[str, Any]:
    """What makes a call another one: its functions and what is asked of them, but not when to stop or who works."""
    observation = campaign.observation
    # How many simulations a model for any observation is trained on is part of it.
    may_change = ("rounds", "workers") if campaign.n_data is None else ("workers",)
    settings = {
        "seed": campaign.seed,
        "priors": {name: list(prior.table()) for name, prior in campaign.priors.items()},
        "names": list(campaign.names),
        "periodic": sorted(campaign.periodic),
        "x_obs": None if observation is None else digest(observation.value),
        "x_err": None if observation is None or observation.sigma is None else digest(observation.sigma),
        "grid": None if observation is None else digest(observation.grid),
        "noise": {} if observation is None else observation.terms.table(),
        "vectorized": campaign.block,
        "blobs": list(campaign.blobs),
        "global_rng": campaign.global_rng,
        "options": {table: dict(keys) for table, keys in campaign.more.items() if table not in may_change},
    }
    record = {**FORMAT, "functions": functions.fingerprints(), "settings": settings}
    return json.loads(json.dumps(record))  # as it will be read back: tuples are lists


def settled(record: Mapping[str, Any], functions: Functions) -> dict[str, Any]:
    """The record of a call whose functions have been called since: what a call has changed, such as an object of parameters
    that it writes into, may be as it was before or as it is now."""
    now = functions.fingerprints()
    parts = {use: dict(parts) for use, parts in record["functions"].items()}
    for use, of_use in parts.items():
        for part in changed(of_use, now[use]):
            of_use[part] = [of_use.get(part), now[use].get(part)]
    return {**record, "functions": parts}


def is_same(recorded: Any, found: str | None) -> bool:
    """Whether a part of a function is as it was recorded."""
    return recorded == found or (isinstance(recorded, list) and found in recorded)


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two calls, in words: `log_likelihood (code, global y)`, `priors`."""
    words = []
    functions = dict.fromkeys((*before["functions"], *after["functions"]))
    for use in functions:
        recorded, found = before["functions"].get(use, {}), after["functions"].get(use, {})
        parts = [part for part in changed(recorded, found) if not is_same(recorded.get(part), found.get(part))]
        if parts:
            words.append(f"{use} ({', '.join(parts)})")
    return words + changed(before["settings"], after["settings"])


def advice(words: Sequence[str]) -> str:
    """What to do where an object that a function uses is not as it was."""
    if not any(f"{OBJECT} " in word for word in words):
        return ""
    return "; an object that a function writes into is a part of it: make it, or a copy of it, within the function"


@dataclass(frozen=True)
class Place:
    """A directory for a call's campaign; `note` says why a new one begins where there are others."""

    directory: Path
    is_new: bool
    note: str | None = None


def find_place(directory: str | os.PathLike[str] | None, name: str, record: Mapping[str, Any]) -> Place:
    """The directory of this call; `directory` None: `sidereal-runs/NAME-NUMBER`.

    The same call finds its own again. A directory that was asked for and has another call's campaign is refused.
    """
    if directory is None:
        return find_numbered(name, record)
    path = Path(directory)
    found = read_record(path)
    if found is None:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise SiderealError(
                f"dir: {path} has no {RECORD}, expected a new or empty directory, or that of a call like this"
            )
        return Place(path, is_new=True)
    words = differences(found, record)
    if words:
        raise SiderealError(
            f"dir: {path} has the campaign of another call, different in {', '.join(words)}; "
            f"expected the same call, or a new directory{advice(words)}"
        )
    return Place(path, is_new=False)


def find_numbered(name: str, record: Mapping[str, Any]) -> Place:
    path_by_number = {}
    for path in Path(RUNS).iterdir() if os.path.isdir(RUNS) else ():
        match = re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name)
        if match:
            path_by_number[int(match[1])] = path
    note = None
    new = Path(RUNS) / f"{name}-{max(path_by_number, default=0) + 1}"
    for _, path in sorted(path_by_number.items(), reverse=True):
        found = read_record(path)
        if found is None:
            continue
        words = differences(found, record)
        if not words:
            return Place(path, is_new=False)
        note = note or f"{', '.join(words)} changed since {path}: this is a new campaign, in {new}{advice(words)}"
    return Place(new, is_new=True, note=note)


def read_record(directory: Path) -> dict[str, Any] | None:
    """What the call was whose campaign is there; None where there is none that we can read."""
    try:
        record = json.loads((directory / RECORD).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or any(record.get(key) != value for key, value in FORMAT.items()):
        return None
    return record


def reused_call(path: Path, record: Mapping[str, Any]) -> tuple[Path, bytes | None]:
    """The campaign's own directory of an earlier call, found at its `dir` or in it, and its functions as stored; of a directory
    that no call has made, the same and None. Other functions than those of `record` are refused."""
    for directory in (path, path.parent):
        found = read_record(directory)
        if found is None or (directory == path.parent and path.name != RUN):
            continue
        settings = record["settings"]
        words = differences({**found, "settings": settings}, record)
        if words:
            raise SiderealError(
                f"reuse: {directory} has simulations of other functions, different in {', '.join(words)}{advice(words)}"
            )
        return directory / RUN, (directory / PICKLE).read_bytes()
    return path, None


def create(place: Place, record: Mapping[str, Any], pickle: bytes) -> None:
    """Makes the directory of a new call; its functions stay as they are from now on, byte for byte."""
    if place.note is not None:
        print(place.note, file=sys.stderr)
    place.directory.mkdir(parents=True, exist_ok=True)
    write(place.directory / PICKLE, pickle)
    write(place.directory / RECORD, json.dumps(record, indent=1).encode())


def write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
