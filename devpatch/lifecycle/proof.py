"""Prove that devpatch sees a server's requests: the server's handler class answers two requests in this process.

Even if all patches fit a version of a framework, its requests may take another path. Then a guard must not claim to
be on. One of the two requests succeeds and one fails. Both take the path of a client's request, over a socket pair.

Limits: if a program has its own handler class, the framework's class that it inherits from is tested, and no code
of the program runs. A handler class that calls no WSGI application is not noticed.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from . import requests
from .requests import EVENTS, Event

_HEALTHY, _FAILING = "/healthy", "/failing"
_EXPECTED: dict[str, list[str]] = {
    _HEALTHY: [Event.BEGUN, Event.WRITTEN],
    _FAILING: [Event.BEGUN, Event.FAILED, Event.WRITTEN, Event.ANSWERED, Event.ENDED],
}


class ProofError(Exception):
    """The exception that the test application raises."""


def prove(
    handlers: Any,
    modules: tuple[str, ...],
    server: dict[str, Any],
    prepare: Callable[[type], object] = lambda kind: None,
) -> str | None:
    """Return why the requests of ``handlers`` can't be seen, or None if they can. Never raises.

    ``handlers`` is a handler class of one of the ``modules``, or a program's subclass of one. ``server`` holds the
    attributes that the framework's class expects of its server, besides those that each server has. ``prepare``
    changes a handler class as the integration does. It gets a subclass that is used only here.
    """
    own = next((kind for kind in getattr(handlers, "__mro__", ()) if kind.__module__ in modules), None)
    if own is None:
        return f"{handlers!r} is not a request handler of {modules[0]}"

    def send(trial: Trial) -> None:
        quiet = type(own.__name__, (own,), _QUIET)
        prepare(quiet)
        trial.watch(SimpleNamespace(**_SERVER, **server), lambda server: _send_request(quiet, server, trial))

    return prove_by(f"{own.__module__}.{own.__qualname__}", send)


def prove_by(name: str, send: Callable[[Trial], object]) -> str | None:
    """Return why the requests of ``name`` can't be seen, or None if they can. Never raises.

    ``send`` sends the request of a trial.
    """
    try:
        for path in (_HEALTHY, _FAILING):
            trial = Trial(path)
            send(trial)
            if not trial.was_seen():
                return f"its requests can't be seen ({name})"
    except Exception as failure:
        return f"a test request to {name} failed ({type(failure).__name__}: {failure})"
    return None


class Trial:
    """A test request, and what is seen of it."""

    def __init__(self, path: str) -> None:
        """Take the path of the request's URL."""
        self.path = path
        # What the application must raise, or None.
        self.error = ProofError("a test of devpatch") if path == _FAILING else None
        self._events: list[tuple[str, BaseException | None]] = []
        self._found: list[requests.Request | None] = []

    def watch(self, server: Any, send: Callable[[Any], object]) -> None:
        """Record the events of the request that ``send`` sends to ``server``."""
        undo = requests.watch(server, {event: [self._recorder(event)] for event in EVENTS})
        try:
            send(server)
        finally:
            undo()

    def _recorder(self, event: str) -> requests.Listener:
        return lambda request: self._events.append((event, request.error))

    def look(self, environ: dict[str, Any]) -> None:
        """Look for the request. The application calls this with its environ or its scope."""
        self._found.extend((requests.current(), requests.of(environ), requests.of(dict(environ))))

    def was_seen(self) -> bool:
        """Whether the application found the request, and the expected events came."""
        found, expected = self._found, _EXPECTED[self.path]
        # The other events depend on the server, and WRITTEN may come several times.
        events = list(dict.fromkeys(event for event, _ in self._events if event in _EXPECTED[_FAILING]))
        is_found = len(found) == 3 and found[0] is not None and found[0] is found[1] is found[2]
        return is_found and events == expected and self._events[-1][1] is self.error


_QUIET: dict[str, Callable[..., Any]] = {
    "log": lambda *_: None,
    "log_message": lambda *_: None,
    "log_request": lambda *_, **__: None,
    "get_stderr": lambda _: io.StringIO(),
}

# A program may have changed the framework's class. Its methods may read these attributes.
_SERVER = {
    "address_family": socket.AF_INET,
    "server_address": ("127.0.0.1", 0),
    "server_name": "localhost",
    "server_port": 0,
}


def prove_wsgiref(handlers: Any) -> str | None:
    """Call ``prove`` for the handler class of a wsgiref server, such as Django's."""
    modules = ("wsgiref.simple_server", "django.core.servers.basehttp")
    # The server prepares this part of the environ.
    return prove(handlers, modules, {"base_environ": {"SERVER_NAME": "localhost", "SERVER_PORT": "0"}})


def _send_request(handlers: type, server: Any, trial: Trial) -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        trial.look(environ)
        if trial.error is not None:
            raise trial.error
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    server.app, server.get_app = application, lambda: application
    client_end, server_end = socket.socketpair()
    with client_end, server_end:
        client_end.sendall(f"GET {trial.path} HTTP/1.0\r\n\r\n".encode())
        client_end.shutdown(socket.SHUT_WR)
        handlers(server_end, ("127.0.0.1", 0), server)
