"""Drain a worker before it reloads: accept no more connections, and wait for the requests in progress.

A connection that is not accepted waits in the backlog of the listening socket for the next worker, if another
process keeps that socket open too.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ....lifecycle import requests, starts
from ....lifecycle.connections import is_at_end, is_readable

LIMIT = 2.0  # seconds that drain waits for the requests in progress
# A new connection counts as busy for this many seconds. Its client may not have sent the first byte yet, or its
# thread may have read the request's head and not begun the request, on a busy machine.
_FIRST_BYTE_LIMIT = 1.0
_POLL_INTERVAL = 0.001  # seconds

_servers: list[_ServerConnections] = []


def prepare(server: Any) -> Callable[[], None]:
    """Watch the connections that ``server`` accepts. Return a function that undoes it."""
    connections = _ServerConnections(server)
    _servers.append(connections)
    return connections.undo


def drain() -> None:
    """Accept no more connections, and wait until no request is in progress, at most ``LIMIT`` s."""
    for drain_server in starts.drains:
        drain_server(LIMIT)
    if not _servers:
        return
    for server in _servers:
        server.closed = True
    deadline = time.monotonic() + LIMIT
    # Idle twice, because a request is not seen between the reading of its head and its beginning.
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
        """Whether a request on this connection is in progress, has arrived at least in part, or may be about to."""
        if self.answering:
            return True
        if is_readable(self.socket, 0):
            return not is_at_end(self.socket)
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
            requests.listen(requests.Event.BEGUN, partial(self._mark, answering=True)),
            requests.listen(requests.Event.WRITTEN, partial(self._mark, answering=False)),
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
                threading.Event().wait()  # This thread blocks until the process ends.
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
            # As soon as the socket is closed, a new connection may get the same descriptor.
            if connection.fileno() == -1 and self._open.get(descriptor) is this:
                self._open.pop(descriptor, None)
        return result

    def _mark(self, request: requests.Request, answering: bool) -> None:
        connection = self._open.get(request.connection.fileno())
        if connection is not None:
            connection.answering = answering
            connection.answered = not answering
