"""django.db: a thread closes its database connections before it ends. Django keeps connections per thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import threads
from ..patching import Capability, Register


def _close_all(connections: Any) -> Callable[[], None]:
    def close_those_of_this_thread() -> None:
        connections.close_all()

    return close_those_of_this_thread


PATCHES = (Register("django.db", "connections", Capability.THREADS, _close_all, threads.cleanups),)
