"""werkzeug.serving: the start of a server, and each of its requests.

``run_wsgi`` answers a request, and also the exceptions of the application that it catches. It makes a page for
them by ``InternalServerError``, and that is where they are seen.

Limits: the end of a response is known from the selector that ``run_wsgi`` makes next, to read what the
client still sends. It may read that until the client closes, so the return of ``run_wsgi`` comes too late.
"""

from __future__ import annotations

import importlib
import inspect
import selectors
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from ..lifecycle import requests, sessions, starts, threads
from ..lifecycle.connections import has_left
from ..lifecycle.endings import ending
from ..lifecycle.proof import prove
from ..patching import Capability, Expect, Replace, Wrap, ledger, module_proxy

_MODULE = "werkzeug.serving"
_NAMES = {
    "flask.cli": "flask run",
    "flask.app": "app.run",
    "django_extensions.management.commands.runserver_plus": "runserver_plus",
}


def _observe_run_simple(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        call = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    except TypeError:
        return wrapped(*args, **kwargs)  # It says itself what is wrong with the call.
    if call.get("use_reloader"):
        # run_simple imports it after its server is made, but what can't be patched in it must be known before.
        importlib.import_module("werkzeug._reloader")
    handlers = call.get("request_handler") or sys.modules[_MODULE].WSGIRequestHandler
    starts.starting(
        _NAMES.get(starts.caller(), "run_simple"),
        reloads=bool(call.get("use_reloader")),
        forks=_is_above_one(call.get("processes")),
        concurrent=bool(call.get("threaded")),
        proof=lambda: _prove(handlers),
    )
    if sessions.worker.has_failed:
        sessions.end_broken_worker()  # The application is a stand-in that raises for each request.
    starts.expect_server()
    if not call.get("use_reloader"):
        sessions.worker.serves()  # The code was changed so. Nothing watches from now on.
    return wrapped(*args, **kwargs)


def _is_above_one(processes: Any) -> bool:
    return isinstance(processes, int) and processes > 1


def _prove(handlers: type) -> str | None:
    server = {
        "_server_version": "Werkzeug",
        "log": lambda *_: None,
        "multiprocess": False,
        "multithread": False,
        "passthrough_errors": False,
        "server_address": ("127.0.0.1", 0),
        "ssl_context": None,
    }
    return prove(handlers, _MODULE, server, lambda kind: ledger.surround_methods(kind, _STEPS))


def _observe_make_server(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    # run_simple makes one server. A make_server that the program calls itself embeds one, which is left alone.
    expected = starts.is_expected()
    if expected:
        call = inspect.signature(wrapped).bind(*args, **kwargs)
        call.arguments["threaded"] = threads.run_concurrently(bool(call.arguments.get("threaded")))
        args, kwargs = call.args, call.kwargs
    server = wrapped(*args, **kwargs)
    if expected:
        sessions.listener.tls = server.ssl_context
        starts.watch(server)
        if starts.is_watched(server):
            # On the server's own class of handlers: a program may bring one.
            ledger.surround_methods(server.RequestHandlerClass, _STEPS)
    return server


class _Exchange:
    """A request that ``run_wsgi`` answers."""

    def __init__(self, request: requests.Request) -> None:
        self.request = request
        self.answers_error = False  # whether the server itself answers an exception now
        # What the program handles while it serves, as in "except ImportError: app.run()".
        self._around_server = sys.exc_info()[1]

    def raised(self) -> BaseException | None:
        """Return the exception of the application that is being handled, if there is one."""
        error = sys.exc_info()[1]
        return None if error is self._around_server else error


_exchange: ContextVar[_Exchange | None] = ContextVar("devpatch_exchange", default=None)


def _watch_run_wsgi(run_wsgi: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        request = requests.begin(handler, handler)
        if request is None:
            run_wsgi(handler)
            return
        token = _exchange.set(_Exchange(request))
        try:
            run_wsgi(handler)
        except BaseException as error:  # SystemExit, and with passthrough_errors any.
            request.note(error)
            raise
        finally:
            _exchange.reset(token)
            request.end()
            ending.exit_if_requested()

    return watched


def _watch_make_environ(make_environ: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> Any:
        environ = make_environ(handler)
        request = requests.current(handler)
        if request is not None:
            request.call(environ)
        return environ

    return watched


def _watch_send_response(send_response: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, code: int, *args: Any, **kwargs: Any) -> None:
        request = requests.current(handler)
        if request is not None:
            request.status = int(code)
        send_response(handler, code, *args, **kwargs)

    return watched


def _watch_connection_dropped(connection_dropped: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, error: BaseException, environ: Any = None) -> Any:
        # Called for every connection error, also for one of the application's own.
        request = requests.current(handler)
        if request is not None:
            request.note(error)
        return connection_dropped(handler, error, environ)

    return watched


_STEPS = {
    "run_wsgi": _watch_run_wsgi,
    "make_environ": _watch_make_environ,
    "send_response": _watch_send_response,
    "connection_dropped": _watch_connection_dropped,
}


def _make_internal_server_error(error_class: Any) -> Any:
    """Return what makes the server's own page for an exception, and tells that it does."""

    def internal_server_error(*args: Any, **kwargs: Any) -> Any:
        exchange = _exchange.get()
        error = None if exchange is None else exchange.raised()
        if exchange is not None and error is not None:
            exchange.request.note(error)
            exchange.answers_error = True
        return error_class(*args, **kwargs)

    return internal_server_error


def _make_selectors(module: ModuleType) -> ModuleType:
    """Return the module with a DefaultSelector that tells that a response was written, or failed."""
    selector = module.DefaultSelector

    def default_selector() -> Any:
        exchange = _exchange.get()
        if exchange is None:
            return selector()
        error = None if exchange.answers_error else exchange.raised()
        if error is None:
            exchange.request.written()
        else:
            exchange.request.note(error)
            exchange.request.reads_before_answer()
        return _ClientReader(exchange.request)

    return module_proxy(module, DefaultSelector=default_selector)


class _ClientReader(selectors.DefaultSelector):
    """Tells when the server is about to wait for more than the client has sent."""

    def __init__(self, request: requests.Request) -> None:
        super().__init__()
        self._request = request

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(timeout)
        if ready and not has_left(self._request.connection):
            self._request.only_reads()
        return ready


# flask.cli and others bind these by name, so they are patched once the module has been executed.
ENTRY_PATCHES = (
    Wrap(_MODULE, "run_simple", Capability.START, _observe_run_simple, ("hostname", "port", "application")),
    Wrap(_MODULE, "make_server", Capability.START, _observe_make_server, ("host", "port", "app")),
)
_HANDLER = "WSGIRequestHandler"
PATCHES = (
    Expect(_MODULE, f"{_HANDLER}.run_wsgi", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, f"{_HANDLER}.make_environ", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, f"{_HANDLER}.connection_dropped", Capability.ERRORS, ("handler", "error", "environ")),
    Expect(_MODULE, f"{_HANDLER}.send_response", Capability.RESPONSES, ("handler", "code", "message")),
    Expect(_MODULE, "make_server", Capability.THREADS, ("host", "port", "app", "threaded")),
    Replace(_MODULE, "InternalServerError", Capability.ERRORS, _make_internal_server_error),
    Replace(_MODULE, "selectors", Capability.RESPONSES, _make_selectors, ("DefaultSelector",)),
)
