"""django.core.handlers.wsgi: the call of the application, under any WSGI server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .. import applications
from ..patching import Capability, Connect, Surround
from . import django_handlers


def _watch_call(handle: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, environ: Any, start_response: Any) -> Any:
        __traceback_hide__ = True
        return applications.call(handle.__get__(handler), environ, start_response)

    return watched


def _receive(sender: Any = None, request: Any = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None and not django_handlers.travels_on():
        applications.note(getattr(request, "environ", None), error)


APPLICATION_PATCHES = (
    Surround(
        "django.core.handlers.wsgi",
        "WSGIHandler.__call__",
        Capability.EXC_INFO,
        _watch_call,
        ("handler", "environ", "start_response"),
    ),
    Connect("django.core.signals", "got_request_exception", Capability.EXC_INFO, _receive),
    django_handlers.CUT_UPLOAD,
)
