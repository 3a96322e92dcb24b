"""wsgiref.simple_server: a server that starts serving, be it the program's own or the one Django made.

Limits: a wsgiref server that serves from another thread than the main one is embedded in a program
(a metrics exporter, a test's live server) and left alone, unless a framework's command started it.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from typing import Any

from .. import serving, threads, worker
from ..patching import Capability, Wrap


def _observe_start(wrapped: Callable[..., Any], server: Any, args: Any, kwargs: Any) -> Any:
    leaves_threads = isinstance(server, socketserver.ThreadingMixIn) and server.daemon_threads
    if serving.take_claim():
        serving.guard(server)
        worker.serves()
    elif threading.current_thread() is threading.main_thread() and not serving.is_guarded(server):
        # A program may use what its request has left behind, once handle_request has returned.
        single = wrapped.__name__ == "handle_request"
        serving.starting(
            "wsgiref",
            forks=_forks(server),
            one_by_one="handle_request() returns when the request was handled" if single else None,
        )
        serving.guard(server)
    result = wrapped(*args, **kwargs)
    if not leaves_threads and serving.is_guarded(server):
        threads.finish()  # Stock, it handles them itself, or waits for them in server_close().
    return result


def _forks(server: Any) -> bool:
    mixin = getattr(socketserver, "ForkingMixIn", None)  # Windows has none.
    return mixin is not None and isinstance(server, mixin)


# Both are inherited from socketserver; patched here they stay as they are for any other server.
ENTRY_PATCHES = (
    Wrap("wsgiref.simple_server", "WSGIServer.serve_forever", Capability.START, _observe_start, ("server",)),
    Wrap("wsgiref.simple_server", "WSGIServer.handle_request", Capability.START, _observe_start, ("server",)),
)
