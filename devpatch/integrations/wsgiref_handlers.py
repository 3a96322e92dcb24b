"""wsgiref.handlers: one request of a wsgiref server, and so of Django's runserver.

``BaseHandler.run`` swallows everything: it logs an exception with a bare ``except`` (SystemExit too)
and drops connection errors in silence, whoever raised them. So the application is called through a
function that sees what it raises, and the handler's own steps are watched on the class of each handler
that comes along, which covers whatever that overrides (Django's does).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

from .. import requests, serving, threads
from ..patching import Capability, Expect, Surround, ledger
from ..process import ending


def _watch_run(run: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, application: Callable[..., Any]) -> None:
        try:
            connection_handler = handler.request_handler
        except AttributeError:
            connection_handler = None
        if connection_handler is None:
            connection_handler = _make_connection_handler(handler)
        if connection_handler is None or id(connection_handler.server) not in serving.guarded:
            run(handler, application)
            return
        if type(handler) not in ledger.surrounded:
            ledger.surround_methods(type(handler), _STEPS)
        try:
            run(handler, _watched(application))
        except BaseException as error:
            _note(handler, error)
            raise
        finally:
            if requests.noted:
                _note_status(getattr(handler, "status", None))  # The response was cut short.
                requests.end()
            if ending.requested:
                ending.leave_if_requested()

    return watched


def _locate(variables: Mapping[str, Any]) -> tuple[Any, Any] | None:
    handler, connection_handler = variables["handler"], variables.get("connection_handler")
    guarded = connection_handler is not None and serving.is_guarded(connection_handler.server)
    return (connection_handler, handler) if guarded else None


def _make_connection_handler(handler: Any) -> Any:
    """Return a stand-in for what a program's own request handler did not leave on the WSGI handler."""
    at_hand = serving.connection_at_hand()
    if at_hand is None:
        return None
    return SimpleNamespace(server=at_hand[0], connection=at_hand[1], rfile=getattr(handler, "stdin", None))


# Where a request is found on the call stack. By its name, for on Python 3.14 the annotations are code too.
_code = next(
    part for part in _watch_run.__code__.co_consts if isinstance(part, CodeType) and part.co_name == "watched"
)
requests.station(_code, _locate)

# The application that was called last, and what is called in its place.
_last: tuple[Any, Any] = (None, None)


def _watched(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls ``application`` and sees what it raises, for the handler may swallow that in silence."""
    # Made once and not for each request, which would cost healthy ones too much.
    global _last
    known, instead = _last
    if known is not application:

        def instead(environ: dict[str, Any], start_response: Any) -> Any:
            if requests.needs_begin(environ) and (request := requests.of(environ)) is not None:
                request.begin()
            try:
                return application(environ, start_response)
            except BaseException as error:
                request = requests.of(environ)
                if request is not None:
                    request.note(error)
                raise

        _last = application, instead
    return instead  # type: ignore[no-any-return]


def _note(handler: Any, error: BaseException, environ: dict[str, Any] | None = None) -> None:
    request = _request_of(handler, environ)
    if request is not None:
        request.note(error)


def _request_of(handler: Any, environ: dict[str, Any] | None = None) -> requests.Request | None:
    """Return the request that this thread's ``handler`` runs the application for; None if it is not guarded."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _code and frame.f_locals["handler"] is handler:
            located = _locate(frame.f_locals)
            return located and requests.of_runner(*located, environ)
        frame = frame.f_back
    return None


def _note_status(status: object) -> None:
    request = requests.here()
    if request is not None and request.error is not None and request.status_line is None:
        request.status_line = status


def _watch_finish_response(finish_response: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        try:
            finish_response(handler)
        except BaseException as error:
            _note(handler, error)
            raise

    return watched


def _watch_handle_error(handle_error: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        # It prints the traceback.
        error = sys.exc_info()[1]
        if error is not None and _request_of(handler) is not None:
            requests.without_our_frames(error)
        handle_error(handler)

    return watched


def _watch_close(close: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        # Called when all was written. Django's then reads what is left of the request, and an
        # application's close() may raise: an error like any other.
        status, environ = handler.status, getattr(handler, "environ", None)  # which close() forgets
        if requests.noted:
            _sent(status)
        try:
            close(handler)
        except BaseException as error:
            _note(handler, error, environ)
            _note_status(status)
            raise

    return watched


def _sent(status: object) -> None:
    request = requests.here()
    if request is not None:
        _note_status(status)
        request.sent()
        if threads.bound is not None and request.waits_for_body():
            request.only_waits()


# Of the class of the handler at hand, for Django has its own, and a program may.
_STEPS = {
    "finish_response": _watch_finish_response,
    "handle_error": _watch_handle_error,
    "close": _watch_close,
}


PATCHES = (
    Surround(
        "wsgiref.handlers", "BaseHandler.run", Capability.ERRORS, _watch_run, ("handler", "application")
    ),
    Expect("wsgiref.handlers", "BaseHandler.finish_response", Capability.ERRORS, ("handler",)),
    Expect("wsgiref.handlers", "BaseHandler.handle_error", Capability.ERRORS, ("handler",)),
    Expect("wsgiref.handlers", "BaseHandler.close", Capability.RESPONSES, ("handler",)),
)
