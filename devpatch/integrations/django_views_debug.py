"""django.views.debug: the debug page, which runserver_plus replaces with a function of its own.

That function raises every exception again for the Werkzeug debugger, also an exception that Django answers with
status 400. The debugger answers it with a 500, but it is not an error of the application.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import requests
from ..patching import Capability, Wrap

_SERVER_ERROR = 500


def _observe_page(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    __traceback_hide__ = True
    django_request, _kind, error, _traceback, *rest = args
    status = rest[0] if rest else kwargs.get("status_code", _SERVER_ERROR)
    request = requests.of(getattr(django_request, "environ", None))
    if status < _SERVER_ERROR and request is not None:
        request.exempt(error)
    return wrapped(*args, **kwargs)


PATCHES = (
    Wrap(
        "django.views.debug",
        "technical_500_response",
        Capability.ERRORS,
        _observe_page,
        ("request", "exc_type", "exc_value", "tb", "status_code"),
    ),
)
