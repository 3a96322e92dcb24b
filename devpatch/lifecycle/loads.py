"""Code that could not be loaded: who wants to hear of it.

Limits: a worker imports this before the user's code, so it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# The paths of files that devpatch writes because of an error. Their changes say nothing about the code.
written: set[str] = set()


class End(NamedTuple):
    """How a worker ended: in words, and its exit status or the name of the signal that ended it."""

    summary: str
    status: int | None
    signal: str | None


_on_failure: list[Callable[[BaseException], object]] = []
_on_end: list[Callable[[End], object]] = []
_on_exit: list[Callable[[BaseException], object]] = []


def listen(
    failed: Callable[[BaseException], object],
    ended: Callable[[End], object],
    exited: Callable[[BaseException], object],
) -> None:
    """Have a function called for each of ``report_failure``, ``report_end`` and ``report_exit``."""
    _on_failure.append(failed)
    _on_end.append(ended)
    _on_exit.append(exited)


def report_failure(error: BaseException) -> None:
    """Report ``error``, which prevented the code of this process from being loaded. Never raises."""
    for listener in _on_failure:
        _call(listener, error)


def report_end(end: End) -> None:
    """Report how a worker ended that could not report its error. Never raises."""
    for listener in _on_end:
        _call(listener, end)


def report_exit(error: BaseException) -> None:
    """Report that ``error`` of the code left a framework's command line. Raises SystemExit."""
    for listener in _on_exit:
        listener(error)


def _call(listener: Callable[[Any], object], argument: object) -> None:
    try:
        listener(argument)
    except Exception as failure:
        from ..console import say

        say(f"a failed load could not be reported: {type(failure).__name__}: {failure}")
