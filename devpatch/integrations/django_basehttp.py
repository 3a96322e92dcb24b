"""django.core.servers.basehttp: ``run``, which creates and starts runserver's server."""

from __future__ import annotations

import inspect
import socket
import sys
from collections.abc import Callable
from typing import Any

from ..lifecycle import sessions, starts, threads
from ..lifecycle.proof import prove_wsgiref
from ..patching import Capability, Expect, Wrap

_MODULE = "django.core.servers.basehttp"


def _observe_run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = inspect.signature(wrapped).bind(*args, **kwargs)
    by_itself = bool(call.arguments.get("threading"))
    handlers = sys.modules[_MODULE].WSGIRequestHandler
    starts.starting("runserver", concurrent=by_itself, proof=lambda: prove_wsgiref(handlers))
    call.arguments["threading"] = threads.run_concurrently(by_itself)
    call.apply_defaults()
    _adopt_listener(call.arguments)
    starts.expect_server()
    return wrapped(*call.args, **call.kwargs)


def _adopt_listener(arguments: dict[str, Any]) -> None:
    address = [arguments["addr"], arguments["port"], bool(arguments["ipv6"])]
    if sessions.worker.moves(address):
        sessions.end_broken_worker()
        raise SystemExit  # ends this thread
    listener = sessions.worker.adopt_listener()
    if listener is not None:
        arguments["server_cls"] = _adopting(arguments["server_cls"], listener)


def _adopting(kind: Any, listener: socket.socket) -> Any:
    """Return a subclass of ``kind`` that uses the socket ``listener``. ``server_bind`` still does everything else."""

    def server_bind(server: Any) -> None:
        server.socket.close()
        server.socket = listener
        kind.server_bind(server)

    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (kind,), {**names, "server_bind": server_bind})


# runserver binds this function by name, so it is patched as soon as its module has been executed.
ENTRY_PATCHES = (Wrap(_MODULE, "run", Capability.START, _observe_run, ("addr", "port", "wsgi_handler")),)
PATCHES = (
    Expect(_MODULE, "run", Capability.THREADS, ("addr", "port", "wsgi_handler", "ipv6", "threading")),
    Expect(
        _MODULE,
        "run",
        Capability.WORKERS,
        ("addr", "port", "wsgi_handler", "ipv6", "threading", "on_bind", "server_cls"),
    ),
    Expect(_MODULE, "WSGIServer.server_bind", Capability.WORKERS, ("server",)),
    # A pool calls these methods again when the client of a kept connection sends another request.
    Expect(_MODULE, "WSGIRequestHandler.handle", Capability.THREADS, ("handler",)),
    Expect(_MODULE, "WSGIRequestHandler.handle_one_request", Capability.THREADS, ("handler",)),
)
