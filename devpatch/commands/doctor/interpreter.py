"""The doctor's look at the Python of the command: does it read the start-up file of this version?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import devpatch

from .command import Interpreter
from .finding import Finding, note

_OLDEST = (3, 10)
_RUN = "start the command with `devpatch run`, which needs no start-up file"


def check(interpreter: Interpreter, facts: dict[str, Any] | None) -> Iterator[Finding]:
    """Yield what keeps ``interpreter`` from starting devpatch. ``facts`` are those of ``probe.py``."""
    if facts is None:
        yield Finding(f"{interpreter} can't be started", "nothing can be said about it", "check the command")
        return
    if tuple(facts["version"][:2]) < _OLDEST:
        version = ".".join(map(str, facts["version"]))
        yield Finding(
            f"the command runs Python {version}", "devpatch needs 3.10 or later", "use a newer Python"
        )
        return
    if not facts["ran"]:
        yield _why_not(interpreter, facts)
        return
    yield from _check_version(facts)
    if facts["wrapt"]:
        todo = f"{interpreter} -m pip install --force-reinstall wrapt"
        yield Finding(f"wrapt can't be imported: {facts['wrapt']}", "nothing can be patched without it", todo)


def _why_not(interpreter: Interpreter, facts: dict[str, Any]) -> Finding:
    """Return why the start-up file did not run in this Python."""
    name = str(interpreter)
    if facts["ignores_environment"]:
        return Finding(
            "Python is started with -E or -I", "it hides the environment from devpatch", "leave it out"
        )
    if facts["no_site"]:
        return Finding("Python is started with -S", "it reads no start-up file (.pth)", "leave it out")
    if facts["start_up_files"]:
        file = facts["start_up_files"][0]
        return Finding(f"{file} is there, but did not start devpatch", "it may be broken", _reinstall(name))
    user = facts["user_site"]
    if user and user["start_up_file"] and not user["enabled"]:
        why = "this Python ignores it: PYTHONNOUSERSITE, -s, or a virtual environment"
        return Finding(f"devpatch is in the user's folder, {user['start_up_file']}", why, _install(name))
    if facts["module"]:
        why = f"Python found devpatch in {os.path.dirname(facts['module'])}, but reads .pth files only in site-packages"
        return Finding("there is no start-up file (devpatch.pth)", why, f"{_install(name)}; or {_RUN}")
    why = f"the command runs {facts['executable']}, and devpatch is not installed there"
    return Finding("devpatch is not installed in the command's Python", why, f"{_install(name)}; or {_RUN}")


def _check_version(facts: dict[str, Any]) -> Iterator[Finding]:
    if facts["module_version"] != devpatch.__version__:
        yield Finding(
            f"the command's Python has devpatch {facts['module_version']}, and this is {devpatch.__version__}",
            f"the copy in {os.path.dirname(facts['module'] or '')} comes first there",
            "install the same version in both",
        )
    files = facts["start_up_files"]
    if len(files) > 1:
        why = "the first one wins, and it may be of another version"
        yield note(f"there are {len(files)} start-up files: {', '.join(files)}", why, "uninstall the others")


def _install(python: str) -> str:
    return f"{python} -m pip install devpatch"


def _reinstall(python: str) -> str:
    return f"{python} -m pip install --force-reinstall devpatch"
