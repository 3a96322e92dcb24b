"""flask.app: the call of the application, under any WSGI server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import applications
from ..patching import Capability, Connect, Surround
from . import flask_signals


def _watch_call(wsgi_app: Callable[..., Any]) -> Callable[..., Any]:
    def watched(app: Any, environ: Any, start_response: Any) -> Any:
        __traceback_hide__ = True  # noqa: F841
        return applications.call(wsgi_app.__get__(app), environ, start_response)

    return watched


def _receive(sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
    from flask import request

    if exception is not None and not flask_signals.propagates(sender):
        applications.note(request.environ, exception)


APPLICATION_PATCHES = (
    Surround(
        "flask.app",
        "Flask.wsgi_app",
        Capability.EXC_INFO,
        _watch_call,
        ("app", "environ", "start_response"),
    ),
    Connect("flask.signals", "got_request_exception", Capability.EXC_INFO, _receive),
    flask_signals.TRAPPED_RESPONSE,
)
