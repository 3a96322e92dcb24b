"""werkzeug.serving: the start of a server, and each of its requests.

Limits: the end of a response is known from the selector that ``run_wsgi`` makes next, to read what the
client still sends. It may read that until the client closes, so the return of ``run_wsgi`` is no sign.
"""

from __future__ import annotations

import importlib
import inspect
import selectors
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import FrameType, ModuleType
from typing import Any

from .. import requests, serving, threads, worker
from ..connections import frames, has_left
from ..patching import Capability, Expect, Overlay, Wrap, ledger, overlaid
from ..process import ending

# The exception that is being handled; exc_info makes a tuple of it, and these are asked for each request.
_exception: Callable[[], BaseException | None] = getattr(sys, "exception", lambda: sys.exc_info()[1])
_MODULE = "werkzeug.serving"
_NAMES = {
    "flask.cli": "flask run",
    "flask.app": "app.run",
    "django_extensions.management.commands.runserver_plus": "runserver_plus",
}
# run_simple makes one server; a make_server that the program calls itself embeds one, and is left alone.
_expects_server: ContextVar[bool] = ContextVar("devpatch_expects_server", default=False)
tls_of_last_server: Any = None
# The id of the exception that the program is handling while it serves, as in "except ImportError: app.run()".
_around_server = id(None)


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
        threads=bool(call.get("threaded")),
    )
    if worker.has_failed():
        serving.end_broken_worker()  # The application is a stand-in that raises for each request.
    _expects_server.set(True)
    if not call.get("use_reloader"):
        worker.serves()  # The code was changed so: nothing watches from now on.
    return wrapped(*args, **kwargs)


def _is_above_one(processes: Any) -> bool:
    return isinstance(processes, int) and processes > 1


def _observe_make_server(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    expected = _expects_server.get()
    if expected:
        call = inspect.signature(wrapped).bind(*args, **kwargs)
        call.arguments["threaded"] = threads.handles_at_once(bool(call.arguments.get("threaded")))
        args, kwargs = call.args, call.kwargs
    server = wrapped(*args, **kwargs)
    if expected:
        global tls_of_last_server
        tls_of_last_server = server.ssl_context
        _expects_server.set(False)
        serving.guard(server)
        global _around_server
        _around_server = id(_exception())
        if serving.is_guarded(server):
            # Of the server's own class of handlers, for a program may bring one.
            steps = _STEPS | (_PASSING_THROUGH if server.passthrough_errors else {})
            _name_stations(server.RequestHandlerClass)
            ledger.surround_methods(server.RequestHandlerClass, steps)
    return server


def _watch_make_environ(make_environ: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> Any:
        if requests.noted:
            requests.end()  # The one before it, of the same connection.
        environ = make_environ(handler)
        if requests.needs_begin(environ) and id(handler.server) in serving.guarded:
            requests.of_runner(handler, handler, environ).begin()
        return environ

    return watched


def _request_of(handler: Any) -> requests.Request | None:
    """Return this thread's request; None if its server is not guarded, or its head could not be read."""
    if serving.is_guarded(handler.server) and hasattr(handler, "environ"):
        return requests.of_runner(handler, handler)
    return None


def _locate(variables: Mapping[str, Any]) -> tuple[Any, Any] | None:
    handler = variables["self"]
    return (handler, handler) if serving.is_guarded(handler.server) else None


def _name_stations(kind: type) -> None:
    """Have the requests of this class of handlers found on the call stack."""
    for base in kind.__mro__:
        run_wsgi = vars(base).get("run_wsgi")
        if inspect.isfunction(run_wsgi) and run_wsgi.__code__.co_varnames[:1] == ("self",):
            requests.station(run_wsgi.__code__, _locate)


def _watch_connection_dropped(connection_dropped: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, error: BaseException, environ: Any = None) -> Any:
        # Called for every connection error, also for one of the application's own.
        request = _request_of(handler)
        if request is not None:
            request.note(error)
        return connection_dropped(handler, error, environ)

    return watched


def _watch_finish(finish: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        # socketserver calls it in a finally clause, so an exception that gets by is known here.
        # To surround run_wsgi would put a frame below the application, which costs more than all
        # the rest: where it takes the stack across a page, another page is made for each request.
        error = _exception()
        try:
            finish(handler)
        finally:
            # SystemExit, and with passthrough_errors any.
            if error is not None and id(error) != _around_server:
                request = _request_of(handler)
                if request is not None:
                    request.note(error)
            if requests.noted:
                requests.end()
            if ending.requested:
                ending.leave_if_requested()

    return watched


def _watch_run_wsgi(run_wsgi: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        try:
            run_wsgi(handler)
        except Exception as error:
            request = _request_of(handler)
            if request is not None:  # Else the request line was malformed.
                request.note(error)
            raise

    return watched


_STEPS = {
    "make_environ": _watch_make_environ,
    "connection_dropped": _watch_connection_dropped,
    "finish": _watch_finish,
}
# http.server's own handling of a request swallows TimeoutError, so there it has to be seen before.
_PASSING_THROUGH = {"run_wsgi": _watch_run_wsgi}


def _make_selectors(module: ModuleType) -> ModuleType:
    """Return the module with a DefaultSelector that tells that a response was written, or failed."""

    selector = module.DefaultSelector

    def default_selector() -> Any:
        error = _exception()
        if requests.noted or (error is not None and id(error) != _around_server):
            request = _tell_of_response(None if id(error) == _around_server else error)
            if request is not None and threads.bound is not None:
                return _Drain(request)
        return selector()

    return overlaid(module, DefaultSelector=default_selector)


class _Drain(selectors.DefaultSelector):
    """Tells when the server is about to wait for more than the client has sent."""

    def __init__(self, request: requests.Request) -> None:
        super().__init__()
        self._request = request

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(timeout)
        if ready and not has_left(self._request.connection):
            self._request.only_waits()
        return ready


def _tell_of_response(error: BaseException | None) -> requests.Request | None:
    """Say that the response was written, or what keeps it from that; returns the request if it is watched."""
    if error is None:
        request = requests.here()
        if request is not None:
            if request.error is not None:
                read_status(request)
            request.sent()
        return request
    variables = _variables_of_run_wsgi()
    request = None if variables is None else _request_of(variables["self"])
    if request is not None:
        _report_failed_response(request, error)
    return request


def _report_failed_response(request: requests.Request, error: BaseException) -> None:
    request.note(error)
    read_status(request)
    # The frame that handles the error: run_wsgi, when its plain page for it is out, or the function
    # within it that ran the application, when that page is still to come.
    outermost = next(frames(error.__traceback__), None)
    if outermost is not None and outermost.f_code.co_name == "run_wsgi":
        request.sent()
    else:
        request.reading_on()


def read_status(request: requests.Request) -> None:
    """Note the status of the response to an error, which only a variable of ``run_wsgi`` holds."""
    variables = _variables_of_run_wsgi()
    if variables and request.error is not None:
        request.status_line = variables.get("status_sent")


def _variables_of_run_wsgi() -> Mapping[str, Any] | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "run_wsgi":
        frame = frame.f_back
    return None if frame is None else frame.f_locals


# flask.cli and others bind these by name, so they are patched once the module has been executed.
ENTRY_PATCHES = (
    Wrap(_MODULE, "run_simple", Capability.START, _observe_run_simple, ("hostname", "port", "application")),
    Wrap(_MODULE, "make_server", Capability.START, _observe_make_server, ("host", "port", "app")),
)
PATCHES = (
    Expect(_MODULE, "WSGIRequestHandler.run_wsgi", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, "WSGIRequestHandler.make_environ", Capability.ERRORS, ("handler",)),
    Expect(
        _MODULE, "WSGIRequestHandler.connection_dropped", Capability.ERRORS, ("handler", "error", "environ")
    ),
    Expect(_MODULE, "WSGIRequestHandler.finish", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, "make_server", Capability.THREADS, ("host", "port", "app", "threaded")),
    Overlay(_MODULE, "selectors", Capability.RESPONSES, _make_selectors, ("DefaultSelector",)),
)
