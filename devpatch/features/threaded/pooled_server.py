"""A ``socketserver`` server of any framework whose connections are handled by a pool.

Its handlers write the headers and the body of a response together, without Nagle's delay. A handler leaves its thread
while the client of a kept connection sends nothing. When the client sends something, ``handle`` is called again and
continues the handler's loop.
"""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from ...lifecycle import connections
from ...lifecycle.connections import is_readable
from .idle_connections import IdleConnections
from .pool import Pool
from .response_writer import ResponseWriter

# A thread waits at most this many seconds for the first byte of a connection. Some clients connect in advance.
FIRST_BYTE_LIMIT = 0.05
# The same for the next request of a kept connection, unless another connection waits for a thread.
LINGER_LIMIT = 0.005


class Suspended(BaseException):
    """The handler leaves its thread until its client sends something, or until other connections had their turn.

    This is not a subclass of Exception, because a program's own handler may catch every Exception.
    """


# The connection that this thread handles. The socket does not identify it: a program may wrap an accepted socket,
# for example for TLS.
_current: ContextVar[_Connection] = ContextVar("devpatch_pooled_connection")


class PooledHandler(socketserver.StreamRequestHandler):
    """A mix-in for the server's own handler class."""

    pooled: PooledServer
    suspended = False
    has_data = False  # whether the next request, or the end of the connection, has arrived
    _pooled_connection: _Connection | None = None
    _requests = 0

    def setup(self) -> None:
        """See socketserver.StreamRequestHandler.setup."""
        super().setup()
        self._pooled_connection = _current.get(None)
        if self._pooled_connection is not None:
            self._pooled_connection.handler = self
        with suppress(OSError):  # A Unix socket.
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if type(self.wfile) is socketserver._SocketWriter:  # type: ignore[attr-defined]
            self.wfile = ResponseWriter(self.connection)

    def handle(self) -> None:
        """Handle requests until the connection closes. Raises Suspended when the client sends nothing."""
        self.suspended = False
        if not self.has_data:
            self._suspend_if_idle()
        self.has_data = True
        super().handle()

    def handle_one_request(self) -> None:
        """See http.server.BaseHTTPRequestHandler. Raises Suspended."""
        if not self.has_data:
            self._suspend_if_idle()
        self.has_data = False
        self._requests += 1
        super().handle_one_request()  # type: ignore[misc]

    def _suspend_if_idle(self) -> None:
        connection, pool = self.connection, self.pooled.pool
        # With TLS, a readable socket may have no data for the handler. With a time-out, the handler itself closes.
        if (
            self._pooled_connection is None
            or hasattr(connection, "getpeercert")
            or connection.gettimeout() is not None
        ):
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
        self.suspended = True
        raise Suspended

    def finish(self) -> None:
        """See socketserver.StreamRequestHandler.finish."""
        if not self.suspended:
            super().finish()


class _Connection:
    """A client's connection, from accept to close, also while it is suspended."""

    def __init__(self, pooled: PooledServer, request: Any, address: Any) -> None:
        self.handler: PooledHandler | None = None
        self._pooled = pooled
        self._request = request
        self._address = address

    @property
    def is_suspended(self) -> bool:
        return self.handler is not None and self.handler.suspended

    def begin(self) -> None:
        # This method of ThreadingMixIn handles the connection, reports errors and closes.
        _current.set(self)
        try:
            self._pooled.server.process_request_thread(self._request, self._address)
        finally:
            self._end_or_wait()

    def resume(self) -> None:
        server, handler = self._pooled.server, self.handler
        assert handler is not None
        _current.set(self)
        connections.current.set(connections.Accepted(server, self._request))
        handler.has_data = True
        try:
            try:
                with suppress(Suspended):
                    handler.handle()
            finally:
                handler.finish()
        except Exception:
            server.handle_error(self._request, self._address)
        finally:
            server.shutdown_request(self._request)
            self._end_or_wait()

    def _end_or_wait(self) -> None:
        handler = self.handler
        if handler is None or not handler.suspended:
            self._pooled.connections.pop(self._request, None)
        elif handler.has_data:
            self._pooled.pool.submit(self.resume)
        else:
            self._pooled.idle.add(handler.connection, self.resume)


class PooledServer:
    """Makes a server pass its connections to a pool. ``undo`` restores the server."""

    def __init__(self, server: Any, pool: Pool) -> None:
        """Change ``server``, a ``socketserver.TCPServer``, before it accepts its first connection."""
        self.server = server
        self.pool = pool
        self.idle = IdleConnections(pool)
        self.connections: dict[Any, _Connection] = {}
        self._server_class, self._handler_class = type(server), server.RequestHandlerClass
        if not isinstance(server, socketserver.ThreadingMixIn):
            server.__class__ = type(
                self._server_class.__name__, (socketserver.ThreadingMixIn, self._server_class), {}
            )
        if _can_be_pooled(self._handler_class):
            server.RequestHandlerClass = type(
                self._handler_class.__name__, (PooledHandler, self._handler_class), {"pooled": self}
            )
        server.finish_request = partial(self._finish_request, server.finish_request)
        server.shutdown_request = partial(self._shutdown_request, server.shutdown_request)
        server.process_request = self._process_request

    def undo(self) -> None:
        """Restore the server. Open connections go on."""
        for name in ("finish_request", "shutdown_request", "process_request"):
            vars(self.server).pop(name, None)
        self.server.RequestHandlerClass = self._handler_class
        self.server.__class__ = self._server_class

    def _process_request(self, request: Any, address: Any) -> None:
        pooled_connection = self.connections[request] = _Connection(self, request, address)
        try:
            self.pool.submit(pooled_connection.begin)
        except RuntimeError:
            del self.connections[request]
            raise

    def _finish_request(self, finish: Callable[..., None], request: Any, address: Any) -> None:
        with suppress(Suspended):
            finish(request, address)

    def _shutdown_request(self, shutdown: Callable[..., None], request: Any) -> None:
        pooled_connection = self.connections.get(request)
        if pooled_connection is None or not pooled_connection.is_suspended:
            shutdown(request)


def _can_be_pooled(handlers: Any) -> bool:
    return (
        isinstance(handlers, type)
        and issubclass(handlers, socketserver.StreamRequestHandler)
        and handlers.rbufsize != 0
    )


def _is_buffered(connection: Any, rfile: Any) -> bool:
    """Whether part of the next, pipelined request was read together with the last one."""
    timeout = connection.gettimeout()
    try:
        connection.settimeout(0)
        try:
            return bool(rfile.peek(1))
        finally:
            connection.settimeout(timeout)
    except (OSError, ValueError):
        return True
