"""The command `sidereal` that came with this package; never another one."""

import functools
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from ._errors import SiderealError

DISTRIBUTION = "sidereal-inference"
OVERRIDE = "SIDEREAL_BINARY"


def binary() -> str:
    """Path of the command, of this package's own version.

    `SIDEREAL_BINARY` names another one, for development. Raises SiderealError where there is none or where the
    versions differ.
    """
    path = os.environ.get(OVERRIDE) or installed()
    if not os.path.isfile(path):
        raise SiderealError(f"{OVERRIDE} is {path}, expected a file")
    found, expected = version_of(path), package_version()
    if expected is not None and found != expected:
        raise SiderealError(
            f"{path} is version {found}, this package is {expected}: "
            f"{sys.executable} -m pip install --force-reinstall {DISTRIBUTION}"
        )
    return path


def installed() -> str:
    """The command among the scripts of the environment that this package is installed in."""
    directories = [sysconfig.get_path("scripts")]
    for scheme in sysconfig.get_scheme_names():
        if scheme.endswith("_user"):
            directories.append(sysconfig.get_path("scripts", scheme))
    # pip install --target DIR puts scripts into DIR/bin.
    directories.append(str(Path(__file__).parent.parent / "bin"))
    for directory in directories:
        path = os.path.join(directory, "sidereal" + (sysconfig.get_config_var("EXE") or ""))
        if os.path.isfile(path):
            return path
    raise SiderealError(
        f"no sidereal in {', '.join(dict.fromkeys(directories))}: {sys.executable} -m pip install --force-reinstall {DISTRIBUTION}"
    )


def package_version() -> str | None:
    """Of this package; None where it is run from its sources."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def version_of(path: str) -> str:
    """What a command says of its version."""
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SiderealError(f"{path} cannot be run: {error}") from error
    words = output.split()
    if len(words) != 2 or words[0] != "sidereal":
        raise SiderealError(f"{path} --version says {output.strip()!r}, expected sidereal and a version")
    return words[1]
