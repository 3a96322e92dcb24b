"""django.db: the queries of each request, and the connections, which a thread closes before it ends.

Django calls ``_execute_with_wrappers`` for each query, also without DEBUG. That method is watched. A function in a
connection's ``execute_wrappers``, which is Django's public way, would cost each query some microseconds more, and
other code would see it in that list. COMMIT, ROLLBACK and BEGIN take another way, which Django itself lists for
DEBUG only.

Limits: COMMIT and ROLLBACK of Oracle are not seen, because its backend has its own reference to Django's function.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from ..lifecycle import costs, threads
from ..lifecycle.tracebacks import hide_own_frames
from ..patching import Capability, Connect, Decorate, Register, Replace


def _close_all(connections: Any) -> Callable[[], None]:
    def close_those_of_this_thread() -> None:
        connections.close_all()

    return close_those_of_this_thread


def _watch_execute(execute: Callable[..., Any]) -> Callable[..., Any]:
    def watched(cursor: Any, sql: Any, params: Any, many: bool, executor: Any) -> Any:
        __traceback_hide__ = True
        observer = costs.current()
        if observer is None:
            return execute(cursor, sql, params, many, executor)
        began = time.perf_counter()
        try:
            return execute(cursor, sql, params, many, executor)
        finally:
            observer.query(sql, params, time.perf_counter() - began)

    return watched


class _TimedTransaction:
    """Reports the time of a COMMIT, ROLLBACK or BEGIN. It leaves no frame in a traceback."""

    def __init__(self, manager: Any, sql: str) -> None:
        self._manager = manager
        self._sql = sql

    def __enter__(self) -> Any:
        self._began = time.perf_counter()
        return self._manager.__enter__()

    def __exit__(self, *error: Any) -> Any:
        observer = costs.current()
        if observer is not None:
            observer.query(self._sql, None, time.perf_counter() - self._began)
        return self._manager.__exit__(*error)


def _make_debug_transaction(debug_transaction: Callable[..., Any]) -> Callable[..., Any]:
    def timed(connection: Any, sql: str) -> Any:
        manager = debug_transaction(connection, sql)
        return manager if costs.current() is None else _TimedTransaction(manager, sql)

    return timed


def _hide_frames(**_: Any) -> None:
    # Sent before Django makes its page and its log. A query that failed has a frame of devpatch.
    error = sys.exc_info()[1]
    if error is not None:
        hide_own_frames(error)


PATCHES = (
    Register("django.db", "connections", Capability.THREADS, _close_all, threads.cleanups),
    Decorate(
        "django.db.backends.utils",
        "CursorWrapper._execute_with_wrappers",
        Capability.COSTS,
        _watch_execute,
    ),
    Replace("django.db.backends.base.base", "debug_transaction", Capability.COSTS, _make_debug_transaction),
    Connect("django.core.signals", "got_request_exception", Capability.COSTS, _hide_frames),
)
