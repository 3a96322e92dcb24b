"""The doctor's look at the variables: those of the environment, and those in files that come too late."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ... import switches
from .finding import Finding, note

# Where people set variables for their program. Python has started before the program reads one of them.
_LATE_FILES = {
    ".env": "only `flask run` (with python-dotenv), Docker Compose and editors read it",
    ".flaskenv": "`flask run` reads it after Python has started",
    "manage.py": "it runs after Python has started",
}
_ASSIGNED = re.compile(rf"^(?!\s*#).*?\b({switches.PREFIX}[A-Z_]+)\b", re.MULTILINE)
_MAX_FILE = 100_000  # characters that are read of a file


def check(environ: Mapping[str, str], folder: Path) -> Iterator[Finding]:
    """Yield what is wrong with the variables of ``environ``, and those in the files of ``folder``."""
    settings = switches.read(environ)
    if settings.disabled:
        name = switches.DISABLE.name
        yield Finding(f"{name} is set", "it turns off every other switch", f"unset {name}")
    for problem in settings.problems:
        what, _colon, allowed = problem.partition(": use ")
        yield Finding(what, "a development server refuses to start with it", f"use {allowed}")
    for name in settings.unknown:
        yield _unknown(name, switches.nearest(name))
    for name in environ:
        if meant := _meant_by(name):
            yield _unknown(name, meant)
    for hint in settings.hints:
        what, _colon, todo = hint.partition(": ")
        yield Finding(what, "no error stops the server", todo)
    yield from _late(environ, folder)


def _unknown(name: str, meant: str | None) -> Finding:
    shown = name if name.isprintable() else repr(name)
    todo = f"did you mean {meant}?" if meant else "`devpatch --help` lists the switches"
    return Finding(f"{shown} is not a switch of devpatch", "it has no effect", todo)


def _meant_by(name: str) -> str | None:
    """Return the switch that a name in lower case, or with another prefix, stands for. None for other names."""
    if name.startswith(switches.PREFIX):
        return None
    letters = name.upper().replace("_", "").replace("-", "")
    if not letters.startswith(switches.PREFIX.strip("_")):
        return None
    return next((s.name for s in switches.SWITCHES if s.name.replace("_", "") == letters), None)


def _late(environ: Mapping[str, str], folder: Path) -> Iterator[Finding]:
    for file, reader in _LATE_FILES.items():
        try:
            text = (folder / file).read_text(encoding="utf-8", errors="replace")[:_MAX_FILE]
        except OSError:
            continue
        for name in sorted(set(_ASSIGNED.findall(text)) - set(environ)):
            if name in {switch.name for switch in switches.SWITCHES}:
                yield _late_finding(name, file, reader)


def _late_finding(name: str, file: str, reader: str) -> Finding:
    todo = f"set {name} before Python starts: in the shell, with direnv, or with `devpatch run`"
    what = f"{name} is set in {file}, but not in the environment"
    if name == switches.FAILSAFE.name:
        return Finding(what, f"too late: {reader}", todo)
    return note(what, reader, f"if it has no effect, {todo}")
