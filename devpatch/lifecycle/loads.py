"""Report to a listener that code could not be loaded.

Limits: a worker imports this module before the user's code, so it must import little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# The paths of files that devpatch writes when there is an error. A change of them is not a change of the code.
written: set[str] = set()


class End(NamedTuple):
    """How a worker ended: in words, and as its exit status or the name of the signal that ended it."""

    summary: str
    status: int | None
    signal: str | None


class Listener:
    """Receives the reports. This one ignores them."""

    def load_failed(self, error: BaseException) -> None:
        """Act on ``error``, which prevented this process from loading its code."""

    def worker_ended(self, end: End) -> None:
        """Act on the end of a worker that could not report its error."""

    def exited(self, error: BaseException) -> None:
        """Act on ``error``, which ended a framework's command line while the code was loaded. May raise SystemExit."""


listener = Listener()


def report_failure(error: BaseException) -> None:
    """Report ``error`` to the listener. Never raises."""
    _call(listener.load_failed, error)


def report_end(end: End) -> None:
    """Report ``end`` to the listener. Never raises."""
    _call(listener.worker_ended, end)


def _call(report: Callable[[Any], object], what: object) -> None:
    try:
        report(what)
    except Exception as failure:
        from ..console import say

        say(f"a failed load could not be reported: {type(failure).__name__}: {failure}")
