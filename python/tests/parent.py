"""A worker in miniature: starts a child as docs/children.md says, asks it rows, and reads its answers."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa

SOURCE = (Path(__file__).parent.parent / "src" / "sidereal_inference" / "_child.py").read_bytes()
BOOT = """import os
def read(n):
    content = b""
    while len(content) < n:
        piece = os.read(3, n - len(content))
        if not piece:
            os._exit(0)
        content += piece
    return content
exec(compile(read(int(read(8))), "<sidereal>", "exec"), {"__name__": "__main__"})
"""
SHELL = 'exec 3<&0 4>&1 </dev/null >&2; exec "$@"'


def seed_of(row):
    """16 bytes that differ for each row."""
    return np.array([1_000_003 * row + 7, row], dtype="<u8").tobytes()


class Parent:
    """One child and its pipes; `messages` is its standard error, line by line."""

    def __init__(
        self, functions, parameters=("a", "b"), n_data=0, observed=None, theta=None, blobs=(), block=0, **more
    ):
        self.hello = {
            "protocol": 1,
            "functions": functions,
            "parameters": list(parameters),
            "n_data": n_data,
            "observed": observed,
            "theta": theta,
            "blobs": list(blobs),
            "block": block,
            "global_rng": False,
            **more,
        }
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", SHELL, "sh", sys.executable, "-c", BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.drain, daemon=True).start()
        hello = json.dumps(self.hello).encode()
        self.process.stdin.write(b"%08d" % len(SOURCE) + SOURCE + len(hello).to_bytes(4, "little") + hello)
        self.process.stdin.flush()
        inputs = [(name, pa.float64()) for name in parameters]
        if "noise" in functions:
            inputs = [("x", pa.list_(pa.float64(), n_data)), *inputs]
        self.schema = pa.schema([("row_id", pa.uint64()), ("seed", pa.binary(16)), *inputs])
        self.requests = pa.ipc.new_stream(self.process.stdin, self.schema)
        self.answers = None

    def drain(self):
        for line in self.process.stderr:
            self.lines.put(line.decode().rstrip("\n"))
        self.lines.put(None)

    def ready(self):
        """What the child says once it has its functions."""
        length = int.from_bytes(self.process.stdout.read(4), "little")
        return json.loads(self.process.stdout.read(length))

    def batch(self, rows, row_ids=None):
        """Rows as a request; with blocks each has the seed of its block's first row."""
        row_ids = list(range(len(rows))) if row_ids is None else list(row_ids)
        block = self.hello["block"] or 1
        n_noisy = self.hello["n_data"] if "noise" in self.hello["functions"] else 0
        rows = np.asarray(rows, dtype=float).reshape(len(row_ids), n_noisy + len(self.hello["parameters"]))
        inputs = []
        if n_noisy:
            inputs.append(pa.array(rows[:, :n_noisy].tolist(), self.schema.field("x").type))
        inputs += map(pa.array, rows[:, n_noisy:].T)
        columns = [
            pa.array(row_ids, pa.uint64()),
            pa.array([seed_of(row - row % block) for row in row_ids], pa.binary(16)),
            *inputs,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def send(self, batch):
        self.requests.write_batch(batch)
        self.process.stdin.flush()

    def receive(self):
        if self.answers is None:
            self.answers = pa.ipc.open_stream(self.process.stdout)
        return self.answers.read_next_batch()

    def ask(self, rows, row_ids=None):
        """The answers to rows, a list a column."""
        self.send(self.batch(rows, row_ids))
        return self.receive().to_pydict()

    def line(self):
        """The next line of standard error; None where it has ended."""
        return self.lines.get(timeout=20)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
