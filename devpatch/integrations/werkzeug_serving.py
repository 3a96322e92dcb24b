"""werkzeug.serving: the start of a server, and each of its requests.

Limits: the end of a response is known from the selector that ``run_wsgi`` makes next, to read what the
client still sends. It may read that until the client closes, so the return of ``run_wsgi`` is no sign.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .. import requests, serving
from ..connections import frames
from ..patching import Capability, Expect, Overlaid, Overlay, Surround, Wrap, ledger
from ..process import ending

_MODULE = "werkzeug.serving"
_NAMES = {
    "flask.cli": "flask run",
    "flask.app": "app.run",
    "django_extensions.management.commands.runserver_plus": "runserver_plus",
}
# run_simple makes one server; a make_server that the program calls itself embeds one, and is left alone.
_expects_server: ContextVar[bool] = ContextVar("devpatch_expects_server", default=False)


def _observe_run_simple(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        call = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    except TypeError:
        return wrapped(*args, **kwargs)  # It says itself what is wrong with the call.
    if call.get("use_reloader"):
        # run_simple imports it after its server is made; what can't be patched there is told before.
        importlib.import_module("werkzeug._reloader")
    serving.starting(
        _NAMES.get(serving.caller(), "run_simple"),
        reloads=bool(call.get("use_reloader")),
        forks=_is_above_one(call.get("processes")),
    )
    _expects_server.set(True)
    return wrapped(*args, **kwargs)


def _is_above_one(processes: Any) -> bool:
    return isinstance(processes, int) and processes > 1


def _observe_make_server(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    server = wrapped(*args, **kwargs)
    if _expects_server.get():
        _expects_server.set(False)
        serving.guard(server)
    return server


def _watch_run_wsgi(run_wsgi: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        if not serving.is_guarded(handler.server):
            run_wsgi(handler)
            return
        if type(handler) not in ledger.surrounded:
            ledger.surround_methods(type(handler), _STEPS)
        request = requests.Request(handler, handler)
        try:
            run_wsgi(handler)
        except BaseException as error:  # SystemExit, and with passthrough_errors any.
            if request.environ is not None:  # Else the request line was malformed.
                request.note(error)
            raise
        finally:
            request.finish()
            if ending.requested:
                ending.leave_if_requested()

    return watched


def _watch_make_environ(make_environ: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> Any:
        environ = make_environ(handler)
        request = requests.run_by(handler)
        if request is not None:
            request.attach(environ)
        return environ

    return watched


def _watch_connection_dropped(connection_dropped: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, error: BaseException, environ: Any = None) -> Any:
        # Called for every connection error, also for one of the application's own.
        request = requests.run_by(handler)
        if request is not None:
            request.note(error)
        return connection_dropped(handler, error, environ)

    return watched


# Of the class of the handler at hand, for a program may bring its own.
_STEPS = {"make_environ": _watch_make_environ, "connection_dropped": _watch_connection_dropped}


def _make_selectors(selectors: Any) -> Overlaid:
    """Return ``selectors`` with a DefaultSelector that tells that a response was written, or failed."""

    def default_selector() -> Any:
        request = requests.current()
        if request is not None:
            _report_end_of_response(request)
        return selectors.DefaultSelector()

    return Overlaid(selectors, DefaultSelector=default_selector)


def _report_end_of_response(request: requests.Request) -> None:
    error = sys.exc_info()[1]
    if error is None:
        request.sent()
        return
    request.note(error)
    # The frame that handles the error: run_wsgi, when its plain page for it is out, or the function
    # within it that ran the application, when that page is still to come.
    outermost = next(frames(error.__traceback__), None)
    if outermost is not None and outermost.f_code.co_name == "run_wsgi":
        request.sent()
    else:
        request.reading_on()


# flask.cli and others bind these by name, so they are patched once the module has been executed.
ENTRY_PATCHES = (
    Wrap(_MODULE, "run_simple", Capability.START, _observe_run_simple, ("hostname", "port", "application")),
    Wrap(_MODULE, "make_server", Capability.START, _observe_make_server, ("host", "port", "app")),
)
PATCHES = (
    Surround(_MODULE, "WSGIRequestHandler.run_wsgi", Capability.ERRORS, _watch_run_wsgi, ("handler",)),
    Expect(_MODULE, "WSGIRequestHandler.make_environ", Capability.ERRORS),
    Expect(_MODULE, "WSGIRequestHandler.connection_dropped", Capability.ERRORS),
    Overlay(_MODULE, "selectors", Capability.RESPONSES, _make_selectors, ("DefaultSelector",)),
)
