"""werkzeug.debug.tbtools: exceptions that the interactive debugger caught.

It catches everything that the application lets out, makes a page of it, and the server sees a healthy response.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..lifecycle import requests
from ..patching import Capability, Wrap


def _observe_render(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    # The debugger renders the page while it handles the exception.
    error = sys.exc_info()[1]
    request = requests.current()
    if error is not None and request is not None:
        request.note(error)
    return wrapped(*args, **kwargs)


PATCHES = (
    Wrap(
        "werkzeug.debug.tbtools",
        "DebugTraceback.render_debugger_html",
        Capability.ERRORS,
        _observe_render,
        ("traceback", "evalex", "secret", "evalex_trusted"),
    ),
)
