"""django.core.servers.basehttp: ``run``, which makes and starts runserver's server."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from typing import Any

from .. import serving, threads, worker
from ..patching import Capability, Expect, Wrap


def _observe_run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = inspect.signature(wrapped).bind(*args, **kwargs)
    own = bool(call.arguments.get("threading"))
    serving.starting("runserver", threads=own)
    call.arguments["threading"] = threads.handles_at_once(own)
    call.apply_defaults()
    _take_listener_of_supervisor(call.arguments)
    serving.claim()
    return wrapped(*call.args, **call.kwargs)


def _take_listener_of_supervisor(arguments: dict[str, Any]) -> None:
    address = [arguments["addr"], arguments["port"], bool(arguments["ipv6"])]
    if worker.moves_from(address):
        worker.report(worker.Report.MOVED, address=address)
        serving.end_broken_worker()
        raise SystemExit  # of this thread
    listener = worker.adopt()
    if listener is not None:
        arguments["server_cls"] = _adopting(arguments["server_cls"], listener)


def _adopting(kind: Any, listener: socket.socket) -> Any:
    """Return the class of servers with ``listener`` for its socket; all that it does when it binds, it still does."""

    def server_bind(server: Any) -> None:
        server.socket.close()
        server.socket = listener
        kind.server_bind(server)

    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (kind,), {**names, "server_bind": server_bind})


_MODULE = "django.core.servers.basehttp"
# runserver binds the function by name, so it is patched as soon as its module has been executed.
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
    # What Django does in it, once for each request, is done again for the requests of a kept connection.
    Expect(_MODULE, "WSGIRequestHandler.handle", Capability.THREADS, ("handler",)),
    Expect(_MODULE, "WSGIRequestHandler.handle_one_request", Capability.THREADS, ("handler",)),
)
