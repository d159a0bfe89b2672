"""What tests share: children of files written on the spot."""

import textwrap

import pytest

from parent import Parent
from stand_in import Command, write_result


@pytest.fixture
def start(tmp_path):
    """Starts a child of the functions that `source` defines among simulate, log_likelihood, prior_transform and noise."""
    parents = []

    def start(source, **hello):
        path = tmp_path / "model.py"
        path.write_text(textwrap.dedent(source))
        uses = [use for use in ("prior_transform", "simulate", "log_likelihood", "noise") if f"def {use}(" in source]
        parent = Parent({use: f"{path}:{use}" for use in uses}, **hello)
        parents.append(parent)
        return parent

    yield start
    for parent in parents:
        parent.close()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A stand-in for the command, with a good result to give."""
    command = Command(tmp_path / "command")
    monkeypatch.setenv("SIDEREAL_BINARY", str(command.path))
    monkeypatch.chdir(tmp_path)
    command.behave(result=write_result(tmp_path / "finished"))
    return command
