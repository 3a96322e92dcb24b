"""The file that a connection's responses are written to, so that their headers and body leave together."""

from __future__ import annotations

import io
from typing import Any

_WRITE_LIMIT = 65536  # bytes; more is sent as it comes


class ResponseWriter(io.BufferedIOBase):
    """A connection's ``wfile``. Between ``hold`` and ``release`` it sends only at a flush, or when there is much.

    At other times it sends immediately, as the framework's own does: interim responses, a program's own handler.
    Frameworks flush each part of a body, so nothing is kept while the application prepares the next part.
    """

    def __init__(self, connection: Any) -> None:
        """Write to the socket ``connection``."""
        self._sock = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._holds = False

    def hold(self) -> None:
        """Keep what is written from now on."""
        self._holds = True

    def release(self) -> None:
        """Send what was kept, and keep no more. Raises OSError."""
        self._holds = False
        self.flush()

    def writable(self) -> bool:
        """See io.IOBase.writable."""
        return True

    def fileno(self) -> int:
        """See io.IOBase.fileno. The caller may write to it."""
        self.flush()
        descriptor: int = self._sock.fileno()
        return descriptor

    def write(self, data: Any) -> int:
        """Keep ``data``. If it is much, send it after what was kept. Raises OSError."""
        size = memoryview(data).nbytes
        if self._holds and self._size + size < _WRITE_LIMIT:
            self._parts.append(bytes(data))
            self._size += size
        else:
            self.flush()
            self._sock.sendall(data)
        return size

    def flush(self) -> None:
        """Send what was kept. Raises OSError, and nothing is kept then either."""
        if self._parts:
            data, self._parts, self._size = b"".join(self._parts), [], 0
            self._sock.sendall(data)

    def close(self) -> None:
        """Drop what could not be sent."""
        self._parts = []
        super().close()
