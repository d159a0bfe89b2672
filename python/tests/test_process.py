"""The command: which one it is, how it is run, and how it ends."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from importlib import metadata

import pytest

from sidereal_inference import SiderealError, _binary
from sidereal_inference._process import run
from stand_in import VERSION


def test_the_command_is_the_packages_own(tmp_path, monkeypatch):
    monkeypatch.delenv("SIDEREAL_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "sidereal").write_text("#!/bin/sh\n")
    (tmp_path / "sidereal").chmod(0o755)
    monkeypatch.setattr(_binary.sysconfig, "get_path", lambda name, scheme=None: "/nowhere")
    with pytest.raises(SiderealError, match=r"^no sidereal in /nowhere, .*/bin: .* -m pip install --force-reinstall "):
        _binary.binary()


def test_versions_are_compared(command, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: VERSION)
    assert _binary.binary() == str(command.path)
    monkeypatch.setattr(metadata, "version", lambda name: "99.0.0")
    with pytest.raises(SiderealError) as caught:
        _binary.binary()
    assert str(caught.value) == (
        f"{command.path} is version {VERSION}, this package is 99.0.0: "
        f"{sys.executable} -m pip install --force-reinstall sidereal-inference"
    )


def test_what_is_no_command(tmp_path, monkeypatch):
    monkeypatch.setenv("SIDEREAL_BINARY", str(tmp_path / "none"))
    with pytest.raises(SiderealError) as caught:
        _binary.binary()
    assert str(caught.value) == f"SIDEREAL_BINARY is {tmp_path}/none, expected a file"
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    monkeypatch.setenv("SIDEREAL_BINARY", str(other))
    with pytest.raises(SiderealError) as caught:
        _binary.binary()
    assert str(caught.value) == f"{other} --version says 'something else', expected sidereal and a version"


def test_what_it_says_is_passed_on(command, capsys):
    command.behave(says=["round 0", "round 1 é"])
    assert run(["fit", "x.toml", "--out", "out"], progress=True) == 0
    assert capsys.readouterr().err == "round 0\nround 1 é\n"
    command.behave(status=3)
    assert run(["fit", "x.toml", "--out", "out"], progress=False) == 3
    assert command.calls() == [["fit", "x.toml", "--out", "out"], ["fit", "x.toml", "--out", "out", "--quiet"]]


class Notebook(io.StringIO):
    """As a kernel of Jupyter has it."""


Notebook.__module__ = "ipykernel.iostream"


def test_in_notebooks_steps_stand_on_one_line(command, monkeypatch):
    command.behave(
        says=[
            "sine: 3 parameters",
            "round 0   far",
            "learning from round 0: pass 1",
            "round 1",
            "stopped: done",
            "n_eff",
        ]
    )
    shown = Notebook()
    monkeypatch.setattr(sys, "stderr", shown)
    run(["fit", "x.toml", "--out", "out"], progress=True)
    last = "round 1" + " " * 22
    assert shown.getvalue() == (
        f"sine: 3 parameters\n\rround 0   far\rlearning from round 0: pass 1\r{last}\nstopped: done\nn_eff\n"
    )


def test_log_lines_are_told_in_words(command, capsys):
    time_and_level = "2026-11-28T08:49:00.123456Z  WARN sidereal_"
    diverges = f"{time_and_level}trainer::training::fit: training diverges: back to the best epoch flow=1 epoch=3"
    command.behave(
        says=[diverges, "round 0", diverges, f"{time_and_level}store::retry: the store does not answer; tried again"]
    )
    run(["fit", "x.toml", "--out", "out"], progress=True)
    assert capsys.readouterr().err == (
        "a training diverged and goes on from its best epoch at a lower rate; so will others, without a word\n"
        "round 0\nthe store does not answer; tried again\n"
    )


ENDS = [
    (
        2,
        ["note", "error: x.toml:2: sed: unknown key", "  a hint", "error: another"],
        "x.toml:2: sed: unknown key\n  a hint\nanother",
    ),
    (1, ["it broke"], "it broke"),
    (1, [], "sidereal ended with status 1 and said nothing"),
    (4, ["left"], "sidereal was told to leave; the same call goes on where it was"),
]


@pytest.mark.parametrize("status, says, words", ENDS)
def test_other_ends_are_errors(command, status, says, words):
    command.behave(status=status, says=says)
    with pytest.raises(SiderealError) as caught:
        run(["fit", "x.toml", "--out", "out"], progress=True)
    assert str(caught.value) == words


def wait_for(path):
    end = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.02)
    return path.read_text()


def test_an_interrupt_lets_it_leave(command):
    command.behave(hangs=True)

    def interrupt():
        wait_for(command.directory / "hanging")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(["fit", "x.toml", "--out", "out"], progress=True)
    assert (command.directory / "left").read_text() == str(int(signal.SIGINT))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_leaves_where_its_caller_is_killed(command):
    command.behave(hangs=True)
    script = textwrap.dedent(
        """
        from sidereal_inference._process import run
        run(["fit", "x.toml", "--out", "out"], progress=True)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    caller = subprocess.Popen([sys.executable, "-c", script], env=environment)
    wait_for(command.directory / "hanging")
    caller.kill()
    caller.wait()
    assert wait_for(command.directory / "left") == str(int(signal.SIGTERM))
