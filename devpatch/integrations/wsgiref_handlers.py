"""wsgiref.handlers: one request of a wsgiref server, which includes Django's runserver.

``BaseHandler.run`` swallows all exceptions: it logs them in a bare ``except`` (SystemExit too), and silently drops
connection errors, even those of the application. So the application is called through a function that sees its
exceptions. The handler's steps are watched on the class of each handler object, because the class may override
them, as Django's does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..lifecycle import connections, costs, requests
from ..lifecycle.endings import ending
from ..lifecycle.tracebacks import hide_own_frames
from ..patching import Capability, Decorate, Expect, ledger


def _watch_run(run: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, application: Callable[..., Any]) -> None:
        request_handler = _request_handler_of(handler)
        if request_handler is None or not requests.is_watched(request_handler.server):
            run(handler, application)
            return
        if type(handler) not in ledger.decorated:
            ledger.decorate_methods(type(handler), _STEPS)
        try:
            run(handler, _watch_application(application, handler, request_handler))
        except BaseException as error:
            request = requests.current(handler)
            if request is not None:
                request.note(error)
            raise
        finally:
            request = requests.current(handler)
            if request is not None:
                if request.error is not None:
                    _note_status(request, handler)  # A response that was cut short is not closed.
                request.end()
            ending.exit_if_requested()

    return watched


def _request_handler_of(handler: Any) -> Any:
    """Return the handler of the connection, or None if ``handler`` answers no connection."""
    request_handler = getattr(handler, "request_handler", None)
    if request_handler is not None:
        return request_handler
    # A program's own request handler does not set this attribute.
    accepted = connections.current.get()
    if accepted is None:
        return None
    stdin = getattr(handler, "stdin", None)
    return SimpleNamespace(server=accepted.server, connection=accepted.connection, rfile=stdin)


def _watch_application(
    application: Callable[..., Any], handler: Any, request_handler: Any
) -> Callable[..., Any]:
    """Return a function that begins a request, calls ``application`` and records its exceptions."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        request = requests.begin(request_handler, handler, environ)
        if request is None:
            return application(environ, start_response)
        try:
            return application(environ, start_response)
        except BaseException as error:
            request.note(error)
            raise

    return call


def _note_status(request: requests.Request, handler: Any) -> None:
    status = getattr(handler, "status", None)  # such as "200 OK"; ``close`` resets it
    if request.status is None and isinstance(status, str) and status[:3].isdigit():
        request.status = int(status[:3])


def _watch_finish_response(finish_response: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        try:
            finish_response(handler)
        except BaseException as error:
            request = requests.current(handler)
            if request is not None:
                request.note(error)
            raise

    return watched


def _watch_handle_error(handle_error: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        # The handler is about to print the traceback.
        error = sys.exc_info()[1]
        if error is not None and requests.current(handler) is not None:
            hide_own_frames(error)
        handle_error(handler)

    return watched


def _watch_close(close: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        # Called when the response has been written. Django's handler then reads the rest of the request. The
        # handler also calls the application's close(), which may raise an error like any other.
        request = requests.current(handler)
        if request is None:
            close(handler)
            return
        if requests.status_wanted:
            _note_status(request, handler)
        request.note_written()
        if request.waits_for_body():
            request.note_only_reads()
        try:
            close(handler)
        except BaseException as error:
            request.note(error)
            raise
        request.note_logged()

    return watched


def _watch_send_headers(send_headers: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        request = requests.current(handler)
        if request is not None and request.costs is not None:
            for name, value in costs.headers(request, _is_stream(handler)):
                handler.headers.add_header(name, value)
        send_headers(handler)

    return watched


def _is_stream(handler: Any) -> bool:
    """Whether the application is still making the response, of which the first bytes are known."""
    result = handler.result
    streaming = getattr(result, "streaming", None)  # of Django's responses
    if isinstance(streaming, bool):
        return streaming
    return not isinstance(result, list | tuple) and (
        handler.result_is_file() or "Content-Length" not in handler.headers
    )


_STEPS = {
    "finish_response": _watch_finish_response,
    "handle_error": _watch_handle_error,
    "close": _watch_close,
}

_MODULE = "wsgiref.handlers"
PATCHES = (
    Decorate(_MODULE, "BaseHandler.run", Capability.ERRORS, _watch_run, ("handler", "application")),
    Expect(_MODULE, "BaseHandler.finish_response", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, "BaseHandler.handle_error", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, "BaseHandler.close", Capability.RESPONSES, ("handler",)),
    Decorate(_MODULE, "BaseHandler.send_headers", Capability.COSTS, _watch_send_headers),
    Expect(_MODULE, "BaseHandler.result_is_file", Capability.COSTS, ("handler",)),
)
