"""wsgiref.simple_server: a server that starts to serve, either the program's own or Django's.

Limits: a wsgiref server that does not serve from the main thread is embedded in a program (a metrics exporter, a
test's live server). It is left alone unless a framework's command started it.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from typing import Any

from ..lifecycle import connections, sessions, starts, threads
from ..lifecycle.proof import prove_wsgiref
from ..patching import Capability, Wrap, ledger

_MODULE = "wsgiref.simple_server"


def _observe_start(wrapped: Callable[..., Any], server: Any, args: Any, kwargs: Any) -> Any:
    leaves_threads = isinstance(server, socketserver.ThreadingMixIn) and server.daemon_threads
    if starts.is_expected():
        starts.watch(server)
        sessions.worker.serves()
    elif threading.current_thread() is threading.main_thread() and not starts.is_watched(server):
        # The program may use the request's results as soon as handle_request() has returned.
        single = wrapped.__name__ == "handle_request"
        starts.starting(
            "wsgiref",
            forks=threads.forks(type(server)),
            one_at_a_time="handle_request() returns when the request was handled" if single else None,
            proof=lambda: prove_wsgiref(server.RequestHandlerClass),
        )
        starts.watch(server)
        if starts.is_watched(server):
            ledger.decorate_methods(server.RequestHandlerClass, _STEPS)
    result = wrapped(*args, **kwargs)
    if not leaves_threads and starts.is_watched(server):
        threads.wait_until_done()  # Without devpatch, the server itself would wait for its requests.
    return result


def _watch_setup(setup: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        setup(handler)
        connections.current.set(connections.Accepted(handler.server, handler.connection))

    return watched


def _watch_finish(finish: Callable[..., Any]) -> Callable[..., Any]:
    def watched(handler: Any) -> None:
        try:
            finish(handler)
        finally:
            connections.current.set(None)

    return watched


# A program's own class of handlers may run an application without a link to its connection.
_STEPS = {"setup": _watch_setup, "finish": _watch_finish}


# Both are inherited from socketserver. Patched on this class, they leave other servers unchanged.
ENTRY_PATCHES = (
    Wrap(_MODULE, "WSGIServer.serve_forever", Capability.START, _observe_start, ("server",)),
    Wrap(_MODULE, "WSGIServer.handle_request", Capability.START, _observe_start, ("server",)),
)
