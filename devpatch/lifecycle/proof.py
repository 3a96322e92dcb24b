"""The proof that requests of a server can be known: its own class of handlers answers two of them in memory.

Patches may all fit a version of a framework whose requests take another way. A guard must not claim then that it
is on. One request is healthy and one fails. Both take the way of a client's request, over a pair of sockets.

Limits: if a program brings a class of handlers, the framework's class that it inherits from answers. The program's
own code would run otherwise. So a class that calls no WSGI application at all is not noticed.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from . import connections, requests
from .requests import Event

_HEALTHY, _FAILING = "/healthy", "/failing"
_EXPECTED: dict[str, list[Event]] = {
    _HEALTHY: [Event.BEGUN, Event.WRITTEN],
    _FAILING: [Event.BEGUN, Event.WRITTEN, Event.ANSWERED, Event.ENDED],
}


class ProofError(Exception):
    """What the application of a proof raises."""


def prove(
    handlers: Any,
    module: str,
    server: dict[str, Any],
    prepare: Callable[[type], object] = lambda kind: None,
) -> str | None:
    """Return why the requests of ``handlers``, a class of ``module`` or of a program, can't be known, or None.

    ``server`` has the attributes that the class of ``module`` needs of its server. The application is added, as
    ``app`` and ``get_app``. ``prepare`` makes the changes that the integration makes to a class of handlers. They
    are made to a subclass that is used for nothing else. Never raises.
    """
    own = next((kind for kind in getattr(handlers, "__mro__", ()) if kind.__module__ == module), None)
    if own is None:
        return f"{handlers!r} is not a request handler of {module}"
    try:
        quiet = type(own.__name__, (own,), _QUIET)
        prepare(quiet)
        if all(_is_known(quiet, server, path) for path in (_HEALTHY, _FAILING)):
            return None
        return f"its requests can't be seen ({module}.{own.__qualname__})"
    except Exception as failure:
        return f"a test request to {module}.{own.__qualname__} failed ({type(failure).__name__}: {failure})"


_QUIET: dict[str, Callable[..., Any]] = {
    "log": lambda *_: None,
    "log_message": lambda *_: None,
    "log_request": lambda *_, **__: None,
    "get_stderr": lambda _: io.StringIO(),
}


# The part of an environ that a wsgiref server prepares.
_BASE_ENVIRON = {
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "0",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REMOTE_HOST": "",
    "CONTENT_LENGTH": "",
    "SCRIPT_NAME": "",
}


def prove_wsgiref(handlers: Any, module: str) -> str | None:
    """Do as ``prove`` for the handlers of a wsgiref server. Django's are such handlers too."""
    return prove(handlers, module, {"base_environ": _BASE_ENVIRON})


def _is_known(handlers: type, attributes: dict[str, Any], path: str) -> bool:
    raised = ProofError("a test of devpatch") if path == _FAILING else None
    seen: list[tuple[Event, BaseException | None]] = []
    found: list[requests.Request | None] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        found.extend((requests.current(), requests.of(environ), requests.of(dict(environ))))
        if raised is not None:
            raise raised
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    server = SimpleNamespace(**attributes, app=application, get_app=lambda: application)
    undo = requests.watch(server, {event: [_recorder(event, seen)] for event in Event})
    try:
        _ask(handlers, server, path)
    finally:
        undo()
    # Some servers read after the answer, and WRITTEN may come several times.
    events = list(dict.fromkeys(event for event, _ in seen if event in _EXPECTED[_FAILING]))
    is_found = found[:1] != [None] and found == found[:1] * 3
    return is_found and events == _EXPECTED[path] and seen[-1][1] is raised


def _recorder(event: Event, seen: list[tuple[Event, BaseException | None]]) -> requests.Listener:
    return lambda request: seen.append((event, request.error))


def _ask(handlers: type, server: Any, path: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        ours.shutdown(socket.SHUT_WR)
        accepted = connections.Accepted(server, theirs)
        connections.handle(accepted, handlers, theirs, ("127.0.0.1", 0), server)
