"""A ``wfile`` that sends the headers and the body of a response together."""

from __future__ import annotations

import io
from typing import Any

_WRITE_LIMIT = 65536  # bytes; more is sent immediately


class ResponseWriter(io.BufferedIOBase):
    """A connection's ``wfile``. Between ``hold`` and ``release``, it sends only when it is flushed or has much data.

    At other times it sends immediately, as the framework's ``wfile`` does. That matters for interim responses and a
    program's own handler. Frameworks flush each part of a body, so no part waits for the next one.
    """

    def __init__(self, connection: Any) -> None:
        """Write to the socket ``connection``."""
        self._sock = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._holds = False

    def hold(self) -> None:
        """Keep the data that is written from now on."""
        self._holds = True

    def release(self) -> None:
        """Send the kept data, and send immediately from now on. Raises OSError."""
        self._holds = False
        self.flush()

    def writable(self) -> bool:
        """See io.IOBase.writable."""
        return True

    def fileno(self) -> int:
        """See io.IOBase.fileno. Sends the kept data first, because the caller may write to the descriptor."""
        self.flush()
        descriptor: int = self._sock.fileno()
        return descriptor

    def write(self, data: Any) -> int:
        """Keep ``data``, or send it after the kept data. Return its length in bytes. Raises OSError."""
        size = memoryview(data).nbytes
        if self._holds and self._size + size < _WRITE_LIMIT:
            self._parts.append(bytes(data))
            self._size += size
        else:
            self.flush()
            self._sock.sendall(data)
        return size

    def flush(self) -> None:
        """Send the kept data. Raises OSError, and drops the data then."""
        if self._parts:
            data, self._parts, self._size = b"".join(self._parts), [], 0
            self._sock.sendall(data)

    def close(self) -> None:
        """Drop the data that could not be sent."""
        self._parts = []
        super().close()
