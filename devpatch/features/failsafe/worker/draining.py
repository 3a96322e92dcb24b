"""Before a worker reloads, it accepts no more connections, and requests in progress come to their end.

A connection that is not accepted waits in the listening socket's backlog for the next worker, if another process
holds that socket too.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ....lifecycle import requests
from ....lifecycle.connections import has_left, is_readable

LIMIT = 2.0  # seconds that a request may take to its end
# A client that has just connected gets so many seconds to send the first byte of its request, and the thread
# that has read it to begin the request, on a busy machine too.
_FIRST_BYTE_LIMIT = 1.0
_POLL_INTERVAL = 0.005  # seconds

_servers: list[_ServerConnections] = []


def prepare(server: Any) -> Callable[[], None]:
    """Watch what ``server`` accepts. Return a function that undoes it."""
    connections = _ServerConnections(server)
    _servers.append(connections)
    return connections.undo


def drain() -> None:
    """Accept no more connections, and wait until no request is in progress, at most ``LIMIT`` s."""
    if not _servers:
        return
    for server in _servers:
        server.closed = True
    deadline = time.monotonic() + LIMIT
    # Twice, because between the reading of its head and its begin a request is not known.
    idle = 0
    while time.monotonic() < deadline:
        idle = 0 if any(server.is_busy() for server in _servers) else idle + 1
        if idle == 2:
            break
        time.sleep(_POLL_INTERVAL)


class _Connection:
    def __init__(self, connection: Any) -> None:
        self.socket = connection
        self.accepted_at = time.monotonic()
        self.answering = False
        self.answered = False

    def is_busy(self) -> bool:
        """Whether a request of it is in progress, or has arrived at least in part."""
        if self.answering:
            return True
        if is_readable(self.socket, 0):
            return not has_left(self.socket)
        return not self.answered and time.monotonic() - self.accepted_at < _FIRST_BYTE_LIMIT


class _ServerConnections:
    """The connections that a server has accepted and not yet closed."""

    def __init__(self, server: Any) -> None:
        self.closed = False
        self._server = server
        self._accepting = False
        self._open: dict[int, _Connection] = {}  # by descriptor, because a handler may wrap the socket
        self._lock = threading.Lock()
        self._get_request, self._shutdown_request = server.get_request, server.shutdown_request
        server.get_request = self._accept
        server.shutdown_request = self._shut_down
        self._undos = [
            requests.listen(requests.Event.BEGUN, self._begin),
            requests.listen(requests.Event.WRITTEN, self._end),
        ]

    def undo(self) -> None:
        """Restore the server."""
        self._server.get_request, self._server.shutdown_request = self._get_request, self._shutdown_request
        for undo in self._undos:
            undo()

    def is_busy(self) -> bool:
        return self._accepting or any(connection.is_busy() for connection in list(self._open.values()))

    def _accept(self) -> Any:
        self._accepting = True
        try:
            if self.closed:
                self._accepting = False
                threading.Event().wait()  # This thread ends with the process.
            accepted: tuple[socket.socket, Any] = self._get_request()
            with self._lock:
                self._open[accepted[0].fileno()] = _Connection(accepted[0])
            return accepted
        finally:
            self._accepting = False

    def _shut_down(self, connection: Any) -> Any:
        # A suspended connection is not shut down by this call. Its socket stays open.
        descriptor = connection.fileno()
        this = self._open.get(descriptor)
        result = self._shutdown_request(connection)
        with self._lock:
            # As soon as it is closed, the next connection may have its descriptor.
            if connection.fileno() == -1 and self._open.get(descriptor) is this:
                self._open.pop(descriptor, None)
        return result

    def _begin(self, request: requests.Request) -> None:
        self._mark(request, True)

    def _end(self, request: requests.Request) -> None:
        self._mark(request, False)

    def _mark(self, request: requests.Request, answering: bool) -> None:
        connection = self._open.get(request.connection.fileno())
        if connection is not None:
            connection.answering = answering
            connection.answered = not answering
