"""Running the command: what it says, how it is interrupted, and what its exit status means."""

import signal
import subprocess
import sys
from collections.abc import Sequence

from ._binary import binary
from ._errors import SiderealError
from ._progress import Progress

DONE, NOT_TRUSTED, INTERRUPTED = 0, 3, 4

# Where this process is killed, the command is told to leave (PR_SET_PDEATHSIG, SIGTERM): nobody is left to do it.
LEAVE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"


def run(arguments: Sequence[str], progress: bool) -> int:
    """Runs the command to its end and gives its exit status, 0 or 3; what it says goes to standard error, line by line.

    KeyboardInterrupt is passed on to it and raised once it has left. Raises SiderealError of any other status.
    """
    command = [binary(), *arguments, *([] if progress else ["--quiet"])]
    if sys.platform == "linux" and sys.executable:
        command = [sys.executable, "-I", "-S", "-c", LEAVE_WITH_PARENT, *command]
    # In a session of its own, so that an interrupt from the keyboard reaches it through us alone, once.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        encoding="utf-8",
        errors="replace",
    )
    said: list[str] = []
    shown = Progress(sys.stderr)
    was_interrupted = False
    try:
        while True:
            try:
                for line in process.stderr:
                    said.append(line.rstrip("\n"))
                    shown.show(said[-1])
                status = process.wait()
                break
            except KeyboardInterrupt:
                was_interrupted = True
                process.send_signal(signal.SIGINT)
    finally:
        if process.poll() is None:
            process.terminate()
        process.stderr.close()
        shown.end()
    if was_interrupted and status not in (DONE, NOT_TRUSTED):
        raise KeyboardInterrupt("the same call goes on where this one was")
    if status in (DONE, NOT_TRUSTED):
        return status
    raise SiderealError(words_of_failure(status, said))


def output_of(arguments: Sequence[str]) -> str:
    """What the command prints within moments; raises SiderealError of any status but 0."""
    done = subprocess.run(
        [binary(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode != DONE:
        raise SiderealError(words_of_failure(done.returncode, done.stderr.splitlines()))
    return done.stdout


def words_of_failure(status: int, said: Sequence[str]) -> str:
    """Why the command has failed, as it said itself."""
    if status == INTERRUPTED:
        return "sidereal was told to leave; the same call goes on where it was"
    if status < 0:
        return f"sidereal was killed by signal {-status}; the same call goes on where it was"
    errors: list[str] = []
    for line in said:
        if line.startswith("error: "):
            errors.append(line.removeprefix("error: "))
        elif errors and line.startswith(" "):
            errors.append(line)
    return "\n".join(errors or list(said[-5:]) or [f"sidereal ended with status {status} and said nothing"])
