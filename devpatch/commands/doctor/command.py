"""The user's command as the doctor sees it: which Python it runs, and what happens when it is started."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from ... import switches
from ...console import plain
from ...lifecycle import examination

_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?", re.IGNORECASE)
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_WHAT_RUNS = re.compile("-[bBdEiIOqsSuvPx]*[mc]")
# Programs that run another one, in an environment that they make.
_WRAPPERS = ("devpatch", "env", "uv", "poetry", "pipenv", "pdm", "hatch", "direnv")
_PROBE = Path(__file__).with_name("probe.py")
_PROBE_LIMIT = 30.0  # seconds for an interpreter to start and end
_START_LIMIT = 60.0  # seconds for the command to start its server
_LAST_LINES = 6  # of the output of a command that did not start a server


class Interpreter(NamedTuple):
    """A Python and its options, such as -I. ``before``: the words that start it, such as `uv run`."""

    path: str
    options: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((*self.before, self.path))


class Trial(NamedTuple):
    """What the started command reported, or None, and the last lines that it printed."""

    report: dict[str, Any] | None
    output: str
    timed_out: bool = False


def interpreter_of(command: list[str]) -> Interpreter | None:
    """Return the Python that ``command`` runs, or None if its first word does not tell."""
    path = shutil.which(command[0])
    if path is None:
        return None
    if is_python(path):
        return Interpreter(path, _options(command[1:]))
    if _name(path) in _WRAPPERS:
        return _wrapped(command)
    words = _shebang(path)
    if words and os.path.basename(words[0]) == "env" and len(words) > 1:
        words = [shutil.which(words[1]) or words[1], *words[2:]]
    if words and _PYTHON.fullmatch(os.path.basename(words[0])):
        return Interpreter(words[0], tuple(words[1:]))
    # On Windows, a script in the folder of an environment is a program.
    beside = Path(path).with_name("python.exe")
    return Interpreter(str(beside)) if os.name == "nt" and beside.is_file() else None


def names_a_switch(command: list[str]) -> bool:
    """Whether ``command`` itself sets a switch, as `devpatch run --failsafe` and `env DEVPATCH_FAILSAFE=1` do."""
    if command and _name(command[0]) == "devpatch":
        return True
    known = {name for switch in switches.SWITCHES for name in (switch.name, switch.flag)}
    return any(word.partition("=")[0] in known for word in command)


def is_python(path: str) -> bool:
    """Whether the program at ``path`` is a Python, by its name."""
    return _PYTHON.fullmatch(os.path.basename(path)) is not None


def _name(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _wrapped(command: list[str]) -> Interpreter | None:
    number = next((number for number, word in enumerate(command) if is_python(word)), None)
    if number is None:
        return None
    return Interpreter(command[number], _options(command[number + 1 :]), tuple(command[:number]))


def _options(words: list[str]) -> tuple[str, ...]:
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or _WHAT_RUNS.fullmatch(word):
            flags = word[1:-1] if word.startswith("-") else ""
            return (*options, *([f"-{flags}"] if flags else []))
        options.append(word)
        if word in _WITH_VALUE:
            options.append(next(rest, ""))
    return tuple(options)


def _shebang(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            line = file.readline(1000)
    except OSError:
        return []
    return line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []


def facts_of(interpreter: Interpreter) -> dict[str, Any] | None:
    """Start ``interpreter`` with a switch on, and return what ``probe.py`` finds. None if it can't be started."""
    environ = {**os.environ, switches.VERBOSE.name: switches.ON}
    with tempfile.TemporaryDirectory() as folder:
        found = os.path.join(folder, "facts.json")
        words = [*interpreter.before, interpreter.path, *interpreter.options, str(_PROBE), found]
        try:
            subprocess.run(
                words, env=environ, capture_output=True, timeout=_PROBE_LIMIT, stdin=subprocess.DEVNULL
            )
            with open(found) as file:
                return dict(json.load(file))
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None


def start(command: list[str], environ: Mapping[str, str]) -> Trial:
    """Start ``command``. It ends before its server serves, and reports what the switches of ``environ`` can do."""
    with tempfile.TemporaryDirectory() as folder:
        report, output = os.path.join(folder, "report.json"), os.path.join(folder, "output")
        with open(output, "w+b") as file:
            try:
                timed_out = _run(command, {**environ, examination.VARIABLE: report}, file)
            except OSError as error:
                return Trial(None, str(error))
            file.seek(0)
            lines = plain(file.read().decode("utf-8", "replace")).splitlines()
        try:
            with open(report) as written:
                return Trial(json.load(written), "")
        except (OSError, ValueError):
            return Trial(None, "\n".join(lines[-_LAST_LINES:]), timed_out)


def _run(command: list[str], environ: Mapping[str, str], output: IO[bytes]) -> bool:
    """Run ``command`` until it ends, and return whether that took too long. Its children are ended too. Raises OSError.

    On Windows, only the command itself is ended.
    """
    process = subprocess.Popen(
        [shutil.which(command[0]) or command[0], *command[1:]],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a process group of its own, with the children
    )
    try:
        process.wait(_START_LIMIT)
    except subprocess.TimeoutExpired:
        return True
    finally:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    return False
