"""django.db: the queries of each request, and the connections, which a thread closes before it ends.

Django calls the functions in ``execute_wrappers`` of a connection for each query. It does so without DEBUG too.
COMMIT, ROLLBACK and BEGIN take another way, which DEBUG alone shows in Django's own list of queries.

Limits: COMMIT and ROLLBACK of Oracle are not seen, because its backend has its own reference to Django's function.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..lifecycle import costs, threads
from ..lifecycle.tracebacks import hide_own_frames
from ..patching import Capability, Connect, Register, Replace, Undo


def _close_all(connections: Any) -> Callable[[], None]:
    def close_those_of_this_thread() -> None:
        connections.close_all()

    return close_those_of_this_thread


_watched: weakref.WeakSet[Any] = weakref.WeakSet()


def _watch(sender: Any = None, connection: Any = None, **_: Any) -> None:
    # In front: a ``with connection.execute_wrapper(...)`` in progress removes the last one when it ends.
    if _time_query not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _time_query)
        _watched.add(connection)


def _time_query(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    __traceback_hide__ = True
    observer = costs.current()
    if observer is None:
        return execute(sql, params, many, context)
    began = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        costs.query(observer, sql, params, time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class _WatchConnections(Connect):
    """Watch each connection when it is made, and those that this thread has already made."""

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        disconnect = super()._change(parent, name, value)
        for connection in _existing():
            _watch(connection=connection)

        def undo() -> None:
            disconnect()
            for connection in list(_watched):
                connection.execute_wrappers.remove(_time_query)
            _watched.clear()

        return undo


def _existing() -> list[Any]:
    """Return this thread's connections. There are none without settings."""
    try:
        return list(sys.modules["django.db"].connections.all(initialized_only=True))
    except Exception:
        return []


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
            costs.query(observer, self._sql, None, time.perf_counter() - self._began)
        return self._manager.__exit__(*error)


def _make_debug_transaction(debug_transaction: Callable[..., Any]) -> Callable[..., Any]:
    def timed(connection: Any, sql: str) -> Any:
        manager = debug_transaction(connection, sql)
        return manager if costs.current() is None else _TimedTransaction(manager, sql)

    return timed


def _hide_frames(**_: Any) -> None:
    # Sent before Django makes its page and its log. A query that failed has a frame of ``_time_query``.
    error = sys.exc_info()[1]
    if error is not None:
        hide_own_frames(error)


PATCHES = (
    Register("django.db", "connections", Capability.THREADS, _close_all, threads.cleanups),
    _WatchConnections("django.db.backends.signals", "connection_created", Capability.COSTS, _watch),
    Replace("django.db.backends.base.base", "debug_transaction", Capability.COSTS, _make_debug_transaction),
    Connect("django.core.signals", "got_request_exception", Capability.COSTS, _hide_frames),
)
