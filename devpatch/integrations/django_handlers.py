"""django.core.handlers: exceptions that Django turns into a response with status 500.

Django sends ``got_request_exception`` for each unhandled exception, in sync and async handlers, before it renders
the error page. It does not send the signal for an exception that it answers with a 4xx. A receiver leaves no frame
in the traceback of the debug page. A wrapper would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..lifecycle import applications, requests
from ..patching import Capability, Connect, Decorate, Expect, Register

_PAGE_OF_RUNSERVER_PLUS = "django_extensions.management.technical_response"


def _known(request: Any) -> requests.Request | None:
    """Return what is known of a Django request. Under ASGI, it has a scope and no environ."""
    return requests.of(getattr(request, "environ", None) or getattr(request, "scope", None))


def _receive(sender: Any = None, request: Any = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    known = _known(request)
    if error is not None and known is not None and not _is_raised_again():
        known.note(error, "django")


def _receive_for_response(sender: Any = None, request: Any = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None and not _is_raised_again():
        applications.note(getattr(request, "environ", None), error)


def _is_raised_again() -> bool:
    """Whether Django raises the exception again instead of answering it.

    Then a WSGI middleware may still handle the exception. If none does, the server or the debugger reports it.
    """
    from django.conf import settings
    from django.views import debug

    if settings.DEBUG_PROPAGATE_EXCEPTIONS:
        return True
    return bool(settings.DEBUG and debug.technical_500_response.__module__ == _PAGE_OF_RUNSERVER_PLUS)


def _watch_process_exception(process: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, exception: BaseException, request: Any) -> Any:
        response = process(handler, exception, request)
        known = _known(request)
        if response is not None and known is not None:
            known.note_handled(exception, "django", getattr(response, "status_code", 0))
        return response

    return watched


def _is_cut_upload(unreadable: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, unreadable)


# An upload that was cut short is not an error of the application.
_CUT_UPLOAD = Register(
    "django.http.request", "UnreadablePostError", Capability.ERRORS, _is_cut_upload, requests.exemptions
)
ENTRY_PATCHES = (
    Register(
        "django.core.handlers.base",
        "BaseHandler",
        Capability.ERRORS,
        lambda _: "django",
        requests.frameworks,
    ),
)
PATCHES = (
    Connect("django.core.signals", "got_request_exception", Capability.ERRORS, _receive),
    Decorate(
        "django.core.handlers.base",
        "BaseHandler.process_exception_by_middleware",
        Capability.HANDLED,
        _watch_process_exception,
    ),
    # This function sends the signal. Without it, the receiver would never be called.
    Expect("django.core.handlers.exception", "response_for_exception", Capability.ERRORS, ("request", "exc")),
    _CUT_UPLOAD,
)
APPLICATION_PATCHES = (
    Connect("django.core.signals", "got_request_exception", Capability.EXC_INFO, _receive_for_response),
    _CUT_UPLOAD,
)
