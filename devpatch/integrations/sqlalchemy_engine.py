"""sqlalchemy.engine: the queries of every engine, by SQLAlchemy's events. A listener leaves no frame in a traceback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..lifecycle import costs
from ..patching import Capability, Patch, Undo, Unpatchable

# The time at which a query began is kept in this attribute of its execution context.
_BEGAN = "_devpatch_began"


def _begin(context: Any = None, **_: Any) -> None:
    if context is not None and costs.current() is not None:
        setattr(context, _BEGAN, time.perf_counter())


def _end(statement: Any = None, parameters: Any = None, context: Any = None, **_: Any) -> None:
    _report(context, statement, parameters)


def _fail(exception_context: Any = None, **_: Any) -> None:
    failure = exception_context
    _report(failure.execution_context, failure.statement, failure.parameters)


def _report(context: Any, statement: Any, parameters: Any) -> None:
    began = getattr(context, _BEGAN, None)
    observer = costs.current()
    if began is not None and observer is not None:
        setattr(context, _BEGAN, None)
        observer.query(statement, parameters, time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class _Listen(Patch):
    """Listen to an event of a class of SQLAlchemy."""

    event: str
    listener: Callable[..., Any]

    def _check(self, value: Any) -> None:
        # Not for the event: SQLAlchemy 2 passes some of an engine's events on to its dialect.
        if not hasattr(value, "dispatch"):
            raise Unpatchable(f"{self.title} has no events")

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        from sqlalchemy import event

        event.listen(value, self.event, self.listener, named=True)
        return lambda: event.remove(value, self.event, self.listener)


# Not sqlalchemy.engine: the events of an engine are not defined when that module has been executed.
_MODULE, _ENGINE = "sqlalchemy", "engine.Engine"
PATCHES = (
    _Listen(_MODULE, _ENGINE, Capability.COSTS, "before_cursor_execute", _begin),
    _Listen(_MODULE, _ENGINE, Capability.COSTS, "after_cursor_execute", _end),
    _Listen(_MODULE, _ENGINE, Capability.COSTS, "handle_error", _fail),
)
