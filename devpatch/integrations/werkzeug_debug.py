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
    request = requests.current()
    error = args[0] if args else kwargs.get("exc")
    if request is not None and isinstance(error, BaseException) and _was_caught_by_werkzeug(error):
        request.note(error)
        werkzeug_serving.read_status(request)
    return wrapped(*args, **kwargs)


def _was_caught_by_werkzeug(error: BaseException) -> bool:
    outermost = next(frames(error.__traceback__), None)
    if outermost is None:
        return False
    return (outermost.f_globals.get("__name__"), outermost.f_code.co_name) in _CATCHERS


PATCHES = (
    Wrap(
        "werkzeug.debug.tbtools",
        "DebugTraceback.__init__",
        Capability.ERRORS,
        _observe_traceback,
        ("traceback", "exc"),
    ),
)
