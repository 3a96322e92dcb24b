"""werkzeug.debug: exceptions that the interactive debugger caught.

It catches everything that the application lets out, makes a page of it, and the server sees a healthy response.
Between the two it asks whether the environ's client is trusted, and that is where the exception is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import requests
from ..patching import Capability, Wrap


def _observe_check(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    request = requests.of(args[0] if args else kwargs.get("environ"))
    if request is not None and (error := request.exception()) is not None:
        request.note(error)
    return wrapped(*args, **kwargs)


PATCHES = (
    Wrap(
        "werkzeug.debug",
        "DebuggedApplication.check_pin_trust",
        Capability.ERRORS,
        _observe_check,
        ("application", "environ"),
    ),
)
