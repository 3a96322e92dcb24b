"""A ``socketserver`` server whose connections are handled by a pool, whatever framework it belongs to.

Its handlers write a response's headers and body in one go, without Nagle's delay, and leave their thread
when the client of a kept connection has not asked for anything more yet; ``handle`` is called again when
it has, which is what the handler would have done in its loop.
"""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from .connections import is_readable
from .pool import Parking, Pool
from .streams import ResponseWriter

# A worker waits this many seconds for the first byte of a connection; a client may connect in advance.
FIRST_BYTE_LIMIT = 0.05
# And this many for the next request of a kept connection, as long as no other waits for a thread.
LINGER_LIMIT = 0.005


class Parked(BaseException):
    """The handler leaves its thread until its client sends something, or others have had their turn.

    Not an Exception, for a program's own handler may catch all of those.
    """


# The visit that this thread works on. A program may wrap a connection after it was accepted, for TLS say.
_at_hand: ContextVar[_Visit] = ContextVar("devpatch_visit")


class PooledHandler(socketserver.StreamRequestHandler):
    """Comes before the server's own handler class."""

    pooled: PooledServer
    parked = False
    has_data = False  # whether the next request, or the end, is known to be there
    _visit: _Visit | None = None
    _requests = 0

    def setup(self) -> None:
        """See socketserver.StreamRequestHandler.setup."""
        super().setup()
        self._visit = _at_hand.get(None)
        if self._visit is not None:
            self._visit.handler = self
        try:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        except OSError:
            pass  # A Unix socket.
        if type(self.wfile) is socketserver._SocketWriter:  # type: ignore[attr-defined]
            self.wfile = ResponseWriter(self.connection)

    def handle(self) -> None:
        """Handle requests until the connection closes or the client lets us wait. Raises Parked."""
        self.parked = False
        if not self.has_data:
            self._leave_if_nothing_is_there()
        self.has_data = True
        super().handle()

    def handle_one_request(self) -> None:
        """See http.server.BaseHTTPRequestHandler. Raises Parked."""
        if not self.has_data:
            self._leave_if_nothing_is_there()
        self.has_data = False
        self._requests += 1
        super().handle_one_request()  # type: ignore[misc]

    def _leave_if_nothing_is_there(self) -> None:
        connection, pool = self.connection, self.pooled.pool
        # Of TLS, what the socket holds says little. A handler with a time limit closes when it is over.
        if self._visit is None or hasattr(connection, "getpeercert") or connection.gettimeout() is not None:
            return
        others_wait = pool.has_waiting()
        if is_readable(connection, 0) or _is_buffered(connection, self.rfile):
            if not (self._requests and others_wait):
                return
            self.has_data = True
        elif not others_wait and is_readable(
            connection, LINGER_LIMIT if self._requests else FIRST_BYTE_LIMIT
        ):
            return
        self.parked = True
        raise Parked

    def finish(self) -> None:
        """See socketserver.StreamRequestHandler.finish."""
        if not self.parked:
            super().finish()


class _Visit:
    """A client's connection, from its acceptance to its end, parked or not."""

    def __init__(self, pooled: PooledServer, request: Any, address: Any) -> None:
        self.handler: PooledHandler | None = None
        self._pooled = pooled
        self._request = request
        self._address = address

    @property
    def is_parked(self) -> bool:
        return self.handler is not None and self.handler.parked

    def begin(self) -> None:
        # ThreadingMixIn's, or what overrides it: it handles, reports errors and closes.
        _at_hand.set(self)
        try:
            self._pooled.server.process_request_thread(self._request, self._address)
        finally:
            self._end_or_park()

    def go_on(self) -> None:
        server, handler = self._pooled.server, self.handler
        assert handler is not None
        _at_hand.set(self)
        handler.has_data = True
        try:
            try:
                handler.handle()
            except Parked:
                pass
            finally:
                handler.finish()
        except Exception:
            server.handle_error(self._request, self._address)
        finally:
            server.shutdown_request(self._request)
            self._end_or_park()

    def _end_or_park(self) -> None:
        handler = self.handler
        if handler is None or not handler.parked:
            self._pooled.visits.pop(self._request, None)
        elif handler.has_data:
            self._pooled.pool.submit(self.go_on)
        else:
            self._pooled.parking.add(handler.connection, self.go_on)


class PooledServer:
    """What makes a server hand its connections to a pool; ``undo`` lets it be as it was."""

    def __init__(self, server: Any, pool: Pool) -> None:
        """Change ``server``, a ``socketserver.TCPServer``, before it accepts its first connection."""
        self.server = server
        self.pool = pool
        self.parking = Parking(pool)
        self.visits: dict[Any, _Visit] = {}
        self._kind, self._handlers = type(server), server.RequestHandlerClass
        if not isinstance(server, socketserver.ThreadingMixIn):
            server.__class__ = type(self._kind.__name__, (socketserver.ThreadingMixIn, self._kind), {})
        if _can_be_pooled(self._handlers):
            server.RequestHandlerClass = type(
                self._handlers.__name__, (PooledHandler, self._handlers), {"pooled": self}
            )
        server.finish_request = partial(self._finish_request, server.finish_request)
        server.shutdown_request = partial(self._shutdown_request, server.shutdown_request)
        server.process_request = self._process_request

    def undo(self) -> None:
        """Let the server be as it was; connections that are open go on."""
        for name in ("finish_request", "shutdown_request", "process_request"):
            vars(self.server).pop(name, None)
        self.server.RequestHandlerClass = self._handlers
        if type(self.server) is not self._kind:
            self.server.__class__ = self._kind

    def _process_request(self, request: Any, address: Any) -> None:
        visit = self.visits[request] = _Visit(self, request, address)
        try:
            self.pool.submit(visit.begin)
        except RuntimeError:
            del self.visits[request]
            raise

    def _finish_request(self, finish: Callable[..., None], request: Any, address: Any) -> None:
        try:
            finish(request, address)
        except Parked:
            pass

    def _shutdown_request(self, shutdown: Callable[..., None], request: Any) -> None:
        visit = self.visits.get(request)
        if visit is None or not visit.is_parked:
            shutdown(request)


def _can_be_pooled(handlers: Any) -> bool:
    return (
        isinstance(handlers, type)
        and issubclass(handlers, socketserver.StreamRequestHandler)
        and handlers.rbufsize != 0
    )


def _is_buffered(connection: Any, rfile: Any) -> bool:
    """Whether part of a pipelined request was read along with the one before."""
    timeout = connection.gettimeout()
    try:
        connection.settimeout(0)
        try:
            return bool(rfile.peek(1))
        finally:
            connection.settimeout(timeout)
    except (OSError, ValueError):
        return True
