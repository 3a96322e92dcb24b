"""Prompts and debuggers that have stopped a thread of this process, and for which a reload waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import sessions

_condition = threading.Condition()
_open = 0


def run(prompt: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``prompt``, which returns when the program goes on. Until then, ``wait`` waits."""
    _count(1)
    try:
        return prompt(*args, **kwargs)
    finally:
        _count(-1)


def _count(step: int) -> None:
    global _open
    with _condition:
        was_open = bool(_open)
        _open += step
        if bool(_open) != was_open:
            sessions.worker.prompts(bool(_open))
        _condition.notify_all()


def wait() -> bool:
    """Before a reload with a supervisor: wait until no prompt is open. The supervisor says so.

    Return whether one was open.
    """
    if not sessions.worker.is_supervised:
        return False
    with _condition:
        was_open = bool(_open)
        if was_open:
            sessions.worker.reload_waits()
            _condition.wait_for(lambda: not _open)
    return was_open
