"""werkzeug.debug.tbtools: exceptions that the debugger, or the server itself, caught.

Both make a DebugTraceback of each. An application may make one too, of an exception that it handled;
the outermost frame of the traceback tells who caught it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import requests
from ..connections import frames
from ..patching import Capability, Wrap
from . import werkzeug_serving

_CATCHERS = (("werkzeug.debug", "debug_application"), ("werkzeug.serving", "run_wsgi"))


def _observe_traceback(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    error = args[0] if args else kwargs.get("exc")
    request = _request_that_failed(error) if isinstance(error, BaseException) else None
    if request is not None:
        request.note(error)
        werkzeug_serving.read_status(request)
    return wrapped(*args, **kwargs)


def _request_that_failed(error: BaseException) -> requests.Request | None:
    """Return the request whose ``error`` Werkzeug caught, if it did."""
    outermost = next(frames(error.__traceback__), None)
    if outermost is None:
        return None
    if (outermost.f_globals.get("__name__"), outermost.f_code.co_name) not in _CATCHERS:
        return None
    return requests.of(outermost.f_locals.get("environ"))


PATCHES = (
    Wrap(
        "werkzeug.debug.tbtools",
        "DebugTraceback.__init__",
        Capability.ERRORS,
        _observe_traceback,
        ("traceback", "exc"),
    ),
)
