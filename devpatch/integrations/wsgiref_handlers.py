"""wsgiref.handlers: one request of a wsgiref server, and so of Django's runserver.

``BaseHandler.run`` swallows everything: it logs an exception with a bare ``except`` (SystemExit too)
and drops connection errors in silence, whoever raised them. So the application is called through a
function that sees what it raises, and the handler's own steps are watched on the one object, which
covers whatever its class overrides (Django's does).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from .. import requests, serving
from ..patching import Capability, Expect, Wrap
from ..process import ending


def _observe_run(wrapped: Callable[..., Any], handler: Any, args: Any, kwargs: Any) -> Any:
    at_hand = serving.connection_at_hand()
    if at_hand is None:
        return wrapped(*args, **kwargs)
    # A program's own request handler may not leave itself on the WSGI handler as the library's does.
    connection_handler = getattr(handler, "request_handler", None) or SimpleNamespace(
        connection=at_hand[1], rfile=getattr(handler, "stdin", None)
    )
    request = requests.Request(connection_handler)
    try:
        return _run(wrapped, handler, request, *args, **kwargs)
    except BaseException as error:
        request.note(error)
        raise
    finally:
        for name in _WATCHED:
            vars(handler).pop(name, None)
        request.finish()
        ending.leave_if_requested()


_WATCHED = ("finish_response", "handle_error", "close")


def _run(
    wrapped: Callable[..., Any], handler: Any, request: requests.Request, application: Callable[..., Any]
) -> Any:
    finish_response, handle_error, close = (getattr(handler, name) for name in _WATCHED)

    def call_application(environ: dict[str, Any], start_response: Any) -> Any:
        request.attach(environ)
        try:
            return application(environ, start_response)
        except BaseException as error:
            request.note(error)
            raise

    def watched_finish_response() -> None:
        try:
            finish_response()
        except BaseException as error:
            request.note(error)
            raise

    def watched_handle_error() -> None:
        # It prints the traceback.
        error = sys.exc_info()[1]
        if error is not None:
            requests.without_our_frames(error)
        handle_error()

    def watched_close() -> None:
        # Called when all was written. Django's then reads what is left of the request, and an
        # application's close() may raise: an error like any other.
        request.sent()
        close()

    handler.finish_response = watched_finish_response
    handler.handle_error = watched_handle_error
    handler.close = watched_close
    return wrapped(call_application)


PATCHES = (
    Wrap("wsgiref.handlers", "BaseHandler.run", Capability.ERRORS, _observe_run, ("handler", "application")),
    Expect("wsgiref.handlers", "BaseHandler.finish_response", Capability.ERRORS),
    Expect("wsgiref.handlers", "BaseHandler.handle_error", Capability.ERRORS),
    Expect("wsgiref.handlers", "BaseHandler.close", Capability.RESPONSES),
)
