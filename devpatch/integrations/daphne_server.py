"""daphne.server: the server of daphne's runserver, which serves HTTP and WebSockets in the event loop of Twisted.

It calls the application in a task of its own for each request or WebSocket. The task copies the context in which it
is made, so the request is known there. Once a second the server looks for tasks that have failed, and answers for
them: with a short page, or by closing the WebSocket. A task that fails after its response has begun gets no answer.

Limits: it swallows a CancelledError of the application, which is therefore no error. HTTP/2 is not known here,
because runserver has no TLS.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any
from urllib.parse import quote

from ..lifecycle import requests, sessions, starts
from ..lifecycle.endings import RELEASE_LIMIT, ending
from ..lifecycle.tracebacks import hide_own_frames
from ..patching import Capability, Decorate, Expect, Lacks, ledger

_MODULE = "daphne.server"
_POLL_INTERVAL = 0.005  # seconds
# A new connection counts as busy for this many seconds. Its client may not have sent the first byte yet.
_FIRST_BYTE_LIMIT = 1.0
# The server takes a second to answer for a failed task.
_ANSWER_LIMIT = 3.0  # seconds until a request that called sys.exit is answered
_SEARCH_LIMIT = 0.2  # seconds to find that request
_SERVICE_RESTART = 1012  # WebSocket close code: the server restarts, try again (IANA's registry for RFC 6455)

_exchanges: dict[Any, _Exchange] = {}  # by protocol


def _reactor() -> Any:
    return sys.modules[_MODULE].reactor


class _Exchange:
    """A request or a WebSocket: the protocol object that speaks with the client, and the application's task.

    It is the handler of its ``requests.Request``.
    """

    def __init__(self, server: Any, protocol: Any, scope: dict[str, Any]) -> None:
        self.server = server
        self.protocol = protocol
        self.scope = scope
        self.command = scope.get("method", "GET")  # WebSockets begin with a GET.
        self._transport = protocol.transport
        get_handle = getattr(self._transport, "getHandle", lambda: None)
        self.connection = get_handle()
        self.is_answered = False
        self.is_done = False
        self.has_exited = False  # whether the application called sys.exit
        self.is_ended = False
        self.context = copy_context()
        self.request: Any = self.context.run(requests.begin, self, protocol, scope)
        _exchanges[protocol] = self

    def wsgi_environ(self) -> dict[str, Any]:
        """Return the scope as a WSGI environ, without a body."""
        scope = self.scope
        host, port = scope.get("server") or ("unknown", 0)
        environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": scope.get("root_path", ""),
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "REMOTE_ADDR": (scope.get("client") or [""])[0],
            "wsgi.url_scheme": scope.get("scheme") or ("ws" if self.is_websocket else "http"),
            "asgi.scope": scope,
        }
        for name, value in scope["headers"]:
            key = name.decode("latin-1").upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
        return environ

    @property
    def path(self) -> str:
        """The path and the query of the URL."""
        path = (self.scope.get("raw_path") or quote(self.scope["path"]).encode()).decode("latin-1")
        query = self.scope["query_string"].decode("latin-1")
        return f"{path}?{query}" if query else path

    @property
    def is_websocket(self) -> bool:
        """Whether it is a WebSocket."""
        return bool(self.scope["type"] == "websocket")

    def answered(self) -> None:
        """Act on a response that is complete, or on a connection that is closed."""
        if self.is_answered:
            return
        self.is_answered = True
        if not self.is_websocket:
            self.request.status = getattr(self.protocol, "code", None)
        self._when_flushed(self.request.note_written)
        if self.is_done:
            self._when_flushed(self._end)

    def application_ended(self, task: asyncio.Future[Any]) -> None:
        """Act on the end of the application."""
        error = None if task.cancelled() else task.exception()
        self.is_done = True
        if error is not None:
            hide_own_frames(error)
            self.has_exited = isinstance(error, SystemExit)
            self.request.note(error)
            if getattr(self.protocol, "_response_started", False):
                self.answered()  # The server does not end a response that has begun.
        if self.is_answered:
            self._when_flushed(self._end)

    def _when_flushed(self, act: Callable[[], object]) -> None:
        """Call ``act`` when the system has all bytes. That matters only for a request with an error."""
        if self.request.error is not None and self._transport in _reactor().getWriters():
            asyncio.get_running_loop().call_later(_POLL_INTERVAL, self._when_flushed, act)
        else:
            act()

    def _end(self) -> None:
        self.is_ended = True
        _exchanges.pop(self.protocol, None)
        self.request.end()
        if ending.requested:
            _stop(self.server)


# Requests.


def _watch_create_application(create: Callable[..., Any]) -> Callable[..., Any]:
    def watched(server: Any, protocol: Any, scope: dict[str, Any]) -> Any:
        if not requests.is_watched(server):
            return create(server, protocol, scope)
        _fresh.pop(_address_of(protocol.transport), None)
        exchange = _Exchange(server, protocol, scope)
        try:
            queue = exchange.context.run(create, server, protocol, scope)
        except BaseException as error:  # What it calls is no ASGI application.
            exchange.request.note(error)
            exchange.is_done = True
            hide_own_frames(error)
            raise
        server.connections[protocol]["application_instance"].add_done_callback(exchange.application_ended)
        return queue

    return watched


def _watch_protocol_disconnected(disconnect: Callable[..., Any]) -> Callable[..., Any]:
    def watched(server: Any, protocol: Any) -> None:
        disconnect(server, protocol)
        exchange = _exchanges.get(protocol)
        if exchange is not None:
            exchange.answered()

    return watched


# The server, from its start to its end.


def _watch_run(run: Callable[..., Any]) -> Callable[..., Any]:
    def watched(server: Any) -> None:
        if not starts.is_expected():
            run(server)
            return
        listener = _adopt_listener(server)
        if starts.watch_requests(server):
            _prepare(server)
        _reactor().callWhenRunning(sessions.worker.serves)
        try:
            run(server)
        except SystemExit:
            _answer_exit()
            raise
        finally:
            if listener is not None:
                listener.close()
            ending.exit_if_requested()

    return watched


def _adopt_listener(server: Any) -> Any:
    """Make ``server`` listen on the supervisor's socket, if there is one, and return that."""
    if sessions.endpoint.address is not None and sessions.worker.moves(sessions.endpoint.address()):
        sessions.end_broken_worker()
        raise SystemExit  # ends this thread
    listener = sessions.worker.adopt_listener()
    if listener is not None:
        # Twisted closes the descriptor that it gets.
        server.endpoints = [f"fd:fileno={os.dup(listener.fileno())}"]
    return listener


def _prepare(server: Any) -> None:
    drain = partial(_drain, server)
    starts.drains.append(drain)
    ledger.record(lambda: starts.drains.remove(drain))
    # Without a reloader, the loop runs in the main thread, which has to end the process. If no request ends
    # before, because the application does not end, the main thread would not wait longer for it either.
    ending.on_request(lambda: _reactor().callFromThread(_reactor().callLater, RELEASE_LIMIT, _stop, server))


def _stop(server: Any) -> None:
    if _reactor().running and not vars(server).get("_devpatch_stopped"):
        server._devpatch_stopped = True
        server.stop()


def _answer_exit() -> None:
    """Run the event loop, which a SystemExit has stopped, until the request whose code raised it is answered."""
    loop = asyncio.get_event_loop()  # The server has made the reactor's loop the current one.
    began = time.monotonic()
    found: _Exchange | None = None
    while time.monotonic() - began < (_ANSWER_LIMIT if found else _SEARCH_LIMIT):
        loop.call_later(_POLL_INTERVAL, loop.stop)
        try:
            loop.run_forever()
        except SystemExit:
            pass  # Each task that waits for the failed one raises it again.
        found = found or next((exchange for exchange in _exchanges.values() if exchange.has_exited), None)
        if found is not None and found.is_ended:
            return


# A reload.

_fresh: dict[Any, float] = {}  # by the client's address: when connections without a request were accepted


def _address_of(transport: Any) -> Any:
    peer = transport.getPeer()
    return getattr(peer, "host", None), getattr(peer, "port", None)


def _watch_build_protocol(build: Callable[..., Any]) -> Callable[..., Any]:
    def watched(factory: Any, address: Any) -> Any:
        now = time.monotonic()
        for key in [key for key, accepted in _fresh.items() if now - accepted > _FIRST_BYTE_LIMIT]:
            del _fresh[key]
        _fresh[getattr(address, "host", None), getattr(address, "port", None)] = now
        return build(factory, address)

    return watched


def _drain(server: Any, limit: float) -> None:
    """Accept no more connections, close the WebSockets, and wait for the requests for at most ``limit`` seconds."""
    drained = threading.Event()
    _reactor().callFromThread(_begin_drain, server, time.monotonic() + limit, drained)
    drained.wait(limit)


def _begin_drain(server: Any, deadline: float, drained: threading.Event) -> None:
    for port in _reactor().getReaders():
        if getattr(port, "factory", None) is server.http_factory:
            port.stopReading()  # It is not closed: the connections that wait are the next worker's.
    for protocol in list(server.connections):
        if getattr(protocol, "state", None) == getattr(protocol, "STATE_OPEN", ""):
            protocol.sendCloseFrame(code=_SERVICE_RESTART)
    _wait_until_idle(server, deadline, drained)


def _wait_until_idle(server: Any, deadline: float, drained: threading.Event) -> None:
    if time.monotonic() > deadline or not _is_busy(server):
        drained.set()
    else:
        _reactor().callLater(_POLL_INTERVAL, _wait_until_idle, server, deadline, drained)


def _is_busy(server: Any) -> bool:
    now = time.monotonic()
    return bool(
        _exchanges
        or _reactor().getWriters()
        or any("disconnected" not in details for details in server.connections.values())
        or any(now - accepted < _FIRST_BYTE_LIMIT for accepted in _fresh.values())
    )


LACKS = (
    Lacks(_MODULE, "Server", Capability.THREADS, "an event loop serves all requests"),
    Lacks(_MODULE, "Server", Capability.EXC_INFO, "ASGI has no start_response"),
    Lacks(_MODULE, "Server", Capability.COSTS, "its tasks share a thread, so their costs are not told apart"),
)
PATCHES = (
    Decorate(_MODULE, "Server.run", Capability.ENDING, _watch_run, ("server",)),
    Decorate(
        _MODULE,
        "Server.create_application",
        Capability.ERRORS,
        _watch_create_application,
        ("server", "protocol", "scope"),
    ),
    Decorate(
        _MODULE,
        "Server.protocol_disconnected",
        Capability.RESPONSES,
        _watch_protocol_disconnected,
        ("server", "protocol"),
    ),
    Expect(_MODULE, "Server.stop", Capability.ENDING, ("server",)),
    Decorate(
        "daphne.http_protocol",
        "HTTPFactory.buildProtocol",
        Capability.WORKERS,
        _watch_build_protocol,
        ("factory", "address"),
    ),
    Expect(
        "daphne.ws_protocol", "WebSocketProtocol.sendCloseFrame", Capability.WORKERS, ("protocol", "code")
    ),
)
