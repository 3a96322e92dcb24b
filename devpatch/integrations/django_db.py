"""django.db: a thread that ends closes its database connections, which Django keeps per thread."""

from __future__ import annotations

from typing import Any

from .. import pool
from ..patching import Capability, Enlist


def _close_all(connections: Any) -> pool.Task:
    def close_those_of_this_thread() -> None:
        connections.close_all()

    return close_those_of_this_thread


PATCHES = (Enlist("django.db", "connections", Capability.THREADS, _close_all, pool.farewells),)
