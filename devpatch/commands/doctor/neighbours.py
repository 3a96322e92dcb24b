"""The doctor's look at installed packages that matter to devpatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ... import switches
from .finding import Finding, note

_TRACERS = ("ddtrace", "opentelemetry-instrumentation")
_GREENLETS = ("gevent", "eventlet")
_LOSES_CHANGES = 7  # the first version of watchdog with which Werkzeug's reloader loses changes


def check(installed: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield notes. ``installed`` has the versions by the names of distributions."""
    settings = switches.read(environ)
    watchdog = installed.get("watchdog", "0")
    if (
        int(watchdog.partition(".")[0]) >= _LOSES_CHANGES
        and "werkzeug" in installed
        and not settings[switches.FAILSAFE]
    ):
        yield note(
            f"watchdog {watchdog} is installed",
            "Werkzeug's reloader loses changes with it; with fail-safe on, devpatch uses the stat reloader",
            f"set {switches.FAILSAFE.name}=1, or pass reloader_type='stat'",
        )
    for name in _GREENLETS:
        if name in installed:
            yield note(
                f"{name} is installed",
                "if your program replaces threads by greenlets, requests do not run in threads of their own",
                f"if something hangs, try it without {name}",
            )
    for name in _TRACERS:
        if name in installed:
            yield note(
                f"{name} is installed",
                "it patches the same frameworks if it is active",
                f"if something looks odd, try it without {name}",
            )
    if "debugpy" in installed or "pydevd-pycharm" in installed:
        yield note(
            "a debugger is installed",
            "if it attaches to child processes, it starts the reloader's worker itself, and fail-safe does not know it",
            "if fail-safe does not hold a broken start under the debugger, turn off its option for child processes",
        )
