"""flask.app: exceptions that an ``errorhandler`` of the program turned into a response.

Flask looks up the handler, calls it, and makes a response of what it returns. The look-up is watched, because a
wrapper around the other steps would leave a frame in the traceback. The response's status is known at the signal
``request_finished``. Its receiver is connected at the first such exception, so that healthy requests do not pay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import applications, requests
from ..patching import Capability, Decorate, Register, ledger

_MAX_WRAPPERS = 10  # of WSGI middleware around the application
_connected: list[bool] = []


def _watch_find(find: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any) -> Any:
        handler = find(*args)  # the application, the exception and, since Flask 3.0, the blueprints
        if handler is not None:
            _remember(args[1])
        return handler

    return watched


def _remember(error: BaseException) -> None:
    from flask import request
    from flask.signals import request_finished
    from werkzeug.exceptions import HTTPException

    known = requests.of(request.environ)
    if known is None or isinstance(error, HTTPException):
        return  # An HTTPException is a response that was raised on purpose.
    known.handled = error
    if not _connected:
        _connected.append(True)
        request_finished.connect(_receive, weak=False)
        ledger.record(lambda: request_finished.disconnect(_receive))


def _receive(sender: Any = None, response: Any = None, **_: Any) -> None:
    from flask import request

    known = requests.of(request.environ)
    if known is not None and known.handled is not None:
        known.note_handled(known.handled, "flask", getattr(response, "status_code", 0))


def _catch_all_finder(flask: type) -> Callable[[Any], str | None]:
    def find(application: Any) -> str | None:
        for _ in range(_MAX_WRAPPERS):
            if application is None or isinstance(application, flask):
                break
            names = ("wsgi_app", "_app", "app", "application")
            application = next((getattr(application, n) for n in names if hasattr(application, n)), None)
        for by_code in getattr(application, "error_handler_spec", {}).values():
            for kind, handler in by_code.get(None, {}).items():
                if kind in (Exception, BaseException):
                    return f"the errorhandler {handler.__module__}.{handler.__qualname__}"
        return None

    return find


PATCHES = (
    Decorate("flask.app", "Flask._find_error_handler", Capability.HANDLED, _watch_find),
    Register("flask.app", "Flask", Capability.HANDLED, _catch_all_finder, applications.catch_alls),
)
