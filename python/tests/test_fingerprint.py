"""Fingerprints of functions: the same in every process, and another one after every change that shows."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from sidereal_inference._fingerprint import changed, fingerprint, fingerprints

SCALE = 2.0


def plain(theta):
    return -SCALE * theta[0] if theta[0] in {"a", "b", "c"} else np.sum(theta)


def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)


class Star:
    def __init__(self, mass):
        self.mass = mass
        self.names = {"x", "y", "z"}

    def log_likelihood(self, theta):
        return -((theta[0] - self.mass) ** 2)


def make(offset):
    data = np.arange(5.0)

    def log_likelihood(theta, scale=1.0):
        return -scale * np.sum((data - theta[0] - offset) ** 2)

    return log_likelihood


SUBJECTS = {
    "plain": plain,
    "recursive": recursive,
    "closure": make(1.0),
    "method": Star(2.0).log_likelihood,
    "partial": functools.partial(plain, scale=3),
    "lambda": lambda theta: [theta[i] for i in range(3)],
    "class": Star,
    "numpy": np.linalg.inv,
    "ufunc": np.sin,
    "objects": np.array([{"a": 1}, None], dtype=object),
    "generator": np.random.default_rng(3),
}


def test_the_same_in_another_process_with_other_hashes():
    script = "import test_fingerprint as t\nfor n, s in t.SUBJECTS.items(): print(n, t.fingerprint(s))"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        output = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert dict(map(str.split, output.stdout.splitlines())) == {n: fingerprint(s) for n, s in SUBJECTS.items()}


def test_all_subjects_differ():
    assert len({fingerprint(subject) for subject in SUBJECTS.values()}) == len(SUBJECTS)


def define(source, **variables):
    variables["np"] = np
    exec(source, variables)
    return variables["f"]


SOURCE = "def f(theta, b=1):\n    return a * theta[0] + b"
CHANGES = [
    ("def f(theta, b=1):\n    return a * theta[0] + 2 * b", {"a": 1.0}, ["code"]),
    ("def f(theta, b=2):\n    return a * theta[0] + b", {"a": 1.0}, ["arguments"]),
    (SOURCE, {"a": 1.5}, ["global a"]),
    (SOURCE, {"a": np.ones(2)}, ["global a"]),
    (SOURCE, {"a": 1.0, "unused": 3}, []),
    ("\n\n# a comment\n" + SOURCE.replace("return", "# another\n    return"), {"a": 1.0}, []),
]


@pytest.mark.parametrize("source, variables, parts", CHANGES)
def test_what_has_changed_is_named(source, variables, parts):
    assert changed(fingerprints(define(SOURCE, a=1.0)), fingerprints(define(source, **variables))) == parts


def test_what_a_function_sets_itself_is_no_part_of_it():
    source = "def f(theta):\n    global n_calls\n    n_calls += 1\n    return -theta[0]"
    function = define(source, n_calls=0)
    before = fingerprints(function)
    function([1.0])
    assert function.__globals__["n_calls"] == 1
    assert fingerprints(function) == before


def test_a_function_that_a_function_calls_counts():
    inner = [define(f"def f(x):\n    return x + {n}") for n in (1, 2)]
    before, after = (fingerprints(define("def f(theta):\n    return g(theta)", g=g)) for g in inner)
    assert changed(before, after) == ["global g"]


def test_closures_and_instances_count():
    assert changed(fingerprints(make(1.0)), fingerprints(make(2.0))) == ["closure offset"]
    assert changed(fingerprints(Star(1.0).log_likelihood), fingerprints(Star(2.0).log_likelihood)) == ["object"]
    of_stars = [define("def f(theta):\n    return star.mass", star=Star(mass)) for mass in (1.0, 2.0)]
    assert changed(*map(fingerprints, of_stars)) == ["object star"]
