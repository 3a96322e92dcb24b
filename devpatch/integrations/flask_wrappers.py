"""flask.wrappers: the response of an application, which starts the server's response, under any WSGI server.

The application's own call is not surrounded: a frame below it, in a thread of its own for each request,
may take the stack across a page of memory, which costs more than all the rest.

Limits: a response class that does not call Flask's ``Response.__call__`` hands on no exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import applications
from ..patching import Capability, Connect, Surround
from . import flask_signals

# The first error of each request that has one and whose response has not begun, by the id of its environ, and
# with that, so that no other gets the same id.
_errors: dict[int, tuple[Any, BaseException]] = {}
_MOST = 50  # of them; where a page for the error fails as well, no response takes its note away


def _watch_call(call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(response: Any, environ: Any, start_response: Any) -> Any:
        if _errors:
            noted = _errors.pop(id(environ), None)
            if noted is not None:
                start_response = applications.telling(start_response, noted[1])
        return call(response, environ, start_response)

    return watched


def _receive(sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
    from flask import request

    if exception is None or flask_signals.propagates(sender):
        return
    environ = request.environ
    if id(environ) not in _errors and not applications.is_excused(environ, exception):
        while len(_errors) >= _MOST:
            _errors.pop(next(iter(_errors)), None)
        _errors[id(environ)] = (environ, exception)


APPLICATION_PATCHES = (
    Surround(
        "flask.wrappers",
        "Response.__call__",
        Capability.EXC_INFO,
        _watch_call,
        ("response", "environ", "start_response"),
    ),
    Connect("flask.signals", "got_request_exception", Capability.EXC_INFO, _receive),
    flask_signals.TRAPPED_RESPONSE,
)
