"""socketserver: the methods that a pool of threads needs, and the writes to a connection.

The methods are changed on single servers only. The writer of a connection is a private class, which only servers use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle.requests import connection_raised
from ..patching import Capability, Expect, Surround


def _watch_write(write: Callable[..., Any]) -> Callable[..., Any]:
    def watched(writer: Any, data: Any) -> Any:
        try:
            return write(writer, data)
        except BaseException as error:
            connection_raised(writer._sock, error)
            raise

    return watched


_CONNECTION = ("server", "request", "client_address")
_MODULE = "socketserver"
PATCHES = (
    Surround(_MODULE, "_SocketWriter.write", Capability.ERRORS, _watch_write, ("writer", "data")),
    Expect(_MODULE, "BaseServer.process_request", Capability.THREADS, _CONNECTION),
    Expect(_MODULE, "BaseServer.finish_request", Capability.THREADS, _CONNECTION),
    Expect(_MODULE, "BaseServer.shutdown_request", Capability.THREADS, ("server", "request")),
    Expect(_MODULE, "ThreadingMixIn.process_request_thread", Capability.THREADS, _CONNECTION),
)
