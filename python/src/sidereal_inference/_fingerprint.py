"""What a function does, as a digest that is the same in every process: code, constants, and what it has captured.

The bytes of a pickle will not do: they go by files, lines, and the order in which things were made. Functions of
installed packages count by name and version; functions of the user's own modules by their code.
"""

import dis
import functools
import hashlib
import sys
import types
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import cloudpickle
import numpy as np

from ._child import is_installed, is_ours_or_pythons

OBJECT = "object"


def fingerprints(function: Any) -> dict[str, str]:
    """Digests of a function by part, so that people can be told which one has changed.

    Parts are `code`, `arguments` (the defaults), `global NAME` and `closure NAME`, and `object NAME` in place of these where that
    is an instance of a class; of what is no function of Python there is one part, `object`.
    """
    if not isinstance(function, types.FunctionType):
        return {"object": fingerprint(function)}
    parts = {"code": digest(code_words(function.__code__))}
    for kind, name, value in captured(function):
        parts[f"{OBJECT if is_object(value) else kind} {name}".rstrip()] = fingerprint(value)
    return parts


def is_object(value: Any) -> bool:
    """Whether it may be written into by what it is used in without anybody saying so."""
    plain = (types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType, type, functools.partial)
    data = (bool, int, float, complex, str, bytes, np.ndarray, np.generic, list, tuple, set, frozenset, dict)
    return (
        value is not None
        and not isinstance(value, (*plain, *data))
        and not callable(getattr(value, "__wrapped__", None))
    )


def fingerprint(value: Any) -> str:
    """A digest of a value and of everything that it refers to."""
    return Walk().digest(value)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The parts that differ."""
    return [part for part in dict.fromkeys((*before, *after)) if before.get(part) != after.get(part)]


def captured(function: types.FunctionType) -> list[tuple[str, str, Any]]:
    """Kind, name and value of what a function uses beyond its arguments, but for what it sets itself, such as a counter."""
    set_by_itself = names_set(function.__code__)
    found: list[tuple[str, str, Any]] = []
    if function.__defaults__ or function.__kwdefaults__:
        found.append(("arguments", "", (function.__defaults__, function.__kwdefaults__)))
    for name in sorted(global_names(function.__code__) - set_by_itself):
        if name in function.__globals__:
            found.append(("global", name, function.__globals__[name]))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        if name in set_by_itself:
            continue
        try:
            found.append(("closure", name, cell.cell_contents))
        except ValueError:
            found.append(("closure", name, None))  # not yet set
    return found


def names_set(code: types.CodeType) -> set[str]:
    names = {one.argval for one in dis.get_instructions(code) if one.opname in ("STORE_GLOBAL", "STORE_DEREF")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_set(constant)
    return names - set(code.co_cellvars)


def global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= global_names(constant)
    return names


def code_words(code: types.CodeType) -> tuple[Any, ...]:
    """What a code object does, without where it stands."""
    constants = tuple(
        code_words(one)
        if isinstance(one, types.CodeType)
        else ("set", *sorted(map(repr, one)))
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    )
    variables = (code.co_varnames, code.co_names, code.co_freevars, code.co_cellvars)
    return (
        code.co_code,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        *variables,
        constants,
    )


def digest(words: Any) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


class Walk:
    """One walk through what a value refers to; what has been met stands for itself by its number."""

    def __init__(self) -> None:
        self.number_by_id: dict[int, int] = {}
        self.kept: list[Any] = []  # an id is its object's own only while that lives

    def digest(self, value: Any) -> str:
        return digest(self.words(value))

    def words(self, value: Any) -> Any:
        """Something whose repr says what the value is."""
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, type(Ellipsis))):
            return repr(value)
        if id(value) in self.number_by_id:
            return "met", self.number_by_id[id(value)]
        self.number_by_id[id(value)] = len(self.number_by_id)
        self.kept.append(value)
        return type(value).__name__, self.inner(value)

    def inner(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, np.ndarray) and value.dtype != object:
            return value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        if isinstance(value, (list, tuple)):
            return [self.words(one) for one in value]
        if isinstance(value, (set, frozenset)):
            return sorted(fingerprint(one) for one in value)
        if isinstance(value, dict):
            return [(self.words(key), self.words(one)) for key, one in value.items()]
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, types.MethodType):
            return self.words(value.__func__), self.words(value.__self__)
        if isinstance(value, functools.partial):
            return self.words(value.func), self.words(value.args), self.words(value.keywords)
        if isinstance(value, type):
            return self.of_class(value)
        if isinstance(value, types.BuiltinFunctionType):
            return value.__module__, value.__qualname__
        return self.instance(value)

    def function(self, function: types.FunctionType) -> Any:
        if is_a_librarys(function.__code__.co_filename):
            return by_name(function)
        parts = [(kind, name, self.words(value)) for kind, name, value in captured(function)]
        return code_words(function.__code__), parts

    def of_class(self, value: type) -> Any:
        file = getattr(sys.modules.get(value.__module__), "__file__", None)
        if value.__module__ == "builtins" or (file is not None and is_a_librarys(file)):
            return by_name(value)
        members = {
            name: one
            for name, one in vars(value).items()
            if not (name.startswith("__") and not callable(one)) and name != "__weakref__"
        }
        return value.__qualname__, self.words(value.__bases__), self.words(members)

    def instance(self, value: Any) -> Any:
        wrapped = getattr(value, "__wrapped__", None)  # jit and such, whose own state tells nothing
        if callable(wrapped):
            return by_name(type(value)), self.words(wrapped)
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            return hashlib.sha256(pickled(value)).hexdigest()
        if isinstance(reduced, str):
            return reduced
        made_of = [one for one in reduced if one is not None]
        return self.words(type(value)), [self.words(list(one) if is_iterator(one) else one) for one in made_of]


def is_iterator(value: Any) -> bool:
    return hasattr(value, "__next__")


def pickled(value: Any) -> bytes:
    """What nothing else is known of; empty where that cannot be pickled either."""
    try:
        return cloudpickle.dumps(value)
    except Exception:
        return b""


def is_a_librarys(filename: str) -> bool:
    return is_ours_or_pythons(filename) or is_installed(filename)


def by_name(value: Any) -> tuple[str, ...]:
    """Name and version of what an installed package holds."""
    module = getattr(value, "__module__", None) or ""
    package = module.split(".")[0]
    try:
        version = metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):
        version = ""
    return module, getattr(value, "__qualname__", repr(value)), version
