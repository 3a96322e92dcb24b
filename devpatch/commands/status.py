"""The status: the start-up file, the switches, the frameworks, and each feature on each server."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import devpatch

from .. import assembly, switches
from ..console import is_coloured
from ..features import Feature
from ..lifecycle.endings import ExitStatus
from . import print_result
from .parser import Parser

_FRAMEWORKS = ("Django", "Werkzeug", "Flask", "django-extensions", "daphne", "wrapt", "watchfiles")
_START_UP_FILE = "devpatch.pth"


def main(arguments: list[str]) -> int:
    """Print the status. Return 0, or ``ExitStatus.REFUSED`` if a switch has an invalid value."""
    parser = Parser(
        "devpatch status",
        description="Print which switches are set, and what they can do with the frameworks installed here.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    options = parser.read(arguments)
    found = gather()
    print_result(json.dumps(found, indent=2) if options.json else render(found, is_coloured(sys.stdout)))
    is_valid = all(switch["valid"] for switch in found["switches"])
    return 0 if is_valid else int(ExitStatus.REFUSED)


def gather() -> dict[str, Any]:
    """Return the status as a mapping that can be written as JSON."""
    settings = switches.read(os.environ)
    return {
        "version": devpatch.__version__,
        "python": sys.version.split()[0],
        "start_up_file": {
            "paths": _start_up_files(),
            "ran": devpatch.started,
            "why_not": _why_not_run(),
        },
        "switches": [_switch(reading) for reading in settings.readings.values()],
        "unknown": [{"name": name, "did_you_mean": switches.nearest(name)} for name in settings.unknown],
        "frameworks": {name: _version(name) for name in _FRAMEWORKS},
        "features": _features(),
    }


def _start_up_files() -> list[str]:
    # A checkout contains the file too, but Python reads it only in site directories.
    files = [Path(folder, _START_UP_FILE) for folder in sys.path if "-packages" in Path(folder).name]
    return list(dict.fromkeys(str(file.resolve()) for file in files if file.is_file()))


def _why_not_run() -> str | None:
    if devpatch.started:
        return None
    if sys.flags.ignore_environment:
        return "python was started with -E or -I"
    if not any(name.startswith(switches.PREFIX) for name in os.environ):
        return "no DEVPATCH_ variable is set"
    return (
        "python did not read it; was it started with -S, or is devpatch not installed but only on the path?"
    )


def _switch(reading: switches.Reading) -> dict[str, Any]:
    return {
        "name": reading.switch.name,
        "set_to": reading.text,
        "value": reading.value,
        "implied_by": reading.implied_by.name if reading.implied_by else None,
        "valid": reading.problem is None,
        "problem": reading.problem,
        "help": reading.switch.help,
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _features() -> list[dict[str, Any]]:
    """Check the patches of every feature against the installed frameworks, without making them."""
    try:
        from .. import patching  # noqa: F401
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A broken wrapt may raise anything.
        reason = f"wrapt could not be used ({type(error).__name__}: {error})"
        return [
            {
                "name": "any feature",
                "switch": None,
                "needs_reloader": False,
                "any_server": False,
                "servers": {"any server": reason},
            }
        ]
    assembly.prepare_checks()
    return [
        {
            "name": feature.name,
            "switch": feature.switch.name,
            "needs_reloader": feature.needs_reloader,
            "any_server": not feature.watches_requests,
            "servers": {server.name: _why_not_available(feature, server) for server in assembly.servers()},
        }
        for feature in sorted(
            assembly.features(), key=lambda feature: switches.SWITCHES.index(feature.switch)
        )
    ]


def _why_not_available(feature: Feature, server: assembly.Server) -> str | None:
    from ..patching import dry_run

    for distribution in server.distributions:
        if _version(distribution) is None:
            return f"{distribution} is not installed"
    if feature.needs_reloader and server.reloader is None:
        return "it has no reloader"
    for patch in assembly.patches_for(server.name):
        # A framework that is not installed needs no patch.
        is_here = importlib.util.find_spec(patch.target.partition(".")[0]) is not None
        if is_here and patch.provides in feature.needs and (reason := dry_run(patch)):
            return reason
    return None


def render(found: dict[str, Any], coloured: bool = False) -> str:
    """Return the result of ``gather`` as text for people: a table of features by servers, then what needs a word."""
    versions = ", ".join(f"{name} {version}" for name, version in found["frameworks"].items() if version)
    lines = [
        f"devpatch {found['version']}, Python {found['python']}, {versions}",
        _start_up(found["start_up_file"]),
    ]
    servers = [server for server, installed in _servers(found).items() if installed]
    switched = {switch["name"]: switch for switch in found["switches"]}
    header = ("", "switch", "is", *servers)
    rows = [_row(feature, switched.get(feature["switch"]), servers) for feature in found["features"]]
    lines += ["", *_columns([header, *rows], _COLOURS if coloured else {}), ""]
    lines += _remarks(found, servers)
    lines += ["`devpatch --help` explains the switches. `devpatch doctor` says why one does not work."]
    return "\n".join(lines)


_COLOURS = {"yes": "32", "no": "31", "on": "1", "not valid": "31;1"}


def _start_up(found: dict[str, Any]) -> str:
    where = ", ".join(found["paths"]) or "none in the site directories: install devpatch here"
    ran = "it ran in this process" if found["ran"] else f"it did not run: {found['why_not']}"
    return f"start-up file: {where}; {ran}"


def _servers(found: dict[str, Any]) -> dict[str, bool]:
    """Return whether each server is installed."""
    names = dict.fromkeys(server for feature in found["features"] for server in feature["servers"])
    rows = {row.name: row for row in assembly.servers()} if _is_patchable(found) else {}
    return {
        name: all(_version(needed) is not None for needed in rows[name].distributions)
        if name in rows
        else True
        for name in names
    }


def _is_patchable(found: dict[str, Any]) -> bool:
    return all(feature["switch"] for feature in found["features"])


def _row(feature: dict[str, Any], switch: dict[str, Any] | None, servers: list[str]) -> tuple[str, ...]:
    cells = ("no" if feature["servers"][server] else "yes" for server in servers)
    return feature["name"], switch["name"] if switch else "", _value(switch) if switch else "", *cells


def _value(switch: dict[str, Any]) -> str:
    """Return what a switch is set to, in a few characters."""
    if not switch["valid"]:
        return "not valid"
    value = switch["value"]
    value = ", ".join(map(str, value)) or False if isinstance(value, list | tuple) else value
    shown = {"True": "on", "False": "off", "None": "off"}.get(str(value), str(value))
    return shown if len(shown) <= _MAX_VALUE else f"{shown[: _MAX_VALUE - 1]}…"


_MAX_VALUE = 24


def _remarks(found: dict[str, Any], servers: list[str]) -> list[str]:
    lines = [switch["problem"] for switch in found["switches"] if not switch["valid"]]
    for unknown in found["unknown"]:
        hint = f"; did you mean {unknown['did_you_mean']}?" if unknown["did_you_mean"] else ""
        lines.append(f"{_printable(unknown['name'])} is not a switch of devpatch{hint}")
    features = {feature["switch"] for feature in found["features"]}
    others = [
        s
        for s in found["switches"]
        if s["valid"] and (s["set_to"] or "").strip() and s["name"] not in features
    ]
    lines += [f"also set: {switch['name']}={_printable(switch['set_to'])}" for switch in others]
    implied = [s for s in found["switches"] if s["implied_by"]]
    lines += [f"{switch['name']} is on because of {switch['implied_by']}" for switch in implied]
    for feature in found["features"]:
        lines += _reasons(feature, servers)
        if feature["needs_reloader"]:
            lines.append(f"{feature['name']} needs the reloader: leave out --noreload, and turn debug on")
        if feature["any_server"]:
            lines.append(f"{feature['name']} works under any other WSGI server too")
    return lines


def _reasons(feature: dict[str, Any], servers: list[str]) -> list[str]:
    """Return one line for each reason for which the feature is not available."""
    by_reason: dict[str, list[str]] = {}
    for server in servers:
        if reason := feature["servers"][server]:
            by_reason.setdefault(reason, []).append(server)
    return [f"no {feature['name']} on {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _columns(rows: list[tuple[str, ...]], colours: dict[str, str]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [_painted(cell, cell.ljust(width), colours) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _painted(cell: str, padded: str, colours: dict[str, str]) -> str:
    return f"\x1b[{colours[cell]}m{padded}\x1b[0m" if cell in colours else padded
