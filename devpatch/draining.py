"""Before a worker reloads: no further connection is accepted, and requests that are being answered get to their end.

What is not accepted waits in the listening socket's backlog for the next worker, where another process
holds that socket too.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from . import requests
from .connections import has_left, is_readable
from .patching import Undo, ledger

LIMIT = 2.0  # seconds that a request may take to its end
# A client that has just connected gets so many seconds to send the first byte of its request, and the thread
# that has read it to begin the request, on a busy machine too.
_FIRST_BYTE_LIMIT = 1.0
_LOOK = 0.005  # seconds between two looks

_began = False
_doors: list[_Door] = []


def begin() -> Undo:
    """Have servers that are guarded from now on end their requests before a reload."""
    global _began
    _began = True
    return _stop


def _stop() -> None:
    global _began
    _began = False


def apply(server: Any) -> None:
    """Watch what ``server`` accepts, if that was asked for."""
    if _began:
        door = _Door(server)
        _doors.append(door)
        ledger.record(door.undo)


def drain() -> None:
    """Accept nothing more, and wait until no request is being answered, at most ``LIMIT`` s."""
    if not _doors:
        return
    for door in _doors:
        door.closed = True
    deadline = time.monotonic() + LIMIT
    # Twice, for a request is nobody's between the reading of its head and its begin.
    idle = 0
    while time.monotonic() < deadline:
        idle = 0 if any(door.is_busy() for door in _doors) else idle + 1
        if idle == 2:
            break
        time.sleep(_LOOK)


class _Connection:
    def __init__(self, connection: Any) -> None:
        self.socket = connection
        self.accepted_at = time.monotonic()
        self.answering = False
        self.answered = False

    def is_busy(self) -> bool:
        """Whether a request of it is being answered, or has arrived at least in part."""
        if self.answering:
            return True
        if is_readable(self.socket, 0):
            return not has_left(self.socket)
        return not self.answered and time.monotonic() - self.accepted_at < _FIRST_BYTE_LIMIT


class _Door:
    """Where a server's connections come in and go out."""

    def __init__(self, server: Any) -> None:
        self.closed = False
        self._server = server
        self._accepting = False
        self._open: dict[int, _Connection] = {}  # by descriptor, for a handler may wrap the socket
        self._lock = threading.Lock()
        self._get_request, self._shutdown_request = server.get_request, server.shutdown_request
        server.get_request = self._let_in
        server.shutdown_request = self._let_out
        ledger.record(requests.listen(requests.Event.BEGUN, self._begin))
        ledger.record(requests.listen(requests.Event.WRITTEN, self._end))

    def undo(self) -> None:
        """Let the server be as it was."""
        self._server.get_request, self._server.shutdown_request = self._get_request, self._shutdown_request

    def is_busy(self) -> bool:
        return self._accepting or any(connection.is_busy() for connection in list(self._open.values()))

    def _let_in(self) -> Any:
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

    def _let_out(self, connection: Any) -> Any:
        # A parked connection is not shut down, whatever is called; its socket stays open then.
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
