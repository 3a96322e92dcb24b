"""django.core.handlers.wsgi: the call of the application, under any WSGI server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import applications
from ..patching import Capability, Decorate


def _watch_call(handle: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, environ: Any, start_response: Any) -> Any:
        __traceback_hide__ = True
        return applications.call(handle.__get__(handler), environ, start_response)

    return watched


APPLICATION_PATCHES = (
    Decorate("django.core.handlers.wsgi", "WSGIHandler.__call__", Capability.EXC_INFO, _watch_call),
)
