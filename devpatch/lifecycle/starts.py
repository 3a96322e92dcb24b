"""The start of a development server, and the server objects that are watched.

An integration reports a start with ``starting``, and the server object with ``watch``. devpatch does not touch a
server that was not reported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import requests
from .endings import ending
from .sessions import Role, role
from .tracebacks import hide_own_frames

Proof = Callable[[], "str | None"]  # returns why the server's requests can't be seen, or None
Prepare = Callable[[Any], Callable[[], object]]  # changes a server object and returns the undo


@dataclass(frozen=True)
class Start:
    """A development server that is about to serve: its name in the table of servers, and how it serves."""

    server: str
    role: Role
    forks: bool = False  # whether it forks for each request
    concurrent: bool | None = None  # whether it handles requests concurrently by default; None: not known
    one_at_a_time: str | None = None  # why it must not handle requests concurrently
    obstacle: str | None = None  # why the patches do not fit this server
    application: Any = None  # the WSGI application, if it is known
    proof: Proof = field(default=lambda: None)


class Command(NamedTuple):
    """A class of commands that start a server: the server's name in the table, and its class."""

    server: str
    command: type
    server_class: type
    proof: Proof


# The commands that are derived from another framework's command and start their own server.
commands: list[Command] = []
# Each function makes a server accept no more connections, and waits for its requests for at most so many seconds.
drains: list[Callable[[float], object]] = []
_on_start: list[Callable[[Start], object]] = []
_on_load: list[Callable[[], bool]] = []
_prepares: list[Prepare] = []
launch_folder: str | None = None  # the working directory at the start of Python, or None
_servers: dict[int, Any] = {}  # by id: a server may not be hashable
_record: Callable[[Callable[[], object]], object] | None = None
_expected: ContextVar[bool] = ContextVar("devpatch_server_expected", default=False)


def listen(
    start: Callable[[Start], object],
    load: Callable[[], bool],
    record: Callable[[Callable[[], object]], object],
) -> None:
    """Call ``start`` for each start, and ``load`` when an application is loaded and about to be served.

    ``load`` returns whether to watch the server. ``record`` is called with the functions that undo the changes.
    """
    global _record
    _on_start.append(start)
    _on_load.append(load)
    _record = record


def prepare(change: Prepare) -> Callable[[], None]:
    """Call ``change`` for each new ``socketserver`` object, before it accepts connections.

    Return a function that undoes that.
    """
    _prepares.append(change)
    return lambda: _prepares.remove(change)


def starting(
    server: str,
    *,
    reloads: bool = False,
    forks: bool = False,
    concurrent: bool | None = None,
    one_at_a_time: str | None = None,
    obstacle: str | None = None,
    application: Any = None,
    proof: Proof = lambda: None,
) -> None:
    """Report that ``server`` is about to start. The arguments are those of ``Start``.

    Raises SystemExit with ``ExitStatus.REFUSED`` for a bad value or a server that can't be guarded, and nothing else.
    """
    start = Start(server, role(reloads), forks, concurrent, one_at_a_time, obstacle, application, proof)
    for listener in _on_start:
        listener(start)


def expect_server() -> None:
    """Record that the start of this context's next server was reported."""
    _expected.set(True)


def is_expected() -> bool:
    """Return whether the start of this server was reported. Each ``expect_server`` counts for one server."""
    expected = _expected.get()
    _expected.set(False)
    return expected


def is_watched(server: Any) -> bool:
    """Whether ``server`` was given to ``watch``."""
    return id(server) in _servers


def is_any_watched() -> bool:
    """Whether a server of this process is watched."""
    return bool(_servers)


def watch_requests(server: Any) -> bool:
    """Watch the requests of ``server``. Return False if nobody wants that, or if it is watched already.

    The integration itself ends the server's loop when the end of the process is requested.
    """
    if is_watched(server):
        return False
    wanted = [load() for load in _on_load]
    if not any(wanted):
        return False
    _servers[id(server)] = server
    _record_undos(lambda: _servers.pop(id(server), None), requests.watch(server))
    return True


def watch(server: Any) -> None:
    """Watch the requests of a ``socketserver`` object, and let the end of the process end its loop.

    A second call does nothing.
    """
    if not watch_requests(server):
        return
    service_actions, handle_error = server.service_actions, server.handle_error

    def exit_or_act() -> None:
        # The serving loop calls this after each request and every half second. SystemExit ends the loop in its
        # own thread. shutdown() would only make the loop return.
        ending.exit_if_requested()
        service_actions()

    def handle_error_without_own_frames(*args: Any) -> None:
        # The server prints a traceback here. None may follow the report of the first error.
        if not ending.requested:
            error = sys.exc_info()[1]
            if error is not None:
                hide_own_frames(error)
            handle_error(*args)

    # Not set before the end is requested: a call in each turn of the loop would slow down every request.
    ending.on_request(lambda: setattr(server, "service_actions", exit_or_act))
    server.handle_error = handle_error_without_own_frames
    _record_undos(lambda: _restore_loop(server), *(change(server) for change in _prepares))


def _record_undos(*undos: Callable[[], object]) -> None:
    if _record is not None:
        for undo in undos:
            _record(undo)


def _restore_loop(server: Any) -> None:
    for name in ("service_actions", "handle_error"):
        vars(server).pop(name, None)


def caller() -> str:
    """Return the name of the module that called the patched function."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("devpatch", "wrapt"):
            return name
        frame = frame.f_back
    return "__main__"
