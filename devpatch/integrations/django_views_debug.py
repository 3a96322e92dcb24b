"""django.views.debug: the function with which runserver_plus replaces Django's debug page.

It raises every exception again for the Werkzeug debugger, also those that Django answers
with status 400. The debugger shows these as a 500, but they are not errors of the application.
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
        request.dismiss(error)
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
