"""asgiref.sync: asynchronous code calls synchronous code in another thread, as Django's ORM does for its queries.

asgiref copies the context into that thread, but the thread's stack does not show who called.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from ..lifecycle import costs
from ..patching import Capability, Decorate, Register


def _watch_call(call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(converter: Any, *args: Any, **kwargs: Any) -> Any:
        costs.calling_thread()
        return call(converter, *args, **kwargs)

    # A plain function, so that it leaves no frame in the coroutine's traceback.
    mark = getattr(inspect, "markcoroutinefunction", lambda function: function)  # since Python 3.12
    return mark(watched)  # type: ignore[no-any-return]


def _file_of(kind: type) -> str:
    return str(sys.modules[kind.__module__].__file__)


PATCHES = (
    Register("asgiref.sync", "SyncToAsync", Capability.COSTS, _file_of, costs.thread_entries),
    Decorate(
        "asgiref.sync", "SyncToAsync.__call__", Capability.COSTS, _watch_call, ("converter", "argument")
    ),
)
