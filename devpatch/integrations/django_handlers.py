"""django.core.handlers: exceptions that Django turns into a response with status 500.

``got_request_exception`` is sent for each exception that nothing handled, from sync and async handlers,
before a page is made of it, and never for one that Django answers with a 4xx. A receiver leaves no frame
in the traceback that a debug page shows, as a wrapped function would.
"""

from __future__ import annotations

import sys
from typing import Any

from .. import requests
from ..patching import Capability, Connect, Enlist, Expect

_PAGE_OF_RUNSERVER_PLUS = "django_extensions.management.technical_response"


def _receive(sender: Any = None, request: Any = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    observed = requests.of(getattr(request, "environ", None))
    if error is not None and observed is not None and not travels_on():
        observed.note(error, "django")


def travels_on() -> bool:
    """Whether Django raises the exception again instead of answering it.

    Then a middleware may still handle it; if none does, the server or the debugger reports it.
    """
    from django.conf import settings
    from django.views import debug

    if settings.DEBUG_PROPAGATE_EXCEPTIONS:
        return True
    return bool(settings.DEBUG and debug.technical_500_response.__module__ == _PAGE_OF_RUNSERVER_PLUS)


def _is_cut_upload(unreadable: type[BaseException]) -> requests.Dismissal:
    return lambda error: isinstance(error, unreadable)


# An upload that was cut is none of the application's errors.
CUT_UPLOAD = Enlist(
    "django.http.request", "UnreadablePostError", Capability.ERRORS, _is_cut_upload, requests.dismissals
)
ENTRY_PATCHES = (
    Enlist(
        "django.core.handlers.base",
        "BaseHandler",
        Capability.ERRORS,
        lambda _: "django",
        requests.frameworks,
    ),
)
PATCHES = (
    Connect("django.core.signals", "got_request_exception", Capability.ERRORS, _receive),
    # Who sends the signal: without it the receiver would hear nothing.
    Expect("django.core.handlers.exception", "response_for_exception", Capability.ERRORS, ("request", "exc")),
    CUT_UPLOAD,
)
