"""The client's connection: how much of a request's body arrived, whether the client hung up, and the last drain.

The reads and writes of a connection are watched only while a request is handled.
"""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

# After the response, the bytes that the client still sends are read for this many seconds. Closing a socket with
# unread bytes resets the connection, and the client loses the end of the response.
DRAIN_LIMIT = 1.0
_CHUNK = 65536
_PEEK_LIMIT = 16 * 1024 * 1024  # more than any socket's receive buffer holds
_MAX_CAUSES = 20  # of an exception


class Accepted(NamedTuple):
    """A connection that a server passes to its handler."""

    server: Any
    connection: Any


_accepted: ContextVar[Accepted | None] = ContextVar("devpatch_accepted", default=None)


def accept(server: Any, connection: Any) -> None:
    """Record that this context handles ``connection`` of ``server`` from now on."""
    _accepted.set(Accepted(server, connection))


def release() -> None:
    """Record that this context does not handle the connection any more."""
    _accepted.set(None)


def accepted() -> Accepted | None:
    """Return the connection that this context handles, or None if it was not recorded."""
    return _accepted.get()


class Channel:
    """A request's reads from its connection, and its buffered writes. It counts the bytes of the body.

    ``raised`` is the last exception that a read from the connection or a write to it raised.
    """

    # Values of the class, because most requests change none of them.
    raised: BaseException | None = None
    _length: int | None = 0  # announced length in bytes; None for a chunked body
    _arrived = 0
    _ended = False
    _was_cut_short: bool | None = None

    def __init__(self, handler: Any) -> None:
        """Watch the ``rfile of ``handler``, if possible."""
        self._handler = handler
        rfile: Any = getattr(handler, "rfile", None)
        self._raw: Any = getattr(rfile, "raw", rfile)
        try:
            self._readinto = self._raw.readinto
            self._raw.readinto = self._read
        except AttributeError:
            self._raw = None  # This stream can't be watched.
        # An unbuffered writer, which is the default, is watched by its integration.
        self._raw_writer: Any = getattr(getattr(handler, "wfile", None), "raw", None)
        if self._raw_writer is not None:
            self._write = self._raw_writer.write
            self._raw_writer.write = self._watched_write

    def _read(self, buffer: Any) -> Any:
        try:
            count = self._readinto(buffer)
        except BaseException as error:
            self._ended = True
            self.raised = error
            raise
        if count == 0:
            self._ended = True
        elif count:
            self._arrived += count
        return count

    def _watched_write(self, data: Any) -> Any:
        try:
            return self._write(data)
        except BaseException as error:
            self.raised = error
            raise

    def expect_body(self, environ: Mapping[str, Any]) -> None:
        """Start to count the body that ``environ`` announces."""
        self._arrived = 0
        if "HTTP_TRANSFER_ENCODING" in environ:
            self._length = None
        else:
            text = environ.get("CONTENT_LENGTH")
            self._length = int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0
        if self._length != 0:
            self._arrived = self._buffered()

    def _buffered(self) -> int:
        """Return how many bytes were read along with the headers."""
        if self._raw is None:
            return 0
        # peek() must not read from the socket, so the raw stream returns no data.
        self._raw.readinto = lambda buffer: None
        try:
            return len(self._handler.rfile.peek())
        except Exception:
            self._length = 0  # It can't be counted.
            return 0
        finally:
            self._raw.readinto = self._read

    def answered(self) -> None:
        """Decide now whether the body was cut short. A client that leaves later has its answer."""
        if self._was_cut_short is None:
            self._was_cut_short = self._cut_short()

    def close(self) -> None:
        """Stop watching, and restore the streams."""
        self.answered()
        if self._raw is not None:
            vars(self._raw).pop("readinto", None)
        if self._raw_writer is not None:
            vars(self._raw_writer).pop("write", None)
        self.raised = None  # Its traceback may refer to this object.

    def is_complete(self) -> bool:
        """Whether the whole body has arrived, or the client has ended the connection.

        The end of a chunked body is not known before the client ends the connection.
        """
        return self._ended or (self._length is not None and self._arrived >= self._length)

    def explains(self, error: BaseException) -> bool:
        """Whether the client caused ``error``: this connection raised it or its cause, or the body was cut short."""
        return self._has_raised(error) or self._cut_short()

    def _has_raised(self, error: BaseException) -> bool:
        link: BaseException | None = error
        for _ in range(_MAX_CAUSES):
            if link is None or self.raised is None:
                return False
            if link is self.raised:
                return True
            link = link.__cause__
        return False

    def _cut_short(self) -> bool:
        """Whether the client ended the connection before the whole body had arrived."""
        if self._was_cut_short is not None:
            return self._was_cut_short
        if self._length == 0 or self._raw is None:
            return False
        connection = self._handler.connection
        if self._length is None or hasattr(connection, "getpeercert"):
            return self._ended  # For a chunked body or TLS, unread bytes can't be counted.
        missing = self._length - self._arrived
        if missing <= 0:
            return False
        return self._ended or (_hung_up(connection) and _count_unread(connection, missing) < missing)


def _hung_up(connection: Any) -> bool:
    """Whether the client has closed its sending side. Nothing is read."""
    try:
        if hasattr(select, "poll") and hasattr(select, "POLLRDHUP"):  # Linux: also behind unread data
            poller = select.poll()
            poller.register(connection, select.POLLRDHUP)
            return bool(poller.poll(0))
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            return bool(selector.select(0)) and _count_unread(connection, 1) == 0
    except (OSError, ValueError):
        return True  # This side has closed it.


def has_left(connection: Any) -> bool:
    """Whether the client has ended ``connection``, which must be readable. False for TLS, where it is not known."""
    return not hasattr(connection, "getpeercert") and _count_unread(connection, 1) == 0


def is_readable(connection: Any, seconds: float) -> bool:
    """Whether ``connection`` has data, or has ended, within ``seconds``."""
    try:
        if hasattr(select, "poll"):  # select() can't take descriptors above 1023.
            poller = select.poll()
            poller.register(connection, select.POLLIN)
            return bool(poller.poll(seconds * 1000))
        return bool(select.select([connection], [], [], seconds)[0])
    except (OSError, ValueError):
        return True  # This side has closed it.


def _count_unread(connection: Any, at_most: int) -> int:
    """Return the number of unread bytes, up to ``at_most``, in a readable connection."""
    try:
        return len(connection.recv(min(at_most, _PEEK_LIMIT), socket.MSG_PEEK))
    except OSError:
        return 0


def drain(connection: Any, limit: float = DRAIN_LIMIT) -> None:
    """Shut down writing, read what the client still sends for at most ``limit`` s, then shut down reading.

    Never raises: if something fails here, the client is gone.
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
    """Shut down reading, so that a thread that waits for the client's bytes sees the end of the connection."""
    try:
        _shut_down(connection, socket.SHUT_RD)
    except (OSError, TypeError, ValueError):
        pass


def _shut_down(connection: Any, how: int) -> None:
    # Not the method of the TLS socket: it drops the TLS layer, so later writes would not be encrypted.
    socket.socket.shutdown(connection, how)
