"""werkzeug.debug.tbtools: exceptions that the interactive debugger catches.

The debugger catches every exception of the application and renders a page, so the server sees no exception.
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
