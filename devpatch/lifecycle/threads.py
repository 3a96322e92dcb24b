"""Whether a server's requests run concurrently, how long one waited for a thread, and what a thread must clean up."""

from __future__ import annotations

import socketserver
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

# A thread calls these before it ends. Frameworks keep resources per thread, such as database connections.
cleanups: list[Callable[[], object]] = []

_concurrent: bool | None = None  # None: as the server does by default
_wait: Callable[[], object] | None = None

# How long this context's next request has waited for a thread, in seconds.
_waited: ContextVar[float] = ContextVar("devpatch_waited", default=0.0)


def forks(server_class: Any) -> bool:
    """Whether servers of this class fork for each request. Windows does not have such servers."""
    mixin = getattr(socketserver, "ForkingMixIn", None)
    return mixin is not None and isinstance(server_class, type) and issubclass(server_class, mixin)


def decide(concurrent: bool, wait: Callable[[], object]) -> Callable[[], None]:
    """Make requests run concurrently, or one at a time. Return a function that undoes it.

    ``wait`` returns when all accepted requests are done.
    """
    global _concurrent, _wait
    _concurrent, _wait = concurrent, wait
    return _forget


def _forget() -> None:
    global _concurrent, _wait
    _concurrent = _wait = None


def run_concurrently(by_itself: bool) -> bool:
    """Return whether a server handles requests concurrently. ``by_itself``: whether it does by default."""
    return by_itself if _concurrent is None else _concurrent


def wait_until_done() -> None:
    """Wait for the requests in progress. The program has ended its serving loop."""
    if _wait is not None:
        _wait()


def note_wait(seconds: float) -> None:
    """Record that the connection that is handled in this context has waited for a thread."""
    _waited.set(seconds)


def take_wait() -> float:
    """Return for how many seconds the request that begins in this context has waited. The next one has not."""
    seconds = _waited.get()
    if seconds:
        _waited.set(0.0)
    return seconds
