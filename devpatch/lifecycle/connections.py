"""The client's connection: how much of a request's body arrived, whether the client hung up, and draining it.

The reads and writes of a connection are watched only while a request is handled.
"""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

# After the response, the bytes that the client still sends are read for this many seconds. Closing a socket with
# unread bytes resets the connection, and the client loses the end of the response.
DRAIN_LIMIT = 1.0
_CHUNK = 65536
_PEEK_LIMIT = 16 * 1024 * 1024  # more than any socket's receive buffer holds
_MAX_CAUSES = 20  # of an exception
_CLIENT_IS_GONE = (OSError, TypeError, ValueError)  # what the methods of its socket raise


class Accepted(NamedTuple):
    """A connection that a server passes to its handler."""

    server: Any
    connection: Any


# The connection that this context handles, or None if it is not known.
current: ContextVar[Accepted | None] = ContextVar("devpatch_accepted", default=None)


class Body:
    """The body of a request, as it arrives on its connection. It counts the bytes."""

    # Values of the class, because most bodies change none of them.
    _raised: BaseException | None = None  # by the last read
    _ended = False
    _was_cut_short: bool | None = None

    def __init__(self, handler: Any, length: int | None) -> None:
        """Watch the reads from ``handler.rfile``. ``length`` is the Content-Length in bytes, None for a chunked body.

        Raises AttributeError if these reads can't be watched.
        """
        self._connection = handler.connection
        self._length = length
        self._raw = handler.rfile.raw
        self._readinto = self._raw.readinto
        # For this one peek, the raw stream returns no data, so only bytes in the buffer are counted.
        self._raw.readinto = lambda buffer: None
        try:
            self._arrived = len(handler.rfile.peek())  # read along with the headers
        finally:
            self._raw.readinto = self._read

    def _read(self, buffer: Any) -> Any:
        try:
            count = self._readinto(buffer)
        except BaseException as error:
            self._ended = True
            self._raised = error
            raise
        if count == 0:
            self._ended = True
        elif count:
            self._arrived += count
        return count

    def answered(self) -> None:
        """Decide now whether the body was cut short. A client that leaves later has its answer."""
        self._was_cut_short = self._cut_short()

    def close(self) -> None:
        """Stop watching, and restore the stream."""
        self.answered()
        vars(self._raw).pop("readinto", None)
        self._raised = None  # Its traceback may refer to this object.

    def is_complete(self) -> bool:
        """Whether the whole body has arrived, or the client has ended the connection.

        The end of a chunked body is not known before the client ends the connection.
        """
        return self._ended or (self._length is not None and self._arrived >= self._length)

    def client_caused(self, error: BaseException) -> bool:
        """Whether the client caused ``error``: a read of the body raised it or its cause, or the body was cut short."""
        return any(link is self._raised for link in _causes(error)) or self._cut_short()

    def _cut_short(self) -> bool:
        """Whether the client ended the connection before the whole body had arrived."""
        if self._was_cut_short is not None:
            return self._was_cut_short
        connection = self._connection
        if self._length is None or _is_tls(connection):
            return self._ended  # For a chunked body or TLS, unread bytes can't be counted.
        missing = self._length - self._arrived
        return missing > 0 and (
            self._ended or (_has_closed_sending(connection) and _count_unread(connection, missing) < missing)
        )


def body_of(handler: Any, environ: Mapping[str, Any]) -> Body | None:
    """Return the body that ``environ`` announces. None if there is none, or if it can't be watched."""
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    length = environ.get("CONTENT_LENGTH", "")
    if not is_chunked and length in ("", "0"):
        return None
    try:
        return Body(handler, None if is_chunked else int(length))
    except Exception:  # The length is not a number, or the reads can't be watched.
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and its causes."""
    link: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if link is None:
            return
        yield link
        link = link.__cause__


def client_caused(connection: Any, error: BaseException) -> bool:
    """Whether the client left, or was too slow, and that may have raised the OSError ``error`` or a cause of it."""
    kinds = {type(link) for link in _causes(error) if isinstance(link, OSError)}
    if not kinds:
        return False
    is_timeout = any(issubclass(kind, TimeoutError) for kind in kinds)
    return _was_reset(connection) or (is_timeout and connection.gettimeout() is not None)


def _was_reset(connection: Any) -> bool:
    """Whether the client has reset the connection, or both sides have closed it. Nothing is read.

    An application may raise a ConnectionError of its own. Then the client's connection is still whole.
    """
    try:
        connection.getpeername()
        if hasattr(select, "poll"):
            return _poll(connection, 0)  # poll reports errors also for an empty mask.
        if select.select([connection], [], [], 0)[0]:
            socket.socket.recv(connection, 1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True
    return False


def _has_closed_sending(connection: Any) -> bool:
    """Whether the client has closed its sending side. Nothing is read."""
    try:
        # Linux reports it even if unread data comes first.
        if hasattr(select, "poll") and hasattr(select, "POLLRDHUP"):
            return _poll(connection, select.POLLRDHUP)
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            return bool(selector.select(0)) and _count_unread(connection, 1) == 0
    except (OSError, ValueError):
        return True  # This side has closed it.


def _is_tls(connection: Any) -> bool:
    return hasattr(connection, "getpeercert")


def is_at_end(connection: Any) -> bool:
    """Whether the client has ended ``connection``, which must be readable. False for TLS, where it is not known."""
    return not _is_tls(connection) and _count_unread(connection, 1) == 0


def is_readable(connection: Any, seconds: float) -> bool:
    """Whether ``connection`` has data, or has ended, within ``seconds``."""
    try:
        if hasattr(select, "poll"):  # select() can't take descriptors above 1023.
            return _poll(connection, select.POLLIN, seconds)
        return bool(select.select([connection], [], [], seconds)[0])
    except (OSError, ValueError):
        return True  # This side has closed it.


def _poll(connection: Any, events: int, seconds: float = 0) -> bool:
    poller = select.poll()
    poller.register(connection, events)
    return bool(poller.poll(seconds * 1000))


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
    with suppress(*_CLIENT_IS_GONE):
        _shut_down(connection, socket.SHUT_WR)
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(left) and not socket.socket.recv(connection, _CHUNK):
                    break
    end_reading(connection)


def end_reading(connection: Any) -> None:
    """Shut down reading, so that a thread that waits for the client's bytes sees the end of the connection."""
    with suppress(*_CLIENT_IS_GONE):
        _shut_down(connection, socket.SHUT_RD)


def _shut_down(connection: Any, how: int) -> None:
    # Not the method of the TLS socket: it drops the TLS layer, so later writes would not be encrypted.
    socket.socket.shutdown(connection, how)
