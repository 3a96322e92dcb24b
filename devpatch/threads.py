"""How requests are handled, where a switch says so: at once by a pool, or one by one, whatever the server would do.

Integrations ask ``handles_at_once`` before a server is made, and give it to ``apply`` before it serves.
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable
from functools import partial
from typing import Any

from .pool import Pool
from .pooled import PooledServer

bound: int | None = None  # at most so many requests at once; None: any number
_at_once: bool | None = None  # None: as the server would do it by itself
_pools: list[Pool] = []


def choose(at_once: bool, at_most: int | None) -> Callable[[], None]:
    """Have servers handle requests at once, with ``at_most`` threads (None: any number), or one by one."""
    global _at_once, bound
    _at_once, bound = at_once, at_most
    return _forget_choice


def _forget_choice() -> None:
    global _at_once, bound
    _at_once = bound = None


def handles_at_once(server_does: bool) -> bool:
    """Return whether a server is to handle requests at once, given what it would do by itself."""
    return server_does if _at_once is None else _at_once


def apply(server: Any) -> Callable[[], object]:
    """Let ``server`` do as was chosen, before it accepts its first connection; returns what undoes it."""
    if _at_once is None:
        return lambda: None
    if not _at_once:
        if not isinstance(server, socketserver.ThreadingMixIn):
            return lambda: None
        handle_here: Any = socketserver.BaseServer.process_request
        vars(server)["process_request"] = partial(handle_here, server)
        return lambda: vars(server).pop("process_request", None)
    pool = Pool(bound)
    _pools.append(pool)
    return PooledServer(server, pool).undo


def finish() -> None:
    """Wait for the requests at hand, when a program has let its server come to an end and goes on."""
    for pool in _pools:
        pool.wait_until_done()


def stop_counting_this_thread() -> None:
    """Say that this thread will only wait for its client from now on, so that another may take its place."""
    for pool in _pools:
        pool.stop_counting_this_thread()
