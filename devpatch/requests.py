"""What the development servers report: a request, its first unhandled error, the end of its response.

Of a healthy request nothing is kept, for whatever is done for each costs: a ``Request`` is made once there
is something to say of it. What handles the request is then found on the call stack, by the functions that
integrations have named. It does not stand in the environ, for Django's debug page shows all of that.
Servers that are not guarded have no requests here, so whatever happens in them is ignored.
"""

from __future__ import annotations

import enum
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any
from urllib.parse import quote

from . import connections
from .console import say

_PACKAGE = f"{Path(__file__).parent}{os.sep}"


class Event(enum.Enum):
    """What features can listen to, in the request's thread. Each comes once, for a request that has an error."""

    FAILED = "failed"  # its first error was noted; the response to it is yet to come
    # Before the response to the error, the server reads the client's bytes to their end.
    READING_ON = "reading on"
    RESPONSE_SENT = "response sent"  # the last byte of the body was written
    FINISHED = "finished"  # the server is done with the request
    # These come without an error too, the last two maybe more than once.
    BEGUN = "begun"  # the application is about to be called
    WRITTEN = "written"  # the framework wrote the last byte of the body
    ONLY_WAITS = "only waits"  # after it, the server waits for what the client may still send


Listener = Callable[["Request"], None]
Dismissal = Callable[[BaseException], bool]
Station = Callable[[Mapping[str, Any]], "tuple[Any, Any] | None"]

_listeners: dict[Event, list[Listener]] = {event: [] for event in Event}
_begun, _written = (
    _listeners[Event.BEGUN],
    _listeners[Event.WRITTEN],
)  # To look an Event up takes long, and this is done for each request.
# Rules of the frameworks: exceptions that they answer with a 4xx response, say.
dismissals: list[Dismissal] = []
# The frameworks that are loaded, by name.
frameworks: list[str] = []
# By their threads, the requests under way that there is something to say of. Who is called for each request
# looks first whether there are any.
noted: dict[int, Request] = {}
# By the id of the code of functions that handle a request: that code, for its id is to stay its own, and what
# tells the handler and the runner from the function's variables. The hash of code is made anew at each lookup.
_stations: dict[int, tuple[CodeType, Station]] = {}


def listen(event: Event, listener: Listener) -> Callable[[], None]:
    """Have ``listener`` called at ``event``; returns what undoes it."""
    _listeners[event].append(listener)
    return lambda: _listeners[event].remove(listener)


def is_dismissed(error: BaseException) -> bool:
    """Whether ``error`` is one by which a framework means a response, or the keyboard's."""
    return isinstance(error, KeyboardInterrupt) or any(dismisses(error) for dismisses in dismissals)


def station(code: CodeType, locate: Station) -> None:
    """Have requests found in the frames of ``code``.

    ``locate`` is called with the variables of a frame and returns the ``BaseHTTPRequestHandler`` of the
    request's connection and the object that has the WSGI environ and calls the application, which may be
    the same; None where the server is not guarded.
    """
    _stations[id(code)] = code, locate


def needs_begin(environ: Mapping[str, Any]) -> bool:
    """Whether somebody has to be told that the application is about to be called with ``environ``."""
    return bool(_begun or environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ)


def here() -> Request | None:
    """Return the request that this thread works on, if there is something to say of it."""
    return noted.get(threading.get_ident())  # Looked up at each call, for gevent puts its own in its place.


def of(environ: Any) -> Request | None:
    """Return the request under way that ``environ`` belongs to, as itself or as a copy that a middleware made.

    Where a view drives another request through a test client, that one belongs to none.
    """
    if not isinstance(environ, Mapping):
        return None
    this = threading.get_ident()
    found = _noted_for(environ, [this]) or _on_stack(sys._getframe(1), environ, this)
    if found is None:  # Django may answer in another thread than the one that waits for it.
        found = _noted_for(environ, [*noted]) or _on_any_stack(environ)
    return found


def _noted_for(environ: Mapping[str, Any], threads: Iterable[int]) -> Request | None:
    for thread in threads:
        request = noted.get(thread)
        if request is not None and _is_same(environ, request.environ):
            return request
    return None


def _on_any_stack(environ: Mapping[str, Any]) -> Request | None:
    for thread, frame in sys._current_frames().items():
        found = _on_stack(frame, environ, thread)
        if found is not None:
            return found
    return None


def _on_stack(top: FrameType, environ: Mapping[str, Any], thread: int) -> Request | None:
    frame: FrameType | None = top
    while frame is not None:
        known = _stations.get(id(frame.f_code))
        located = known and known[1](frame.f_locals)
        if located and _is_same(environ, _environ_of(located[1])):
            return of_runner(*located, thread=thread)
        frame = frame.f_back
    return None


def of_runner(
    handler: Any, runner: Any, environ: dict[str, Any] | None = None, thread: int | None = None
) -> Request:
    """Return the request that ``runner`` calls the application for, with the connection of ``handler``.

    ``environ`` is to be given where ``runner`` does not have it yet, or no more; ``thread`` where it is not
    this one.
    """
    thread = threading.get_ident() if thread is None else thread
    request = noted.get(thread)
    if request is None or request.runner is not runner:
        request = noted[thread] = Request(handler, runner, environ)
    return request


def end() -> None:
    """Say that the server is done with this thread's request, and let go of everything."""
    request = noted.pop(threading.get_ident(), None)
    if request is not None:
        request.finish()


def _environ_of(runner: Any) -> dict[str, Any]:
    return getattr(runner, "environ", None) or {}


def _is_same(environ: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    if environ is mine:
        return True
    # A middleware may replace the input as well; the protocol is a string of the request's own.
    return any(environ.get(key) is mine[key] for key in ("wsgi.input", "SERVER_PROTOCOL") if key in mine)


class Request:
    """One request to a guarded server, from its headers to the end of its response."""

    __slots__ = (
        *("_handler", "_meter", "_sent"),
        *("environ", "error", "failed_at", "framework", "runner", "status_line"),
    )

    def __init__(self, handler: Any, runner: Any, environ: dict[str, Any] | None) -> None:
        """Make it of what ``of_runner`` was given."""
        self._handler = handler
        self._meter: connections.BodyMeter | None = None
        self._sent = False
        self.runner = runner
        self.environ = _environ_of(runner) if environ is None else environ
        self.error: BaseException | None = None
        self.status_line: object = None  # of the response, once it is known, such as "200 OK"

    def begin(self) -> None:
        """Say that the application is about to be called."""
        self._meter = connections.meter_for(self.environ, self._handler)
        if _begun:
            self._emit(Event.BEGUN)

    @property
    def connection(self) -> Any:
        """The client's socket."""
        return self._handler.connection

    @property
    def status(self) -> int | None:
        """The status of the response; None where none was begun."""
        try:
            return int(str(self.status_line).split(None, 1)[0])
        except (ValueError, IndexError):
            return None

    @property
    def method(self) -> str:
        """The method, with nothing in it that could steer a terminal."""
        return _printable(getattr(self._handler, "command", None) or self.environ.get("REQUEST_METHOD", "?"))

    @property
    def url(self) -> str:
        """The whole URL, with nothing in it that could steer a terminal."""
        environ = self.environ
        path = getattr(self._handler, "path", None) or environ.get("PATH_INFO") or "/"
        if not path.startswith("/"):
            return _printable(path)  # a whole URL, as clients send it to a proxy
        name = str(environ.get("SERVER_NAME"))
        name = f"[{name}]" if ":" in name else name
        host = environ.get("HTTP_HOST") or f"{name}:{environ.get('SERVER_PORT')}"
        return f"{environ.get('wsgi.url_scheme', 'http')}://{_printable(host)}{_printable(path)}"

    @property
    def title(self) -> str:
        """The method and the URL."""
        return f"{self.method} {self.url}"

    def note(self, error: BaseException, framework: str | None = None) -> None:
        """Take ``error`` as this request's, if it is the first and no hang-up. Never raises.

        An exit that the application asked for is noted too; an interrupt from the keyboard is not.
        ``framework`` is the one that told of it; None where the server did.
        """
        if self.error is None and not self.excuses(error):
            self.failed_at = time.time()
            self.framework = framework or next(iter(frameworks), None)
            self.error = error
            self._emit(Event.FAILED)

    def excuses(self, error: BaseException) -> bool:
        """Whether ``error`` is none of the application's: the client hung up, or it stands for a response."""
        try:
            if isinstance(error, SystemExit):
                return False
            return (
                is_dismissed(error)
                or connections.raised_by_connection(error, self.connection)
                or (self._meter is not None and self._meter.cut_short())
            )
        except Exception:
            return False

    def sent(self) -> None:
        """Say that the last byte of the response was written."""
        if _written:
            self._emit(Event.WRITTEN)
        if self._meter is not None:
            self._meter.stop()  # What the client does from now on, such as to close, is no hang-up.
        if self.error is not None and not self._sent:
            self._sent = True
            self._emit(Event.RESPONSE_SENT)

    @property
    def writer(self) -> Any:
        """What the response is written to; None where a program's own handler has no such thing."""
        return getattr(self._handler, "wfile", None)

    def only_waits(self) -> None:
        """Say that the server, after the response, waits for the rest of what the client sends."""
        self._emit(Event.ONLY_WAITS)

    def waits_for_body(self) -> bool:
        """Whether a part of the request's body has not arrived yet."""
        return self._meter is not None and not self._meter.is_complete()

    def reading_on(self) -> None:
        """Say that the server reads the client's bytes to their end before it answers the error."""
        if self.error is not None:
            self._emit(Event.READING_ON)

    def finish(self) -> None:
        """Say that the server is done with the request, and let go of everything."""
        if self._meter is not None:
            self._meter.stop()
        if self.error is not None:
            self.sent()
            self._emit(Event.FINISHED)

    def _emit(self, event: Event) -> None:
        for listener in tuple(_listeners[event]):
            try:
                listener(self)
            except Exception as failure:
                say(f"could not act on an error in {self.title}: {type(failure).__name__}: {failure}")


def _printable(text: str) -> str:
    return quote(text, safe="/:?#[]@!$&'()*+,;=%~-._")


def linked(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error``, what led to it, and the parts of groups, each once."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        link = todo.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            todo += [link.__cause__, link.__context__, *parts_of(link)]


def parts_of(error: BaseException) -> list[BaseException]:
    """Return the parts of a group of exceptions (PEP 654, or its backport); of any other, none."""
    try:
        parts = getattr(error, "exceptions", ())
    except Exception:
        return []
    return [part for part in parts if isinstance(part, BaseException)] if isinstance(parts, tuple) else []


def without_our_frames(error: BaseException) -> None:
    """Unlink devpatch's frames from the traceback of ``error`` and of what led to it, before it is shown."""
    for link in linked(error):
        link.__traceback__ = _skip_ours(link.__traceback__)
        position = link.__traceback__
        while position is not None:
            position.tb_next = _skip_ours(position.tb_next)
            position = position.tb_next


def _skip_ours(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        traceback = traceback.tb_next
    return traceback
