"""What the started command reported, as findings: the switches that have no effect, and those that are set too late."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ... import assembly, switches
from ...features import NO_RELOADER
from .finding import Finding, note
from .project import MANAGE_PY
from .variables import InFile

_BEFORE_ALL = (
    switches.FAILSAFE,
    switches.FASTRELOAD,
)  # They act in the first process, so they must be on there.
# What reads each file, if it is not known which program will run.
_READERS = {
    ".env": "Django reads no .env; `flask run` with python-dotenv reads it, and so do Docker Compose and editors",
    ".flaskenv": "only `flask run` with python-dotenv reads it",
    MANAGE_PY: "it runs after Python has started",
}


_DISABLES = "it turns off every other switch"


def obstacles(report: dict[str, Any], words: Sequence[str], *, are_on: bool) -> Iterator[Finding]:
    """Yield what keeps features from working. ``are_on``: whether the user has turned them on."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in report["reasons"].items():
        if reason is not None:
            by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield _obstacle(reason, names, report, words) if are_on else _limit(reason, names, report, words)


def _obstacle(reason: str, names: list[str], report: dict[str, Any], words: Sequence[str]) -> Finding:
    why, todo = _parts(reason, words)
    if reason.startswith(switches.PREFIX):  # A value that can't be used.
        return Finding(why, "a development server refuses to start with it", todo or "correct the value")
    if set(names) & set(report["refusing"]):
        why += ", and fail-fast lets no server start that it can't guard"
    what = f"{_joined(names)} {'has' if len(names) == 1 else 'have'} no effect on {report['server']}"
    return Finding(what, why, todo or "start the server in another way, or turn the switch off")


def _limit(reason: str, names: list[str], report: dict[str, Any], words: Sequence[str]) -> Finding:
    why, todo = _parts(reason, words)
    what = f"{_joined(names)} would have no effect on {report['server']}"
    return note(what, why, f"to use {'it' if len(names) == 1 else 'them'}, {todo or 'start another server'}")


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _parts(reason: str, words: Sequence[str]) -> tuple[str, str]:
    """Return what ``reason`` says, and what to do about it, which may be empty."""
    why, semicolon, todo = reason.rpartition("; ")
    if not semicolon:
        return reason, ""
    return why, (why == NO_RELOADER and _how_to_reload(words)) or todo


def _how_to_reload(words: Sequence[str]) -> str | None:
    option = next((word for word in words if word in ("--noreload", "--no-reload", "--no-debug")), None)
    return None if option is None else f"leave out {option}"


def late(found: InFile, report: dict[str, Any] | None, words: Sequence[str]) -> Finding | None:
    """Return why a switch in a file has no effect: nobody reads the file, or it is read too late. None if it has one.

    ``report`` is None if the command was not started.
    """
    switch, file = found
    todo = _how_to_set(switch, words)
    if report is None:
        what = f"{switch.name} is set in {file}, but not in the environment"
        return Finding(what, _READERS[file], todo)
    is_read = switch.name in report["variables"]
    if (
        is_read and switch.name not in report["late"]
    ):  # Another program has read the file, and started Python.
        return None
    if switch is switches.DISABLE:
        return (
            Finding(f"{switch.name} is set in {file}", _DISABLES, f"remove it from {file}")
            if is_read
            else None
        )
    if is_read:
        why = _why_too_late(switch, report)
        return Finding(f"{switch.name} is set in {file}, which is too late", why, todo) if why else None
    if file == MANAGE_PY:  # Its code has run, and did not set the variable.
        return None
    what = f"{switch.name} is set in {file}, but this command does not read it"
    return Finding(what, _why_not_read(file, report["server"]), todo)


def set_by_program(known: Sequence[InFile], report: dict[str, Any]) -> list[InFile]:
    """Return the switches that the program has set, besides those in the ``known`` files."""
    others = set(report["late"]) - {switch.name for switch, _file in known}
    return [InFile(switch, "the program") for switch in switches.SWITCHES if switch.name in others]


def working(
    report: dict[str, Any], blocked: Sequence[switches.Switch], environ: Mapping[str, str]
) -> list[str]:
    """Return the names of the features that work. The ``blocked`` switches are set too late."""
    given = switches.read(environ)
    without = {switch for switch in blocked if not given[switch]}
    if switches.FASTRELOAD in without and not given[switches.FAILSAFE]:
        without.add(switches.FAILSAFE)  # Fast reload has turned it on.
    names = {feature.name for feature in assembly.features() if feature.switch in without}
    return [name for name, reason in report["reasons"].items() if reason is None and name not in names]


def _why_too_late(switch: switches.Switch, report: dict[str, Any]) -> str | None:
    """Return why a switch that the program itself sets has no effect, or None if it has."""
    if switch in _BEFORE_ALL:
        return "it has to be set before Python starts, and the program reads it afterwards"
    if not report["reloads"]:
        return "it has to be set before Python starts; only a reloader would start a second Python afterwards"
    return None


def _why_not_read(file: str, server: str) -> str:
    if file == ".flaskenv":
        return _READERS[file]
    distributions = {row.name: row.distributions for row in assembly.servers()}.get(server, ())
    others = "Docker Compose and editors read it"
    if "django" in distributions:
        return f"Django reads no .env, and your settings do not put it into the environment; {others}"
    if "flask" in distributions:
        return f"Flask reads it only if python-dotenv is installed; {others}"
    return f"{server} reads no .env; {others}"


def _how_to_set(switch: switches.Switch, words: Sequence[str]) -> str:
    option = switch.flag if switch.is_on_or_off else f"{switch.flag}=VALUE"
    command = shlex.join(words) if words else "COMMAND"
    return f"set it in the shell or with direnv, or: devpatch run {option} -- {command}"
