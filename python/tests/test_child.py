"""The child of docs/children.md: what it answers, and how it ends."""

import os
import signal
import time

import numpy as np
import pytest

from parent import Parent, seed_of

GONE_WITHIN_S = 5.0


def generator(row):
    return np.random.Generator(np.random.Philox(key=np.frombuffer(seed_of(row), dtype="<u8")))


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids):
    end = time.monotonic() + GONE_WITHIN_S
    while any(map(is_alive, pids)):
        assert time.monotonic() < end, "the child lives on"
        time.sleep(0.02)


def test_a_log_likelihood_row_by_row(start):
    parent = start("def log_likelihood(theta):\n    return -theta[0] - 10 * theta[1]\n")
    assert parent.ready()["program"].startswith("Python 3.")
    assert parent.ask([[1, 2], [3, 4]], row_ids=[7, 9]) == {
        "row_id": [7, 9],
        "log_likelihood": [-21.0, -43.0],
        "status": [0, 0],
        "message": [None, None],
    }
    assert parent.ask(np.empty((0, 2))) == {"row_id": [], "log_likelihood": [], "status": [], "message": []}


def test_x_and_its_likelihood_after_a_prior_transform(start):
    parent = start(
        """
        import numpy as np

        def prior_transform(u):
            return 10 * u

        def simulate(theta):
            return np.outer([1, 2], theta)

        def log_likelihood(theta, x_obs):
            assert x_obs.shape == (2, 2)
            return x_obs.sum() + theta[1]
        """,
        parameters=["u_a", "u_b"],
        theta=["a", "b"],
        n_data=4,
        observed={"grid": [0, 1, 2, 3], "value": [1, 2, 3, 4], "sigma": []},
    )
    parent.ready()
    assert parent.ask([[0.5, 0.25]]) == {
        "row_id": [0],
        "x": [[5.0, 2.5, 10.0, 5.0]],
        "log_likelihood": [12.5],
        "a": [5.0],
        "b": [2.5],
        "status": [0],
        "message": [None],
    }


FAILURES = [
    ("raise ValueError('no such star')", 1, "ValueError: no such star (model.py, line 6, in log_likelihood)"),
    ("raise ValueError('two\\n lines')", 1, "ValueError: two lines (model.py, line 6, in log_likelihood)"),
    ("np.linalg.inv(np.zeros((2, 2)))", 1, "LinAlgError: Singular matrix (model.py, line 6, in log_likelihood)"),
    ("raise MemoryError", 2, "MemoryError (model.py, line 6, in log_likelihood)"),
    ("raise SystemExit(3)", 1, "SystemExit: 3 (model.py, line 6, in log_likelihood)"),
    ("sys.exit('enough')", 1, "SystemExit: enough (model.py, line 6, in log_likelihood)"),
    ("raise KeyboardInterrupt", 1, "KeyboardInterrupt (model.py, line 6, in log_likelihood)"),
    ("return np.nan", 1, "log_likelihood gave nan, expected a number or -inf (model.py, line 5, in log_likelihood)"),
    ("return np.inf", 1, "log_likelihood gave inf, expected a number or -inf (model.py, line 5, in log_likelihood)"),
    ("return None", 1, "log_likelihood gave None, expected a number (model.py, line 5, in log_likelihood)"),
    ("return '1.5'", 1, "log_likelihood gave '1.5', expected a number (model.py, line 5, in log_likelihood)"),
    ("return 1j", 1, "log_likelihood gave 1j, expected a number (model.py, line 5, in log_likelihood)"),
    (
        "return np.zeros(3)",
        1,
        "log_likelihood gave ndarray of shape (3,), expected a number (model.py, line 5, in log_likelihood)",
    ),
    ("return {}", 1, "log_likelihood gave a dict, expected a number (model.py, line 5, in log_likelihood)"),
]


@pytest.mark.parametrize("statement, status, message", FAILURES)
def test_a_row_that_fails_leaves_its_neighbours(start, statement, status, message):
    parent = start(
        f"import sys\nimport numpy as np\n\n\ndef log_likelihood(theta):\n    if theta[0] == 1: {statement}\n    return -2.0\n"
    )
    parent.ready()
    assert parent.ask([[0, 0], [1, 0], [0, 0]]) == {
        "row_id": [0, 1, 2],
        "log_likelihood": [-2.0, None, -2.0],
        "status": [0, status, 0],
        "message": [None, message, None],
    }


def test_the_line_told_is_the_users_own(start, tmp_path):
    (tmp_path / "orbits.py").write_text("import numpy as np\n\n\ndef solve(m):\n    return np.linalg.inv(m)\n")
    parent = start(
        "import numpy as np\nimport orbits\n\ndef log_likelihood(theta):\n    return orbits.solve(np.zeros((2, 2)))\n"
    )
    parent.ready()
    assert parent.ask([[0, 0]])["message"] == ["LinAlgError: Singular matrix (orbits.py, line 5, in solve)"]


def test_likelihoods_of_zero(start):
    parent = start("def log_likelihood(theta):\n    return theta[0]\n")
    parent.ready()
    assert parent.ask([[-np.inf, 0], [-1e300, 0], [-1e289, 0]])["log_likelihood"] == [-np.inf, -np.inf, -1e289]
    assert parent.ask([[-1e301, 0]])["status"] == [0]
    assert parent.line() == "log-likelihoods under -1e+290 are taken for -inf"
    parent.process.stdin.close()
    assert parent.line() is None, "it is said once"


NUMBERS = ["np.float32(-1.5)", "np.array(-1.5)", "np.array([[-1.5]])", "-1.5"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_any_kind(start, number):
    parent = start(f"import numpy as np\ndef log_likelihood(theta):\n    return {number}\n")
    parent.ready()
    assert parent.ask([[0, 0]])["log_likelihood"] == [-1.5]


BAD_DATA = [
    ("np.zeros(2)", "simulate gave x of shape (2,), expected 3 numbers (model.py, line 2, in simulate)"),
    (
        "np.array([0, np.nan, np.inf])",
        "simulate gave nan in x[1], expected finite numbers (model.py, line 2, in simulate)",
    ),
    ("None", "simulate gave None, expected 3 numbers (model.py, line 2, in simulate)"),
    ("[1, [2, 3]]", "simulate gave a list, expected 3 numbers (model.py, line 2, in simulate)"),
]


@pytest.mark.parametrize("data, message", BAD_DATA)
def test_data_of_another_shape_or_not_finite(start, data, message):
    parent = start(f"import numpy as np\ndef simulate(theta):\n    return {data}\n", n_data=3)
    parent.ready()
    assert parent.ask([[0, 0]]) == {"row_id": [0], "x": [[0.0, 0.0, 0.0]], "status": [1], "message": [message]}


def test_theta_of_a_prior_transform_must_be_finite(start):
    parent = start(
        "def prior_transform(u):\n    return [u[0], float('nan')]\n\ndef log_likelihood(theta):\n    raise ValueError\n",
        theta=["a", "b"],
    )
    parent.ready()
    assert parent.ask([[0, 0]]) == {
        "row_id": [0],
        "log_likelihood": [None],
        "a": [0.0],
        "b": [0.0],
        "status": [1],
        "message": ["prior_transform gave nan for b, expected a finite number (model.py, line 1, in prior_transform)"],
    }


def test_theta_is_the_functions_own(start):
    parent = start(
        """
        def simulate(theta):
            theta *= 2
            return theta

        def log_likelihood(theta, x_obs):
            theta += x_obs
            x_obs[:] = 0
            return theta[0]
        """,
        n_data=2,
        observed={"grid": [], "value": [100, 100], "sigma": []},
    )
    parent.ready()
    for _ in range(2):
        answers = parent.ask([[1, 2], [3, 4]])
        assert answers["x"] == [[2.0, 4.0], [6.0, 8.0]]
        assert answers["log_likelihood"] == [101.0, 103.0]


def test_whatever_is_printed_goes_to_standard_error(start):
    parent = start(
        """
        import ctypes, os, sys

        libc = ctypes.CDLL(None)
        print("at the import")

        def log_likelihood(theta):
            print("print", theta[0])
            libc.puts(b"puts")
            os.system("echo system")
            os.write(1, b"write\\n")
            assert sys.stdin.read() == ""
            return -1.0
        """
    )
    parent.ready()
    assert parent.ask([[5, 0]])["status"] == [0]
    assert [parent.line() for _ in range(5)] == ["at the import", "print 5.0", "puts", "system", "write"]


def test_a_fork_answers_nothing(start):
    parent = start(
        """
        import os

        def log_likelihood(theta):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            return float(child > 0)
        """
    )
    parent.ready()
    for _ in range(3):
        assert parent.ask([[0, 0]])["log_likelihood"] == [1.0]


ENDS = [("os._exit(9)", 9), ("os.kill(os.getpid(), signal.SIGKILL)", -9), ("ctypes.string_at(0)", -11)]


@pytest.mark.parametrize("statement, status", ENDS)
def test_a_model_that_kills_itself(start, statement, status):
    parent = start(f"import ctypes, os, signal\ndef log_likelihood(theta):\n    {statement}\n")
    parent.ready()
    parent.send(parent.batch([[0, 0]]))
    assert parent.process.wait(timeout=20) == status
    if status == -11:
        lines = [parent.line() for _ in range(8)]
        assert "Fatal Python error: Segmentation fault" in lines
        assert any(line.endswith('model.py", line 3 in log_likelihood') for line in lines if line)


HANGS = [
    "while True: pass",
    "time.sleep(1000)",
    "subprocess.run(['sleep', '1000'])",
    "os.fork(); time.sleep(1000)",
    "ctypes.PyDLL(None).sleep(1000)",
]


@pytest.mark.parametrize("statement", HANGS)
def test_the_end_of_requests_ends_child_and_grandchildren_in_the_middle_of_a_row(start, statement):
    parent = start(
        f"import ctypes, os, subprocess, time\ndef log_likelihood(theta):\n    print('begun', flush=True)\n    {statement}\n"
    )
    parent.ready()
    parent.send(parent.batch([[0, 0]]))
    assert parent.line() == "begun"
    time.sleep(0.2)
    group = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if group_of(pid) == parent.process.pid]
    assert parent.process.pid in group
    parent.process.stdin.close()
    assert parent.process.wait(timeout=GONE_WITHIN_S) == -signal.SIGKILL
    wait_until_gone(group)


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize("statement", ["while True: pass", "ctypes.PyDLL(None).sleep(1000)"])
def test_no_child_outlives_a_parent_that_is_killed(tmp_path, statement):
    (tmp_path / "model.py").write_text(
        f"import ctypes\ndef log_likelihood(theta):\n    print('begun')\n    {statement}\n"
    )
    ours, theirs = os.pipe()
    middle = os.fork()
    if middle == 0:
        parent = Parent({"log_likelihood": f"{tmp_path}/model.py:log_likelihood"})
        parent.ready()
        parent.send(parent.batch([[0, 0]]))
        parent.line()
        os.write(theirs, b"%d\n" % parent.process.pid)
        signal.pause()
    child = int(os.read(ours, 20))
    group = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if group_of(pid) == child]
    assert len(group) == 2 and is_alive(child)
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    wait_until_gone(group)


def test_what_watches_is_no_child_of_the_models(start):
    parent = start(
        """
        import os

        def log_likelihood(theta):
            try:
                os.wait()
            except ChildProcessError:
                return -1.0
        """
    )
    parent.ready()
    assert parent.ask([[0, 0]])["log_likelihood"] == [-1.0]


def test_an_import_that_hangs_ends_too(start):
    parent = start("print('begun')\nwhile True: pass\ndef log_likelihood(theta): pass\n")
    assert parent.line() == "begun"
    parent.process.stdin.close()
    assert parent.process.wait(timeout=GONE_WITHIN_S) == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_for_the_worker_do_not_end_its_children(start, number):
    parent = start(
        """
        import os, signal, subprocess

        def log_likelihood(theta):
            child = os.fork()
            if child == 0:
                signal.pause()
            os.kill(child, signal.SIGTERM)
            assert os.waitpid(child, 0)[1] == signal.SIGTERM
            return -1.0
        """
    )
    parent.ready()
    os.kill(parent.process.pid, number)
    assert parent.ask([[0, 0]])["message"] == [None], "what it forks obeys signals as ever"


def test_batches_of_more_than_a_pipe_holds_both_ways(start):
    parent = start("import numpy as np\ndef simulate(theta):\n    return np.full(100, theta[0])\n", n_data=100)
    parent.ready()
    n = 20_000
    rows = np.arange(2.0 * n).reshape(n, 2)
    for _ in range(3):
        parent.send(parent.batch(rows))
    for _ in range(3):
        answers = parent.receive()
        x = answers.column("x").flatten().to_numpy().reshape(n, 100)
        assert (x == rows[:, :1]).all()
        assert answers.column("row_id").to_pylist() == list(range(n))


DERIVED = [
    ('(-1.0, {"radius": 3, "mass": 2, "other": 0})', [2.0], [3.0]),
    ("(-1.0, (2, 3))", [2.0], [3.0]),
    ("(-1.0, np.array([2, 3]))", [2.0], [3.0]),
    ("(-np.inf, (np.nan, None))", [None], [None]),
]


@pytest.mark.parametrize("answer, mass, radius", DERIVED)
def test_derived_quantities(start, answer, mass, radius):
    parent = start(f"import numpy as np\ndef log_likelihood(theta):\n    return {answer}\n", blobs=["mass", "radius"])
    parent.ready()
    answers = parent.ask([[0, 0]])
    assert (answers["status"], answers["mass"], answers["radius"]) == ([0], mass, radius)


def test_one_derived_quantity_needs_no_list(start):
    parent = start("def log_likelihood(theta):\n    return -1.0, theta[0]\n", blobs=["mass"])
    parent.ready()
    assert parent.ask([[4, 0]])["mass"] == [4.0]


BAD_DERIVED = [
    ("-1.0", "-1.0, expected (value, derived) with derived quantities mass, radius"),
    ('(-1.0, {"mass": 1})', "derived quantities without radius, expected all of mass, radius"),
    ("(-1.0, [1])", "1 derived quantities, expected 2: mass, radius"),
    ("(-1.0, 1)", "1 derived quantities, expected 2: mass, radius"),
    ("(-1.0, [1, 'big'])", "'big' for radius, expected a number"),
    ("(-1.0, [1, float('nan')])", "nan for radius, expected a number"),
]


@pytest.mark.parametrize("answer, words", BAD_DERIVED)
def test_derived_quantities_that_are_none(start, answer, words):
    parent = start(f"def log_likelihood(theta):\n    return {answer}\n", blobs=["mass", "radius"])
    parent.ready()
    assert parent.ask([[0, 0]]) == {
        "row_id": [0],
        "log_likelihood": [None],
        "mass": [None],
        "radius": [None],
        "status": [1],
        "message": [f"log_likelihood gave {words} (model.py, line 1, in log_likelihood)"],
    }


def test_where_both_run_simulate_has_the_derived_quantities(start):
    parent = start(
        "def simulate(theta):\n    return [1.0], theta[0]\ndef log_likelihood(theta):\n    return -1.0\n",
        n_data=1,
        blobs=["mass"],
    )
    parent.ready()
    answers = parent.ask([[4, 0]])
    assert (answers["x"], answers["log_likelihood"], answers["mass"]) == ([[1.0]], [-1.0], [4.0])


def test_randomness_is_the_rows_own_however_rows_are_batched(start):
    parent = start(
        "def simulate(theta, rng):\n    return rng.normal(size=3) + rng.integers(5, dtype='int32')\n", n_data=3
    )
    parent.ready()
    expected = []
    for row in range(6):
        rng = generator(row)
        expected.append((rng.normal(size=3) + rng.integers(5, dtype="int32")).tolist())
    rows = np.zeros((6, 2))
    assert parent.ask(rows)["x"] == expected
    assert [parent.ask(rows[:1], row_ids=[row])["x"][0] for row in reversed(range(6))] == expected[::-1]


def test_global_generators_are_seeded_too(start):
    source = (
        "import random\nimport numpy as np\ndef log_likelihood(theta):\n    return np.random.rand() + random.random()\n"
    )
    parent = start(source, global_rng=True)
    parent.ready()
    together = parent.ask(np.zeros((3, 2)))["log_likelihood"]
    assert [parent.ask(np.zeros((1, 2)), row_ids=[row])["log_likelihood"][0] for row in (2, 1, 0)] == together[::-1]
    assert len(set(together)) == 3


VECTORIZED = """
import numpy as np

def simulate(theta, rng):
    assert theta.shape == (4, 2)
    if (theta[:, 0] == 13).any():
        raise ValueError("unlucky")
    x = theta[:, :1] + rng.normal(size=(4, 3))
    x[theta[:, 0] == 14] = np.nan
    return x, {"mass": theta[:, 1]}

def log_likelihood(theta, x_obs):
    return -theta.sum(axis=1) - x_obs[0]
"""


def start_vectorized(start):
    parent = start(
        VECTORIZED, n_data=3, block=4, blobs=["mass"], observed={"grid": [0, 1, 2], "value": [0.5, 0, 0], "sigma": []}
    )
    parent.ready()
    return parent


def test_blocks_do_not_show_in_their_rows(start):
    parent = start_vectorized(start)
    rows = np.arange(22.0).reshape(11, 2) / 10
    answers = parent.ask(rows)
    for row in range(11):
        noise = generator(row - row % 4).normal(size=(4, 3))[row % 4]
        assert answers["x"][row] == (rows[row, 0] + noise).tolist()
        assert answers["log_likelihood"][row] == -rows[row].sum() - 0.5
    assert answers["mass"] == rows[:, 1].tolist()
    some = [10, 3, 5, 6, 0]
    again = parent.ask(rows[some], row_ids=some)
    assert again == {key: [column[row] for row in some] for key, column in answers.items()}


def test_rows_of_a_block_that_raise_or_are_none_stand_alone(start):
    parent = start_vectorized(start)
    rows = np.zeros((8, 2))
    healthy = parent.ask(rows)
    rows[2, 0], rows[5, 0] = 13, 14
    answers = parent.ask(rows)
    assert answers["status"] == [0, 0, 1, 0, 0, 1, 0, 0]
    assert answers["message"][2] == "ValueError: unlucky (model.py, line 7, in simulate)"
    assert answers["message"][5] == "simulate gave nan in x[0], expected finite numbers (model.py, line 4, in simulate)"
    for row in (0, 1, 3, 4, 6, 7):
        assert answers["x"][row] == healthy["x"][row]


BAD_BLOCKS = [
    ("theta[:3, 0]", "ndarray of shape (3,), expected shape (4,) for 4 rows at once"),
    ("-1.0", "-1.0, expected shape (4,) for 4 rows at once"),
]


@pytest.mark.parametrize("answer, words", BAD_BLOCKS)
def test_vectorized_functions_must_answer_all_rows(start, answer, words):
    parent = start(f"def log_likelihood(theta):\n    return {answer}\n", block=4)
    parent.ready()
    message = f"log_likelihood gave {words} (model.py, line 1, in log_likelihood)"
    assert parent.ask([[0, 0], [1, 1]])["message"] == [message, message]


UNUSABLE = [
    ("{place}/none.py:f", "{place}/none.py does not exist"),
    ("{place}/none.pkl:f", "{place}/none.pkl does not exist"),
    ("{place}/model.py:simulat", "{place}/model.py has no simulat, it has simulate, three"),
    ("{place}/model.py:number", "number in {place}/model.py is 3, expected a function"),
    (
        "{place}/model.py:three",
        "simulate takes 3 arguments without a default (model.py, line 7, in three), expected 1 or 2: theta, rng",
    ),
    ("no_such_module:f", "no_such_module cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
    (
        "{place}/imports.py:f",
        "{place}/imports.py cannot be loaded: ModuleNotFoundError: No module named 'batmann' (imports.py, line 2, in <module>)",
    ),
    (
        "{place}/syntax.py:f",
        "{place}/syntax.py cannot be loaded: SyntaxError: '(' was never closed (syntax.py, line 1)",
    ),
    ("{place}/exits.py:f", "{place}/exits.py cannot be loaded: SystemExit: 2 (exits.py, line 2, in <module>)"),
    ("nothing", "found 'nothing', expected FILE.py:NAME, FILE.pkl:NAME or MODULE:NAME"),
]


@pytest.mark.parametrize("place, words", UNUSABLE)
def test_what_cannot_be_loaded_is_said(tmp_path, place, words):
    (tmp_path / "model.py").write_text(
        "number = 3\n\n\ndef simulate(theta):\n    pass\n\ndef three(a, b, c, d=1):\n    pass\n"
    )
    (tmp_path / "imports.py").write_text("\nimport batmann\n")
    (tmp_path / "syntax.py").write_text("f = (\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(2)\n")
    parent = Parent({"simulate": place.format(place=tmp_path)}, n_data=1)
    assert parent.ready() == {"protocol": 1, "error": words.format(place=tmp_path)}
    assert parent.process.wait(timeout=20) == -signal.SIGKILL
    parent.close()


def test_a_likelihood_of_x_needs_an_observation(start):
    parent = start("def log_likelihood(theta, x_obs):\n    return 0.0\n")
    error = (
        "log_likelihood takes 2 arguments without a default (model.py, line 1, in log_likelihood), "
        "expected 1, theta: there is no observation"
    )
    assert parent.ready() == {"protocol": 1, "error": error}


def test_another_protocol_is_refused(start):
    parent = start("def log_likelihood(theta):\n    return 0.0\n", protocol=2)
    assert parent.ready() == {"protocol": 1, "error": "found protocol 2, expected 1"}


def test_modules_by_name_and_functions_with_defaults(tmp_path, monkeypatch):
    package = tmp_path / "stars"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text("def log_likelihood(theta, scale=2.0):\n    return -scale * theta[0]\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    parent = Parent({"log_likelihood": "stars.model:log_likelihood"})
    parent.ready()
    assert parent.ask([[3, 0]])["log_likelihood"] == [-6.0]
    parent.close()


NOISE = """
    def noise(x, rng):
        return x + rng.standard_normal(x.shape)
    """


def test_noise_is_added_to_data_row_by_row_and_in_blocks(start):
    rows = np.arange(12.0).reshape(6, 2)
    one = start(NOISE, parameters=[], n_data=2)
    one.ready()
    expected = [row + generator(i).standard_normal(2) for i, row in enumerate(rows)]
    assert (np.array(one.ask(rows)["x"]) == expected).all()
    many = start(NOISE, parameters=[], n_data=2, block=4)
    many.ready()
    expected = rows + np.concatenate([generator(i).standard_normal((4, 2)) for i in (0, 4)])[:6]
    assert (np.array(many.ask(rows)["x"]) == expected).all()


def test_noise_may_go_by_theta(start):
    source = """
        def noise(x, theta, rng):
            return x + theta[..., :1] * rng.standard_normal(x.shape)
        """
    rows = np.arange(24.0).reshape(6, 4)
    for block in (0, 4):
        parent = start(source, parameters=["a", "b"], n_data=2, block=block)
        parent.ready()
        if block:
            normal = np.concatenate([generator(i).standard_normal((4, 2)) for i in (0, 4)])[:6]
        else:
            normal = [generator(i).standard_normal(2) for i in range(6)]
        assert (np.array(parent.ask(rows)["x"]) == rows[:, :2] + rows[:, 2:3] * normal).all()


def test_noise_of_another_shape_and_with_other_arguments_is_told(start):
    parent = start("def noise(x):\n    return x[:1]\n", parameters=[], n_data=2)
    parent.ready()
    answer = parent.ask([[1.0, 2.0]])
    assert answer["status"] == [1]
    assert answer["message"] == ["noise gave x of shape (1,), expected 2 numbers (model.py, line 1, in noise)"]
    parent = start("def noise(x, rng, theta, more):\n    return x\n", parameters=[], n_data=2)
    assert parent.ready()["error"] == (
        "noise takes 4 arguments without a default (model.py, line 1, in noise), expected 1 to 3: x, theta, rng"
    )
    parent = start("def noise(x, theta, rng):\n    return x\n", parameters=[], n_data=2)
    assert parent.ready()["error"] == (
        "noise takes 3 arguments without a default (model.py, line 1, in noise), expected 1 or 2: x, rng; a prior transform "
        "hides theta"
    )
