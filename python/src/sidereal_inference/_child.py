"""A process of models in Python, as docs/children.md describes it: requests on descriptor 3, answers on 4.

One file, which runs from its source alone: the interpreter needs numpy and pyarrow, and nothing of ours.
"""

import ctypes
import faulthandler
import importlib
import importlib.util
import inspect
import json
import os
import pickle
import queue
import random
import select
import signal
import sys
import sysconfig
import threading
import traceback


def end(group):
    """Ends this process at once, with its group where that is its own."""
    if group is None:
        os.kill(os.getpid(), signal.SIGKILL)
    os.killpg(group, signal.SIGKILL)


def keep_watch(group):
    """Forks a process that ends the group once nobody can ask any more, also where C code never lets our threads run.

    PR_SET_PDEATHSIG would not do: it goes by the thread that has started the child.
    """
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    if os.fork():
        os._exit(0)  # so that the user's code has no child that it does not know of
    for number in MEANT_FOR_WORKER:
        signal.signal(number, signal.SIG_IGN)
    for descriptor in (0, 1, 2, 4):
        os.close(descriptor)
    poll = select.poll()
    poll.register(3, 0)
    poll.poll()
    end(group)


# Schedulers send these to every process of a job; a worker drains then, and needs its children for it.
MEANT_FOR_WORKER = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GROUP = os.getpgrp() if os.getpgrp() == os.getpid() else None
if __name__ == "__main__" and GROUP is not None:
    keep_watch(GROUP)  # before anything large is loaded, and before there are threads

try:
    import numpy as np
    import pyarrow as pa
except ImportError as error:
    MISSING = error.name or str(error)
else:
    MISSING = None

PROTOCOL = 1
FAILED, TRY_AGAIN = 1, 2  # 0: answered
LOWEST = -1e290
LONGEST_MESSAGE = 500
FUNCTIONS = ("prior_transform", "simulate", "log_likelihood")
OWN_FILE = (lambda: None).__code__.co_filename
LIBRARIES = tuple(
    os.path.join(path, "") for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} if path
)


def main():
    """Serves requests until their stream ends."""
    prepare_process()
    requests, answers = os.fdopen(3, "rb"), os.fdopen(4, "wb", buffering=1 << 20)
    hello = json.loads(exactly(requests, int.from_bytes(exactly(requests, 4), "little")))
    try:
        if hello["protocol"] != PROTOCOL:
            raise Unusable(f"found protocol {hello['protocol']}, expected {PROTOCOL}")
        if MISSING is not None:
            raise Unusable(
                f"{sys.executable} has no module {MISSING}, which models in Python need: pip install {MISSING}"
            )
        batches = queue.SimpleQueue()
        threading.Thread(target=read_requests, args=(requests, batches), daemon=True).start()
        model = Model(hello, load_functions(hello["functions"]))
    except Unusable as unusable:
        say(answers, {"protocol": PROTOCOL, "error": str(unusable)})
        end(GROUP)
    python = ".".join(map(str, sys.version_info[:3]))
    say(answers, {"protocol": PROTOCOL, "program": f"Python {python}, numpy {np.__version__}"})
    process = os.getpid()
    try:
        with pa.ipc.new_stream(answers, model.schema) as stream:
            while True:
                answer = model.answer(batches.get())
                if os.getpid() != process:
                    os._exit(1)  # a fork of the user's, which has come back to where it has no business
                stream.write_batch(answer)
                answers.flush()
    except BaseException:
        traceback.print_exc()
        end(GROUP)


def prepare_process():
    """Keeps the pipes from other programs, outlives signals that are meant for the worker, and lets no output wait."""
    os.set_inheritable(3, False)
    os.set_inheritable(4, False)
    try:
        libc = ctypes.CDLL(None)
        stdout = "__stdoutp" if sys.platform == "darwin" else "stdout"
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, stdout), None, 1, ctypes.c_size_t(0))  # line by line
    except (OSError, AttributeError, ValueError):
        pass
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable(all_threads=False)
    for number in MEANT_FOR_WORKER:
        signal.signal(number, lambda *_: None)
    os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=obey_signals)


def hold_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, MEANT_FOR_WORKER)


def release_signals():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, MEANT_FOR_WORKER)


def obey_signals():
    """In what the user's code has forked: it is ended as ever."""
    for number in MEANT_FOR_WORKER:
        signal.signal(number, signal.SIG_DFL)
    release_signals()


def read_requests(requests, batches):
    """Reads whole requests ahead of their answers; the end of the stream ends the process, whatever it is doing."""
    try:
        for batch in pa.ipc.open_stream(requests):
            batches.put(batch)
    finally:
        end(GROUP)


def exactly(stream, length):
    """The next bytes of the stream; ends the process where there are no more."""
    content = stream.read(length)
    if len(content) < length:
        os._exit(0)
    return content


def say(answers, message):
    """Writes JSON with its length before it."""
    content = json.dumps(message).encode()
    answers.write(len(content).to_bytes(4, "little") + content)
    answers.flush()


class Unusable(Exception):
    """Why there is no model: words for a person."""


class Failure(Exception):
    """Why a row fails: what a function gave, and what was expected."""


def load_functions(places):
    """The functions by their use; `places` are `FILE.py:NAME`, `FILE.pkl:NAME` or `MODULE:NAME` by use."""
    loaded = {}
    return {use: load_function(place, loaded) for use, place in places.items()}


def load_function(place, loaded):
    """The function at a place; `loaded` keeps what files and modules hold."""
    source, _, name = place.rpartition(":")
    if not source or not name:
        raise Unusable(f"found {place!r}, expected FILE.py:NAME, FILE.pkl:NAME or MODULE:NAME")
    is_file = source.endswith((".py", ".pkl"))
    if is_file and not os.path.isfile(source):
        raise Unusable(f"{source} does not exist")
    try:
        if source not in loaded:
            loaded[source] = load_source(source)
        holder = loaded[source]
        if isinstance(holder, dict):
            function = pickle.loads(holder[name]) if name in holder else None
        else:
            function = holder
            for part in name.split("."):
                function = getattr(function, part, None)
    except BaseException as error:
        raise Unusable(f"{source} cannot be loaded: {words_of(error)}{advice_for(error)}") from error
    if function is None:
        raise Unusable(f"{source} has no {name}{near(name, holder)}")
    if not callable(function):
        raise Unusable(f"{name} in {source} is {kind_of(function)}, expected a function")
    return function


def load_source(source):
    """What holds functions: the module of a file or of a name, or the pickles by name of a pickle file."""
    if source.endswith(".pkl"):
        with open(source, "rb") as file:
            content = pickle.load(file)
        sys.path[:0] = [path for path in content["path"] if path not in sys.path]
        if os.path.isdir(content["directory"]):
            os.chdir(content["directory"])
        else:
            print(f"{content['directory']}, where functions were made, does not exist here", file=sys.stderr)
        return content["functions"]
    if not source.endswith(".py"):
        return importlib.import_module(source)
    directory, file = os.path.split(os.path.abspath(source))
    if directory not in sys.path:
        sys.path.insert(0, directory)
    name = file[: -len(".py")]
    if name in sys.modules:
        name = f"sidereal_model_{name}"
    specification = importlib.util.spec_from_file_location(name, os.path.join(directory, file))
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def advice_for(error):
    """What a person can do about it."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cloudpickle":
        return f": {sys.executable} -m pip install cloudpickle"
    return ""


def near(name, holder):
    """The functions that there are, where one is missing."""
    if not isinstance(holder, dict):
        holder = {key: value for key, value in vars(holder).items() if inspect.isfunction(value)}
    names = sorted(key for key in holder if not key.startswith("_"))
    return f", it has {', '.join(names[:10])}" if names else ""


class Model:
    """The functions of one campaign, and how rows are put to them."""

    def __init__(self, hello, functions):
        self.parameters = list(hello["parameters"])
        self.transformed = None if hello["theta"] is None else list(hello["theta"])
        self.blobs = list(hello["blobs"])
        self.n_data = hello["n_data"]
        self.block = hello["block"]
        self.global_rng = hello["global_rng"]
        observed = hello["observed"]
        self.x_obs = None if observed is None else np.array(observed["value"], dtype=np.float64)
        self.prior_transform, self.simulate, self.log_likelihood = map(functions.get, FUNCTIONS)
        self.functions = functions
        self.maker = "noise" if "noise" in functions else "simulate"  # what gives x
        self.noise_takes_theta = self.simulate_takes_rng = False
        if self.maker == "noise":
            self.simulate = functions["noise"]
            count = self.n_taken("noise", "x", "theta", "rng")
            self.noise_takes_theta, self.simulate_takes_rng = count == 3, count > 1
            if self.noise_takes_theta and not self.parameters:
                raise Unusable(f"noise{takes(self.simulate)}, expected 1 or 2: x, rng; a prior transform hides theta")
        elif self.simulate:
            self.simulate_takes_rng = self.n_taken("simulate", "theta", "rng") == 2
        self.blobs_of = "simulate" if self.simulate else "log_likelihood"
        if self.prior_transform and n_arguments(self.prior_transform) > 1:
            raise Unusable(f"prior_transform{takes(self.prior_transform)}, expected 1: u")
        self.likelihood_takes_x = self.log_likelihood is not None and self.n_taken("log_likelihood", "theta", "x_obs") == 2
        if self.likelihood_takes_x and self.x_obs is None:
            raise Unusable(f"log_likelihood{takes(self.log_likelihood)}, expected 1, theta: there is no observation")
        self.bits = np.random.Philox(key=0)
        self.rng = np.random.Generator(self.bits)
        self.fresh_state = self.bits.state
        self.said_lowest = False
        self.running = None  # which function was called last
        self.schema = self.answers_of(0, []).batch([]).schema

    def n_taken(self, use, *names):
        """How many arguments a function takes, which are as many as `names` at most."""
        function = self.functions[use]
        count = n_arguments(function)
        if count > len(names):
            numbers = "1 or 2" if len(names) == 2 else f"1 to {len(names)}"
            raise Unusable(f"{use}{takes(function)}, expected {numbers}: {', '.join(names)}")
        return count

    def answer(self, batch):
        """The answers to a record batch of requests."""
        n = batch.num_rows
        first = self.n_data if self.maker == "noise" else 0
        coordinates = np.empty((n, first + len(self.parameters)))
        if first:
            coordinates[:, :first] = batch.column("x").flatten().to_numpy().reshape(n, first)
        for j, name in enumerate(self.parameters, first):
            coordinates[:, j] = batch.column(name).to_numpy()
        seed = batch.column("seed")
        seeds = np.frombuffer(seed.buffers()[1], dtype="<u8", count=2 * n, offset=16 * seed.offset).reshape(n, 2)
        row_ids = batch.column("row_id")
        return self.answers(coordinates, seeds, row_ids.to_numpy()).batch(row_ids)

    def answers(self, coordinates, seeds, row_ids):
        """The answers to rows of parameters, before them x where noise is to be added to it, whose seeds are two uint64 each."""
        answers = self.answers_of(len(coordinates), coordinates)
        if self.block:
            self.answer_blocks(coordinates, seeds, row_ids, answers)
        else:
            self.answer_rows(coordinates, seeds, answers)
        self.check(answers)
        return answers

    def answers_of(self, n, coordinates):
        theta = np.zeros((n, len(self.transformed))) if self.prior_transform else coordinates
        return Answers(
            n,
            theta,
            self.transformed if self.prior_transform else [],
            self.n_data if self.simulate else None,
            self.log_likelihood is not None,
            self.blobs,
        )

    def answer_rows(self, coordinates, seeds, answers):
        for i in range(answers.n):
            try:
                theta, x, log_likelihood, derived = self.values(coordinates[i], seeds[i], ())
            except BaseException as error:
                answers.fail(i, error)
                continue
            if self.prior_transform:
                answers.theta[i] = theta
            if self.simulate:
                answers.x[i] = x.reshape(-1)
            if self.log_likelihood:
                answers.log_likelihood[i] = log_likelihood
            if self.blobs:
                answers.derived[i] = derived

    def answer_blocks(self, coordinates, seeds, row_ids, answers):
        blocks, places = np.divmod(row_ids.astype(np.int64), self.block)
        for block in np.unique(blocks):
            self.answer_block(coordinates, seeds, places, answers, np.flatnonzero(blocks == block))

    def answer_block(self, coordinates, seeds, places, answers, rows):
        """Puts the rows of one block to the functions at their places, and halves them where that raises."""
        filled = np.repeat(coordinates[rows[:1]], self.block, axis=0)
        here = places[rows]
        filled[here] = coordinates[rows]
        try:
            theta, x, log_likelihood, derived = self.values(filled, seeds[rows[0]], (self.block,))
        except BaseException as error:
            if len(rows) > 1 and not isinstance(error, Failure):
                middle = len(rows) // 2
                self.answer_block(coordinates, seeds, places, answers, rows[:middle])
                self.answer_block(coordinates, seeds, places, answers, rows[middle:])
                return
            for row in rows:
                answers.fail(row, error)
            return
        if self.prior_transform:
            answers.theta[rows] = theta[here]
        if self.simulate:
            answers.x[rows] = x.reshape(self.block, -1)[here]
        if self.log_likelihood:
            answers.log_likelihood[rows] = log_likelihood.reshape(-1)[here]
        if self.blobs:
            answers.derived[rows] = derived[here]

    def values(self, coordinates, seed, lead):
        """θ, x, log-likelihood and derived quantities, of one row (`lead` is ()) or of a block ((block,)).

        None stands for what there is not.
        """
        if self.global_rng:
            seed_globals(seed)
        theta, x, log_likelihood, derived = coordinates, None, None, None
        if self.prior_transform:
            theta = self.transform(coordinates.copy(), lead)
        if self.simulate:
            self.running = self.maker
            given = self.inputs_of_noise(coordinates) if self.maker == "noise" else [theta.copy()]
            if self.simulate_takes_rng:
                given.append(self.generator(seed))
            x = self.simulate(*given)
            if self.blobs:
                x, derived = self.derived(x, lead)
            x = self.data(x, lead)
        if self.log_likelihood:
            self.running = "log_likelihood"
            if self.likelihood_takes_x:
                x_obs = self.x_obs.copy() if x is None else self.x_obs.reshape(x.shape[len(lead) :]).copy()
                log_likelihood = self.log_likelihood(theta.copy(), x_obs)
            else:
                log_likelihood = self.log_likelihood(theta.copy())
            if self.blobs and not self.simulate:
                log_likelihood, derived = self.derived(log_likelihood, lead)
            if lead or not isinstance(log_likelihood, float):
                log_likelihood = self.log_likelihoods(log_likelihood, lead)
        return theta, x, log_likelihood, derived

    def inputs_of_noise(self, coordinates):
        x, theta = coordinates[..., : self.n_data].copy(), coordinates[..., self.n_data :]
        return [x, theta.copy()] if self.noise_takes_theta else [x]

    def generator(self, seed):
        """The one generator, in the state that Philox(key = seed) begins in."""
        self.fresh_state["state"]["key"] = seed
        self.bits.state = self.fresh_state
        return self.rng

    def transform(self, coordinates, lead):
        self.running = "prior_transform"
        value = self.prior_transform(coordinates)
        theta, shape = numbers_of(value), (*lead, len(self.transformed))
        if theta is None or theta.shape != shape:
            raise self.unexpected("prior_transform", kind_of(value), f"shape {shape}")
        if not lead and not np.isfinite(theta).all():
            raise self.not_finite(theta)
        return theta

    def not_finite(self, theta):
        j = int(np.argmin(np.isfinite(theta)))
        return self.unexpected("prior_transform", f"{theta[j]} for {self.transformed[j]}", "a finite number")

    def data(self, value, lead):
        x = numbers_of(value)
        if x is None or x.size != self.n_data * (lead[0] if lead else 1) or x.shape[: len(lead)] != lead:
            found = kind_of(value) if x is None else f"x of shape {x.shape}"
            expected = f"({lead[0]}, {self.n_data}) for {lead[0]} rows at once" if lead else f"{self.n_data} numbers"
            raise self.unexpected(self.maker, found, expected)
        return x

    def log_likelihoods(self, value, lead):
        """What gave them may be a number of any library, or an array that has length 1 in further dimensions."""
        array = numbers_of(value)
        if array is None or array.size != (lead[0] if lead else 1) or array.shape[: len(lead)] != lead:
            expected = f"shape {lead} for {lead[0]} rows at once" if lead else "a number"
            raise self.unexpected("log_likelihood", kind_of(value), expected)
        return array if lead else array.item()

    def derived(self, answer, lead):
        """The value that a function gave, and its derived quantities as an array of shape [..., blobs]."""
        names = ", ".join(self.blobs)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise self.unexpected(self.blobs_of, kind_of(answer), f"(value, derived) with derived quantities {names}")
        value, derived = answer
        if isinstance(derived, dict):
            missing = [name for name in self.blobs if name not in derived]
            if missing:
                raise self.unexpected(
                    self.blobs_of, f"derived quantities without {', '.join(missing)}", f"all of {names}"
                )
            columns = [derived[name] for name in self.blobs]
        elif len(self.blobs) == 1 and np.shape(derived) == lead:
            columns = [derived]
        elif isinstance(derived, (list, tuple)):
            columns = derived
        else:
            columns = list(np.atleast_1d(derived).T)
        if len(columns) != len(self.blobs):
            raise self.unexpected(self.blobs_of, f"{len(columns)} derived quantities", f"{len(self.blobs)}: {names}")
        arrays = []
        for name, column in zip(self.blobs, columns):
            array = numbers_of(np.full(lead, np.nan) if column is None else column)
            if array is None or array.shape != lead:
                expected = f"shape {lead}" if lead else "a number"
                raise self.unexpected(self.blobs_of, f"{kind_of(column)} for {name}", expected)
            arrays.append(array)
        return value, np.stack(arrays, axis=-1)

    def check(self, answers):
        """Fails rows whose numbers are none, all at once."""
        if self.prior_transform:
            for i, _ in first_true(~np.isfinite(answers.theta)):
                answers.fail(i, self.not_finite(answers.theta[i]))
        if self.simulate:
            for i, j in first_true(~np.isfinite(answers.x)):
                answers.fail(i, self.unexpected(self.maker, f"{answers.x[i, j]} in x[{j}]", "finite numbers"))
        if self.log_likelihood:
            value = answers.log_likelihood
            for i in np.flatnonzero(np.isnan(value) | (value == np.inf)):
                answers.fail(i, self.unexpected("log_likelihood", value[i], "a number or -inf"))
            lowest = (value < LOWEST) & (value != -np.inf)
            if lowest.any():
                if not self.said_lowest:
                    print(f"log-likelihoods under {LOWEST} are taken for -inf", file=sys.stderr)
                self.said_lowest = True
                value[lowest] = -np.inf
        if self.blobs:
            unset = np.isnan(answers.derived)
            if self.log_likelihood:
                unset[answers.log_likelihood == -np.inf] = False
            for i, j in first_true(unset):
                answers.fail(i, self.unexpected(self.blobs_of, f"nan for {self.blobs[j]}", "a number"))

    def unexpected(self, use, found, expected):
        return Failure(f"{use} gave {found}, expected {expected}{definition_of(self.functions[use])}")


class Answers:
    """What a batch of rows gave; arrays of a row a row."""

    def __init__(self, n, theta, transformed, n_data, with_likelihood, blobs):
        self.n = n
        self.theta = theta
        self.transformed = transformed
        self.n_data = n_data
        self.x = None if n_data is None else np.zeros((n, n_data))
        self.log_likelihood = np.zeros(n) if with_likelihood else None
        self.blobs = blobs
        self.derived = np.zeros((n, len(blobs)))
        self.errors = {}

    def fail(self, i, error):
        """Fails a row, unless it has failed before."""
        self.errors.setdefault(int(i), error)

    def batch(self, row_ids):
        """The record batch of the protocol."""
        status, messages, failed = np.zeros(self.n, dtype=np.uint8), [None] * self.n, np.zeros(self.n, dtype=bool)
        for i, error in self.errors.items():
            status[i] = TRY_AGAIN if isinstance(error, MemoryError) else FAILED
            messages[i], failed[i] = words_of(error), True
        columns = {"row_id": pa.array(row_ids, pa.uint64())}
        if self.x is not None:
            self.x[failed] = 0.0
            columns["x"] = pa.FixedSizeListArray.from_arrays(pa.array(self.x.reshape(-1)), self.n_data)
        if self.log_likelihood is not None:
            columns["log_likelihood"] = pa.array(self.log_likelihood, mask=failed)
        for j, name in enumerate(self.transformed):
            columns[name] = pa.array(np.where(failed, 0.0, self.theta[:, j]))
        for j, name in enumerate(self.blobs):
            values = self.derived[:, j]
            columns[name] = pa.array(values, mask=failed | np.isnan(values))
        columns["status"] = pa.array(status)
        columns["message"] = pa.array(messages, pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def seed_globals(seed):
    """Seeds the generators that numpy and Python have for everybody."""
    np.random.seed(np.ascontiguousarray(seed, dtype="<u8").view("<u4"))
    random.seed(int(seed[0]) | int(seed[1]) << 64)


def first_true(mask):
    """(row, column) of the first true entry of each row that has one."""
    return [(i, int(np.argmax(mask[i]))) for i in np.flatnonzero(mask.any(axis=1))]


def numbers_of(value):
    """The value as an array of float64; None where it is none of real numbers."""
    if type(value) is np.ndarray and value.dtype == np.float64:
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array.astype(np.float64) if array.dtype.kind in "fiub" else None


def kind_of(value):
    """What a value is, in words for a person."""
    if isinstance(value, str):
        return repr(value[:40])
    shape = getattr(value, "shape", None)
    if value is None or isinstance(value, (bool, int, float, complex)) or shape == ():
        return str(value)[:40]
    return f"{type(value).__name__} of shape {tuple(shape)}" if shape else f"a {type(value).__name__}"


def n_arguments(function):
    """How many arguments without a default a function has; 1 where nobody can tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is inspect.Parameter.empty for one in parameters)


def takes(function):
    return f" takes {n_arguments(function)} arguments without a default{definition_of(function)}"


def words_of(error):
    """An exception's type, its message and the user's own line, in one line; a failure speaks for itself."""
    if isinstance(error, Failure):
        return str(error)
    try:
        message = " ".join(str(error).split())
    except BaseException:
        message = "its message cannot be shown"
    kind = type(error).__name__
    text = f"{kind}: {message}" if message else kind
    if len(text) > LONGEST_MESSAGE:
        text = text[:LONGEST_MESSAGE] + "..."
    return text if isinstance(error, SyntaxError) else text + users_line(error)


def users_line(error):
    """The last line of the traceback that is the user's own, else the last of an installed package."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_ours_or_pythons(frame.filename)]
    own = [frame for frame in frames if not is_installed(frame.filename)] or frames
    return f" ({name_of(own[-1].filename)}, line {own[-1].lineno}, in {own[-1].name})" if own else ""


def definition_of(function):
    """Where a function begins."""
    while not hasattr(function, "__code__"):
        inner = getattr(function, "func", None) or getattr(function, "__wrapped__", None)
        if inner is None:
            return ""
        function = inner
    code = function.__code__
    return f" ({name_of(code.co_filename)}, line {code.co_firstlineno}, in {code.co_name})"


def is_ours_or_pythons(filename):
    pythons = filename.startswith(("<frozen ", "<__array_function__", *LIBRARIES)) and not is_installed(filename)
    return filename == OWN_FILE or pythons


def is_installed(filename):
    parts = filename.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


def name_of(filename):
    """How people know a file: notebooks keep each cell in one with a meaningless name."""
    if "ipykernel_" in filename or filename.startswith("<ipython-input"):
        return "notebook cell"
    return os.path.basename(filename) or filename


if __name__ == "__main__":
    main()
