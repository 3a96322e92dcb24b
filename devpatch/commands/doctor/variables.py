"""The doctor's look at the variables: those of the environment, and those in files that programs read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ... import switches
from ...refusals import is_in_ci
from .finding import Finding
from .project import MANAGE_PY

# Where people set variables for their program, besides the environment. In a text, only an assignment counts.
_IN_TEXT = re.compile(rf"^[ \t]*(?:export[ \t]+)?({switches.PREFIX}\w+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)
_IN_CODE = re.compile(
    rf"^[^#\n]*environ(?:\.setdefault\(|\[)\s*[\"']({switches.PREFIX}\w+)[\"']", re.MULTILINE
)
_FILES = {".env": _IN_TEXT, ".flaskenv": _IN_TEXT, MANAGE_PY: _IN_CODE}
_MAX_FILE = 100_000  # characters that are read of a file
_KNOWN = {switch.name: switch for switch in switches.SWITCHES}


class InFile(NamedTuple):
    """A switch that a file sets, and the environment does not."""

    switch: switches.Switch
    file: str


def check(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what in ``environ`` turns every switch off, or keeps every server from starting."""
    settings = switches.read(environ)
    if settings.disabled:
        name = switches.DISABLE.name
        yield Finding(f"{name} is set", "it turns off every other switch", f"unset {name}")
    for problem in settings.problems:
        what, colon, allowed = problem.rpartition(": use ")
        if not colon:  # Two switches contradict each other.
            what, _colon, allowed = problem.rpartition(": ")
        todo = f"use {allowed}" if colon else allowed
        yield Finding(what, "a development server refuses to start with it", todo)
    if is_in_ci(environ):
        why = "CI is set, so a development server refuses to start with it"
        yield from (_unknown(name, why) for name in settings.unknown)


def without_effect(environ: Mapping[str, str], folder: Path) -> Iterator[Finding]:
    """Yield the variables of ``environ``, and of files of ``folder``, that have no effect whatever the command is."""
    settings = switches.read(environ)
    if not is_in_ci(environ):
        yield from (_unknown(name) for name in settings.unknown)
    for name in environ:
        if meant := _meant_by(name):
            yield _unknown(name, meant=meant)
    for hint in settings.hints:
        what, _colon, todo = hint.partition(": ")
        yield Finding(what, "it only adjusts that switch, which is not set", todo)
    files = {name: file for file, name, _value in _assignments(folder) if name not in _KNOWN}
    for name, file in files.items():
        yield _unknown(name, file=file)


def _unknown(
    name: str, why: str = "it has no effect", *, meant: str | None = None, file: str | None = None
) -> Finding:
    """Return the finding for a variable that is not a switch. ``file`` sets it, or the environment."""
    shown = name if name.isprintable() else repr(name)
    where = f" in {file}" if file else ""
    meant = meant or switches.nearest(name)
    todo = f"did you mean {meant}?" if meant else "`devpatch --help` lists the switches"
    return Finding(f"{shown}{where} is not a switch of devpatch", why, todo)


def _meant_by(name: str) -> str | None:
    """Return the switch that a name in lower case, or with another prefix, stands for. None for other names."""
    if name.startswith(switches.PREFIX):
        return None
    letters = name.upper().replace("_", "").replace("-", "")
    if not letters.startswith(switches.PREFIX.strip("_")):
        return None
    return next((s.name for s in switches.SWITCHES if s.name.replace("_", "") == letters), None)


def in_files(environ: Mapping[str, str], folder: Path) -> list[InFile]:
    """Return the switches that files of ``folder`` turn on, and ``environ`` does not set."""
    found: dict[str, InFile] = {}
    for file, name, value in _assignments(folder):
        switch = _KNOWN.get(name)
        if switch is not None and name not in environ and _is_on(switch, value):
            found.setdefault(name, InFile(switch, file))
    return list(found.values())


def _assignments(folder: Path) -> Iterator[tuple[str, str, str | None]]:
    """Yield the file, the name and the value of each assignment. The value of one in code is not known: it is None."""
    for file, pattern in _FILES.items():
        try:
            text = (folder / file).read_text(encoding="utf-8", errors="replace")[:_MAX_FILE]
        except OSError:
            continue
        for found in pattern.finditer(text):
            yield file, found[1], found[2] if pattern is _IN_TEXT else None


def _is_on(switch: switches.Switch, value: str | None) -> bool:
    if value is None:
        return True
    text = value.partition(" #")[0].strip().strip("'\"")
    reading = switches.read({switch.name: text}).readings[switch.name]
    return bool(reading.problem) or (reading.is_set and reading.value not in (False, ()))
