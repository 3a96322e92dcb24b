"""The user's command as the doctor sees it: which Python it runs, and what happens when it is started."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ... import switches
from ...lifecycle import examination

_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?", re.IGNORECASE)
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_WHAT_RUNS = re.compile("-[bBdEiIOqsSuvPx]*[mc]")
_PROBE = Path(__file__).with_name("probe.py")
_PROBE_LIMIT = 30.0  # seconds for an interpreter to start and end
_START_LIMIT = 60.0  # seconds for the command to start its server
_LAST_LINES = 6  # of the output of a command that did not start a server
_FLASK_FILES = ("app.py", "wsgi.py")  # in which Flask looks for an application


class Interpreter(NamedTuple):
    """A Python and its options, such as -I."""

    path: str
    options: tuple[str, ...] = ()


class Trial(NamedTuple):
    """What the started command reported, or None, and the last lines that it printed."""

    report: dict[str, Any] | None
    output: str
    timed_out: bool = False


def guess(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the usual command of the project in ``folder``, or an empty list."""
    if (folder / "manage.py").is_file():
        return [sys.executable, "manage.py", "runserver"]
    if environ.get("FLASK_APP") or any((folder / name).is_file() for name in _FLASK_FILES):
        return [sys.executable, "-m", "flask", "run", "--debug"]
    return []


def interpreter_of(command: list[str]) -> Interpreter | None:
    """Return the Python that ``command`` runs, or None if its first word does not tell."""
    path = shutil.which(command[0])
    if path is None:
        return None
    if _PYTHON.fullmatch(os.path.basename(path)):
        return Interpreter(path, _options(command[1:]))
    words = _shebang(path)
    if words and os.path.basename(words[0]) == "env" and len(words) > 1:
        words = [shutil.which(words[1]) or words[1], *words[2:]]
    if words and _PYTHON.fullmatch(os.path.basename(words[0])):
        return Interpreter(words[0], tuple(words[1:]))
    # On Windows, a script in the folder of an environment is a program.
    beside = Path(path).with_name("python.exe")
    return Interpreter(str(beside)) if os.name == "nt" and beside.is_file() else None


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
        words = [interpreter.path, *interpreter.options, str(_PROBE), found]
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
        timed_out = False
        with open(output, "w+b") as file:
            try:
                subprocess.run(
                    [shutil.which(command[0]) or command[0], *command[1:]],
                    env={**environ, examination.VARIABLE: report},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=_START_LIMIT,
                )
            except subprocess.TimeoutExpired:
                timed_out = True
            except OSError as error:
                return Trial(None, str(error))
            file.seek(0)
            lines = file.read().decode("utf-8", "replace").splitlines()
        try:
            with open(report) as written:
                return Trial(json.load(written), "")
        except (OSError, ValueError):
            return Trial(None, "\n".join(lines[-_LAST_LINES:]), timed_out)
