"""The client's side of a request: how much of its body arrived, whether the client hung up, the last drain.

Nothing is wrapped for good: a request with a body has its reads counted while it is handled.
"""

from __future__ import annotations

import select
import selectors
import socket
import socketserver
import time
from collections.abc import Iterator, Mapping
from types import CodeType, TracebackType
from typing import Any

from .streams import ResponseWriter

# The client may go on sending for this many seconds after the response; what it sends is read, for a
# close with unread bytes resets the connection and takes the end of the response with it.
DRAIN_LIMIT = 1.0
_CHUNK = 65536
_PEEK_LIMIT = 16 * 1024 * 1024  # more than any socket's receive buffer holds


def _code(function: Any) -> CodeType:
    code: CodeType = function.__code__
    return code


# The Python frames through which every server here reads from and writes to a connection's socket.
_SOCKET_IO = frozenset(
    {
        _code(socket.SocketIO.readinto),
        _code(socket.SocketIO.write),
        _code(socketserver._SocketWriter.write),  # type: ignore[attr-defined]
        _code(ResponseWriter.write),
        _code(ResponseWriter.flush),
    }
)


def frames(traceback: TracebackType | None) -> Iterator[Any]:
    """Yield the frames of a traceback, outermost first."""
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def raised_by_connection(error: BaseException | None, connection: Any) -> bool:
    """Whether reading from or writing to this very connection raised ``error``, or its explicit cause."""
    seen = 0
    while error is not None and seen < 20:
        for frame in frames(error.__traceback__):
            if (
                frame.f_code in _SOCKET_IO
                and getattr(frame.f_locals.get("self"), "_sock", None) is connection
            ):
                return True
        error, seen = error.__cause__, seen + 1
    return False


class BodyMeter:
    """Counts the bytes of a request's body as they arrive in ``rfile``."""

    def __init__(self, rfile: Any, connection: Any, length: int | None) -> None:
        """Start counting. ``length`` is the Content-Length in bytes, None for a chunked body.

        Raises AttributeError where ``rfile`` is not a buffered reader over a raw stream.
        """
        self._raw = rfile.raw
        self._connection = connection
        self._length = length
        self._arrived = 0
        self._ended = False
        self._verdict: bool | None = None
        self._readinto = self._raw.readinto
        # What is in the buffer already, without a read: to peek, the raw stream claims to have nothing.
        self._raw.readinto = lambda buffer: None
        try:
            self._arrived = len(rfile.peek())
        finally:
            self._raw.readinto = self._count

    def is_complete(self) -> bool:
        """Whether all of the body has arrived, or none will; never known of a chunked one."""
        return self._ended or (self._length is not None and self._arrived >= self._length)

    def stop(self) -> None:
        """Stay with what is known by now, and leave the stream as it was."""
        if self._verdict is None:
            self._verdict = self.cut_short()
        vars(self._raw).pop("readinto", None)

    def _count(self, buffer: Any) -> Any:
        try:
            count = self._readinto(buffer)
        except BaseException:
            self._ended = True
            raise
        if count == 0:
            self._ended = True
        elif count:
            self._arrived += count
        return count

    def cut_short(self) -> bool:
        """Whether the client ended the connection before the whole body had arrived."""
        if self._verdict is not None:
            return self._verdict
        if self._length is None or hasattr(self._connection, "getpeercert"):
            return self._ended  # Chunked, or TLS, where unread bytes can't be peeked at.
        missing = self._length - self._arrived
        if missing <= 0:
            return False
        return self._ended or (_hung_up(self._connection) and _waiting(self._connection, missing) < missing)


def meter_for(environ: Mapping[str, Any], handler: Any) -> BodyMeter | None:
    """Return a meter for the body that ``environ`` announces; None where there is none or it can't be counted.

    ``handler`` has the ``rfile`` to count in, and the ``connection``.
    """
    length: int | None = None
    if "HTTP_TRANSFER_ENCODING" not in environ:
        text = environ.get("CONTENT_LENGTH")
        if not text or text == "0":
            return None
        try:
            length = int(text)
        except ValueError:
            return None
    try:
        return BodyMeter(handler.rfile, handler.connection, length)
    except Exception:
        return None


def _hung_up(connection: Any) -> bool:
    """Whether the client has closed its sending side, without reading anything away."""
    try:
        if hasattr(select, "poll") and hasattr(select, "POLLRDHUP"):  # Linux: also behind unread data
            poller = select.poll()
            poller.register(connection, select.POLLRDHUP)
            return bool(poller.poll(0))
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            return bool(selector.select(0)) and _waiting(connection, 1) == 0
    except (OSError, ValueError):
        return True  # It is closed on our side.


def has_left(connection: Any) -> bool:
    """Whether a connection that can be read has come to its end; not known of TLS."""
    return not hasattr(connection, "getpeercert") and _waiting(connection, 1) == 0


def is_readable(connection: Any, seconds: float) -> bool:
    """Whether a connection has data, or has ended, within ``seconds``."""
    try:
        if hasattr(select, "poll"):  # select() can't take descriptors above 1023.
            poller = select.poll()
            poller.register(connection, select.POLLIN)
            return bool(poller.poll(seconds * 1000))
        return bool(select.select([connection], [], [], seconds)[0])
    except (OSError, ValueError):
        return True  # It is closed on our side.


def _waiting(connection: Any, at_most: int) -> int:
    """Return how many unread bytes, up to ``at_most``, wait in a connection that has data or has ended."""
    try:
        return len(connection.recv(min(at_most, _PEEK_LIMIT), socket.MSG_PEEK))
    except OSError:
        return 0


def drain(connection: Any, limit: float = DRAIN_LIMIT) -> None:
    """Shut the connection down for writing, read what the client still sends for ``limit`` s, end reading too.

    Never raises: whatever goes wrong here, the client is gone.
    """
    deadline = time.monotonic() + limit
    try:
        _shut_down(connection, socket.SHUT_WR)
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(left) and not socket.socket.recv(connection, _CHUNK):
                    break
    except (OSError, TypeError, ValueError):
        pass
    end_reading(connection)


def end_reading(connection: Any) -> None:
    """Let a thread that waits for this connection's next bytes find its end."""
    try:
        _shut_down(connection, socket.SHUT_RD)
    except (OSError, TypeError, ValueError):
        pass


def _shut_down(connection: Any, how: int) -> None:
    # Not the method of a TLS socket, which drops the TLS layer: what is written then goes out in the clear.
    socket.socket.shutdown(connection, how)
