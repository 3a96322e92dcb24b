"""Find the program that a command line names, or say why it can't be run and which command line may be meant."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence

from .. import switches
from ..console import ERROR, say
from ..lifecycle.endings import ExitStatus

# Commands of manage.py that people take for programs.
_OF_MANAGE_PY = ("runserver", "runserver_plus", "testserver")
_MANAGE_PY = "manage.py"


def find(words: Sequence[str], environ: Mapping[str, str]) -> str | ExitStatus:
    """Return the path of the program ``words[0]``, or print why it can't be run and return the exit status."""
    path = shutil.which(words[0], path=environ.get("PATH"))
    if path is not None:
        return path
    meant = hint(words)
    say(f"{why_not(words[0])}{f'; {meant}' if meant else ''}", ERROR)
    return ExitStatus.CANNOT_RUN if os.path.exists(words[0]) else ExitStatus.NOT_FOUND


def why_not(name: str) -> str:
    """Return why the program ``name``, which was not found, can't be run."""
    if not os.path.exists(name):
        return f"{name}: command not found"
    if os.path.isfile(name) and os.access(name, os.X_OK):
        return f"{name} is a file in this folder, and shells do not look for commands here"
    return f"{name} is not executable"


def hint(words: Sequence[str]) -> str | None:
    """Return what may be meant by a command line whose program was not found, or None."""
    name, arguments = words[0], words[1:]
    if os.path.isfile(name) and name.endswith(".py"):
        return _did_you_mean("python", name, *arguments)
    if name in _OF_MANAGE_PY:
        return _did_you_mean("python", _MANAGE_PY, name, *arguments)
    variable = name.partition("=")[0]
    for switch in switches.SWITCHES:
        if variable == switch.name:
            return f"write it as {switch.flag}{name.removeprefix(variable)}, before the command"
    beside = shutil.which(name, path=os.path.dirname(sys.executable))
    if beside is not None:
        return f"it is in the environment of devpatch: activate that, or name {beside}"
    if name == "python" and shutil.which("python3") is not None:
        return _did_you_mean("python3", *arguments)
    return None


def _did_you_mean(*words: str) -> str:
    return f"did you mean: {shlex.join(words)}?"
