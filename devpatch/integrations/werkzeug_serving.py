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
from ..patching import Capability, Expect, Overlaid, Overlay, Wrap
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


def _observe_run_wsgi(wrapped: Callable[..., Any], handler: Any, args: Any, kwargs: Any) -> Any:
    if not serving.is_guarded(handler.server):
        return wrapped(*args, **kwargs)
    request = requests.Request(handler)
    make_environ, connection_dropped = handler.make_environ, handler.connection_dropped

    def watched_make_environ() -> Any:
        environ = make_environ()
        request.attach(environ)
        return environ

    def watched_connection_dropped(error: BaseException, environ: Any = None) -> Any:
        # Called for every connection error, also for one of the application's own.
        request.note(error)
        return connection_dropped(error, environ)

    handler.make_environ = watched_make_environ
    handler.connection_dropped = watched_connection_dropped
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:  # SystemExit, and with passthrough_errors any.
        if request.environ is not None:  # Else the request line was malformed.
            request.note(error)
        raise
    finally:
        vars(handler).pop("make_environ", None)
        vars(handler).pop("connection_dropped", None)
        request.finish()
        ending.leave_if_requested()


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
    Wrap(_MODULE, "WSGIRequestHandler.run_wsgi", Capability.ERRORS, _observe_run_wsgi, ("handler",)),
    Expect(_MODULE, "WSGIRequestHandler.make_environ", Capability.ERRORS),
    Expect(_MODULE, "WSGIRequestHandler.connection_dropped", Capability.ERRORS),
    Overlay(_MODULE, "selectors", Capability.RESPONSES, _make_selectors, ("DefaultSelector",)),
)
