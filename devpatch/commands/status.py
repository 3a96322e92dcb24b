"""The status: the start-up file, the switches, the frameworks, and each feature on each server."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import devpatch

from .. import assembly, switches
from ..features import Feature
from ..lifecycle.endings import ExitStatus
from . import print_result

_FRAMEWORKS = ("Django", "Werkzeug", "Flask", "django-extensions", "daphne", "wrapt", "watchfiles")
_START_UP_FILE = "devpatch.pth"


def main(arguments: list[str]) -> int:
    """Print the status. Return 0, or ``ExitStatus.REFUSED`` if a switch has an invalid value."""
    parser = argparse.ArgumentParser(
        prog="devpatch status",
        description="Print which switches are set, and what they can do with the frameworks installed here.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    options = parser.parse_args(arguments)
    found = gather()
    print_result(json.dumps(found, indent=2) if options.json else render(found))
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
                "name": "every feature",
                "switch": None,
                "needs_reloader": False,
                "any_server": False,
                "servers": {"every server": reason},
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
    if feature.needs_reloader and not server.reloads:
        return "it has no reloader"
    for patch in assembly.patches_for(server.name):
        # A framework that is not installed needs no patch.
        is_here = importlib.util.find_spec(patch.target.partition(".")[0]) is not None
        if is_here and patch.provides in feature.needs and (reason := dry_run(patch)):
            return reason
    return None


def render(found: dict[str, Any]) -> str:
    """Return the result of ``gather`` as text for people."""
    lines = [f"devpatch {found['version']}, Python {found['python']}", "", "start-up file"]
    start_up = found["start_up_file"]
    lines += [f"  {path}" for path in start_up["paths"]] or [
        "  none in the site directories: install devpatch here"
    ]
    lines += ["  it ran in this process" if start_up["ran"] else f"  it did not run: {start_up['why_not']}"]
    lines += ["", "switches", *_columns(map(_switch_row, found["switches"]))]
    for unknown in found["unknown"]:
        hint = f"; did you mean {unknown['did_you_mean']}?" if unknown["did_you_mean"] else ""
        lines.append(f"  {_printable(unknown['name'])} is not a switch of devpatch{hint}")
    lines += ["", "frameworks"]
    lines += _columns((name, version or "not installed") for name, version in found["frameworks"].items())
    for feature in found["features"]:
        switch = f" ({feature['switch']})" if feature["switch"] else ""
        lines += ["", f"{feature['name']}{switch}"]
        lines += _columns(
            (server, f"not available: {reason}" if reason else "available")
            for server, reason in feature["servers"].items()
        )
        if feature["needs_reloader"]:
            lines.append("  It has no effect where the reloader is off (--noreload, debug off).")
        if feature["any_server"]:
            lines.append("  It works under any other WSGI server too.")
    return "\n".join(lines)


def _switch_row(switch: dict[str, Any]) -> tuple[str, str, str]:
    if not switch["valid"]:
        return switch["name"], "not valid", switch["problem"]
    value = switch["value"]
    value = ", ".join(value) or False if isinstance(value, list | tuple) else value
    value = {"True": "on", "False": "off", "None": "as the server does"}.get(str(value), str(value))
    if switch["implied_by"]:
        value += f" ({switch['implied_by']})"
    elif not (switch["set_to"] or "").strip():
        value += " (unset)"
    return switch["name"], value, switch["help"]


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _columns(rows: Any) -> list[str]:
    rows = [tuple(row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[-1] = 0
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
