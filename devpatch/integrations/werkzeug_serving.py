"""werkzeug.serving: the start of a server, and each of its requests.

``run_wsgi`` handles a request. It catches the application's exceptions and answers them with
``InternalServerError``, which is replaced here, so that devpatch sees the exceptions.

The handler's ``make_environ`` begins a request and ``finish`` ends it. Nothing wraps ``run_wsgi``: one more caller
of the application makes each new thread map one more page for its stack. That costs 2 % of the requests per second.

Limits: a response counts as written when ``run_wsgi`` creates a selector to read what the client still sends.
``run_wsgi`` itself may return much later, when the client closes.
"""

from __future__ import annotations

import importlib
import inspect
import selectors
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..console import say
from ..lifecycle import costs, requests, sessions, starts, threads
from ..lifecycle.connections import is_at_end
from ..lifecycle.endings import ending
from ..lifecycle.proof import prove
from ..patching import Capability, Decorate, Expect, Replace, Wrap, ledger, module_proxy

_MODULE = "werkzeug.serving"
# Since this version, it overflows the kernel's queue of events while it adds its watches, and no change is seen.
_BROKEN_WATCHDOG = 7
_NAMES = {
    "flask.cli": "flask run",
    "flask.app": "app.run",
    "django_extensions.management.commands.runserver_plus": "runserver_plus",
}


def _observe_run_simple(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    try:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
    except TypeError:
        return wrapped(*args, **kwargs)  # run_simple itself reports what is wrong with the call.
    call = bound.arguments
    if call.get("use_reloader"):
        # run_simple imports this after it has created the server. A failed patch must be known before that.
        importlib.import_module("werkzeug._reloader")
    processes = call.get("processes")
    handlers = call.get("request_handler") or sys.modules[_MODULE].WSGIRequestHandler
    starts.starting(
        _NAMES.get(starts.caller(), "run_simple"),
        reloads=bool(call.get("use_reloader")),
        forks=isinstance(processes, int) and processes > 1,
        concurrent=bool(call.get("threaded")),
        application=call.get("application"),
        proof=lambda: _prove(handlers),
    )
    if sessions.worker.has_failed:
        sessions.end_broken_worker()  # Flask serves a stand-in, which fails every request.
    starts.expect_server()
    if not call.get("use_reloader"):
        # In a worker: an edit has turned the reloader off, so no reloader will report this.
        sessions.worker.serves()
    elif sessions.runners or sessions.worker.is_supervised:
        _avoid_watchdog(call)
    return wrapped(*bound.args, **bound.kwargs)


def _avoid_watchdog(call: dict[str, Any]) -> None:
    """Use the stat reloader if the installed watchdog makes Werkzeug's reloader lose changes."""
    if call.get("reloader_type", "auto") not in ("auto", "watchdog"):
        return
    from importlib import metadata

    try:
        version = metadata.version("watchdog")
    except metadata.PackageNotFoundError:
        return
    if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) >= _BROKEN_WATCHDOG:
        call["reloader_type"] = "stat"
        if not sessions.worker.is_supervised:
            say(
                f"fail-safe: watchdog {version} makes Werkzeug lose changes; the stat reloader watches the files"
            )


def _prove(handlers: type) -> str | None:
    server = {
        "_server_version": "Werkzeug",
        "host": "127.0.0.1",
        "log": lambda *_: None,
        "multiprocess": False,
        "multithread": False,
        "passthrough_errors": False,
        "port": 0,
        "ssl_context": None,
    }
    return prove(handlers, (_MODULE,), server, lambda kind: ledger.decorate_methods(kind, _steps()))


def _observe_make_server(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    # run_simple creates one server. If the program itself calls make_server, it embeds a server, which is not ours.
    expected = starts.is_expected()
    if expected:
        call = inspect.signature(wrapped).bind(*args, **kwargs)
        call.arguments["threaded"] = threads.run_concurrently(bool(call.arguments.get("threaded")))
        args, kwargs = call.args, call.kwargs
    server = wrapped(*args, **kwargs)
    if expected:
        sessions.endpoint.tls = server.ssl_context
        starts.watch(server)
        if starts.is_watched(server):
            # Changed on the class that this server uses: a program may have its own.
            ledger.decorate_methods(server.RequestHandlerClass, _steps())
    return server


def _watch_make_environ(make_environ: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> Any:
        previous = requests.current(handler)
        if previous is not None:  # of the same connection
            previous.end()
        environ = make_environ(handler)
        requests.begin(handler, handler, environ)
        return environ

    return watched


def _watch_finish(finish: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        request = requests.current(handler)
        if request is None:
            finish(handler)
            return
        # socketserver calls it in a finally clause, so an exception that leaves run_wsgi is known here:
        # SystemExit, or any exception if passthrough_errors is set.
        error = request.exception()
        try:
            finish(handler)
        finally:
            if error is not None:
                request.note(error)
            request.end()
            ending.exit_if_requested()

    return watched


def _watch_status(send_response_only: Callable[..., Any]) -> Callable[..., Any]:
    # Not send_response, which logs the request: one more caller there costs a page too (see the module).
    def watched(handler: Any, code: int, *args: Any, **kwargs: Any) -> None:
        request = requests.current(handler)
        if request is not None:
            request.status = int(code)
        send_response_only(handler, code, *args, **kwargs)

    return watched


def _watch_end_headers(end_headers: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        # A response whose length is known is complete.
        is_stream = b"\r\ncontent-length:" not in b"".join(getattr(handler, "_headers_buffer", ())).lower()
        for name, value in costs.headers(requests.current(handler), is_stream):
            handler.send_header(name, value)
        end_headers(handler)

    return watched


def _watch_connection_dropped(connection_dropped: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any, error: BaseException, environ: Any = None) -> Any:
        # Called for every connection error, also for one that the application raises.
        request = requests.current(handler)
        if request is not None:
            request.note(error)
        return connection_dropped(handler, error, environ)

    return watched


_STEPS = {
    "make_environ": _watch_make_environ,
    "finish": _watch_finish,
    "connection_dropped": _watch_connection_dropped,
}


def _steps() -> dict[str, Callable[..., Any]]:
    return {**_STEPS, "send_response_only": _watch_status} if requests.status_wanted else _STEPS


def _make_internal_server_error(error_class: Any) -> Any:
    """Return a function that makes the server's own error page, and records the exception."""

    def internal_server_error(*args: Any, **kwargs: Any) -> Any:
        request = requests.current()
        if request is not None and (error := request.exception()) is not None:
            request.note(error)
            request.server_answers = True
        return error_class(*args, **kwargs)

    return internal_server_error


def _make_selectors(module: ModuleType) -> ModuleType:
    """Return a copy of ``module``. A new DefaultSelector in it records that the response was written, or failed."""
    selector = module.DefaultSelector

    def default_selector() -> Any:
        request = requests.current()
        if request is None:
            return selector()
        error = None if request.server_answers else request.exception()
        if error is None:
            request.note_written()
            request.note_logged()  # Werkzeug prints its line before the response's first byte.
        else:
            request.note(error)
            request.note_reads_before_answer()
        return _ClientReader(request) if request.has_listeners(requests.Event.ONLY_READS) else selector()

    return module_proxy(module, DefaultSelector=default_selector)


class _ClientReader(selectors.DefaultSelector):
    """Reports when the server only waits for the client: ``run_wsgi`` reads until the client closes."""

    def __init__(self, request: requests.Request) -> None:
        super().__init__()
        self._request = request

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(timeout)
        if ready and not is_at_end(self._request.connection):
            self._request.note_only_reads()
        return ready


# flask.cli and others bind these by name, so they are patched as soon as the module has been executed.
ENTRY_PATCHES = (
    Wrap(_MODULE, "run_simple", Capability.START, _observe_run_simple, ("hostname", "port", "application")),
    Wrap(_MODULE, "make_server", Capability.START, _observe_make_server, ("host", "port", "app")),
)
_HANDLER = "WSGIRequestHandler"
PATCHES = (
    Expect(_MODULE, f"{_HANDLER}.run_wsgi", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, f"{_HANDLER}.make_environ", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, f"{_HANDLER}.finish", Capability.ERRORS, ("handler",)),
    Expect(_MODULE, f"{_HANDLER}.connection_dropped", Capability.ERRORS, ("handler", "error", "environ")),
    Expect(_MODULE, f"{_HANDLER}.send_response_only", Capability.RESPONSES, ("handler", "code", "message")),
    Decorate(_MODULE, f"{_HANDLER}.end_headers", Capability.COSTS, _watch_end_headers),
    Expect(_MODULE, "make_server", Capability.THREADS, ("host", "port", "app", "threaded")),
    Replace(_MODULE, "InternalServerError", Capability.ERRORS, _make_internal_server_error),
    Replace(_MODULE, "selectors", Capability.RESPONSES, _make_selectors, ("DefaultSelector",)),
)
