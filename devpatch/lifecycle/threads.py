"""Whether a server's requests run concurrently, as a feature decided, and what threads leave behind."""

from __future__ import annotations

from collections.abc import Callable

# Each thread that ends calls these. Frameworks keep things per thread, for example database connections.
cleanups: list[Callable[[], object]] = []

_concurrent: bool | None = None  # None: as the server would do it by itself
_wait: Callable[[], object] | None = None


def decide(concurrent: bool, wait: Callable[[], object]) -> Callable[[], None]:
    """Have requests run concurrently, or one at a time. Return a function that undoes it.

    ``wait`` returns when all requests that were accepted are done.
    """
    global _concurrent, _wait
    _concurrent, _wait = concurrent, wait
    return _forget


def _forget() -> None:
    global _concurrent, _wait
    _concurrent = _wait = None


def run_concurrently(by_itself: bool) -> bool:
    """Return whether a server is to handle requests concurrently. ``by_itself``: whether it would without us."""
    return by_itself if _concurrent is None else _concurrent


def wait_until_done() -> None:
    """Wait for the requests in progress, after a program has let its server end."""
    if _wait is not None:
        _wait()
