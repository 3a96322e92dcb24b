"""An object for each request to a watched server, from the start of the request to its end.

An integration calls ``begin`` just before the application is called. A context variable holds the object, so code
that runs for the request finds it, also in the threads of asgiref, which get a copy of the context. The environ does
not hold it, because Django's debug page shows the whole environ.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..console import say
from .connections import body_of, client_caused

if TYPE_CHECKING:
    from .costs import Observer


class Event:
    """The events of a request. Listeners run in the request's thread.

    They are plain strings, because each request looks some of them up. An Enum computes its hash in Python, which
    is slow.
    """

    BEGUN = "begun"  # the application is about to be called
    WRITTEN = "written"  # the last byte of the response was written; this event may come more than once
    LOGGED = "logged"  # that, and the server has printed its line of the log; also when the request ends
    ONLY_READS = "only reads"  # from now on the server only reads what the client may still send
    HANDLED = (
        "handled"  # a handler of the program turned an exception into a response with status 500 or more
    )
    # Only for a request with an error, and once:
    FAILED = "failed"  # the error was recorded, and its response is not written yet
    READS_BEFORE_ANSWER = "reads before the answer"  # the server reads the client's bytes to their end first
    ANSWERED = "answered"  # the last byte of the response was written
    ENDED = "ended"  # the server has finished with the request


EVENTS = tuple(value for name, value in vars(Event).items() if name.isupper())

_SERVER_ERROR = 500  # a response with this status or a higher one reports an error of the server (RFC 9110)

Listener = Callable[["Request"], None]
Listeners = dict[str, list[Listener]]

_listeners: Listeners = {event: [] for event in EVENTS}
# The listeners of each watched server, by the server's id: a server may not be hashable.
_watched: dict[int, Listeners] = {}
_current: ContextVar[Request | None] = ContextVar("devpatch_request", default=None)
# Requests by the id of an object of their environ: an application may run in a thread without a copy of the context.
_in_progress: dict[int, Request] = {}
# A copy of an environ, or of an ASGI scope, has these objects in common with the original. The server makes new ones
# for each request. A middleware may replace one of them.
_IDENTIFYING = ("wsgi.input", "SERVER_PROTOCOL", "headers", "client")
# Each function returns True for an exception that is not an error, such as that of a cut upload.
exemptions: list[Callable[[BaseException], bool]] = []
status_wanted: list[bool] = []  # one entry for each call of want_status that was not undone
# The names of the frameworks that are loaded.
frameworks: list[str] = []


def listen(event: str, listener: Listener) -> Callable[[], None]:
    """Call ``listener`` at each ``event``. Return a function that undoes it."""
    _listeners[event].append(listener)
    return lambda: _listeners[event].remove(listener)


def watch(server: Any, listeners: Listeners | None = None) -> Callable[[], object]:
    """Watch the requests of ``server``, and call ``listeners`` for them. Return a function that undoes it.

    By default these are the listeners that ``listen`` has registered.
    """
    _watched[id(server)] = _listeners if listeners is None else listeners
    return lambda: _watched.pop(id(server), None)


def want_status() -> Callable[[], object]:
    """Ask the integrations for the status of each request. Return a function that undoes it."""
    status_wanted.append(True)
    return status_wanted.pop


def is_watched(server: Any) -> bool:
    """Whether the requests of ``server`` are watched."""
    return id(server) in _watched


def begin(handler: Any, caller: Any, environ: dict[str, Any]) -> Request | None:
    """Begin a request on the connection of ``handler``, or return None if its server is not watched.

    ``handler`` is the ``BaseHTTPRequestHandler`` of the connection, or has the same attributes. ``caller`` is the
    object that is about to call the application with ``environ``, often the same one. If ``environ`` is an ASGI scope,
    the method ``wsgi_environ`` of the handler makes a WSGI environ of it. The integration must call ``Request.end``.
    """
    listeners = _watched.get(id(handler.server))
    return None if listeners is None else Request(handler, caller, environ, listeners)


def current(caller: Any = None) -> Request | None:
    """Return the request of this context, or None. If ``caller`` is given, return only a request that it began."""
    request = _current.get()
    return request if caller is None or request is None or request.caller is caller else None


# Returns the request of this context, or None. Code that runs for each query calls it, so it is no function of Python.
running: Callable[[], Request | None] = _current.get


def of(environ: Any) -> Request | None:
    """Return the request that ``environ`` belongs to, also if a middleware has copied the environ, or None.

    The environ of a test client in a view belongs to no request.
    """
    request = _current.get()
    if request is not None and environ is request.called_with:
        return request  # in most cases
    if not isinstance(environ, Mapping):
        return None
    if request is not None and request.owns(environ):
        return request
    # An application may run in a thread without a copy of the context.
    return next((request for request in list(_in_progress.values()) if request.owns(environ)), None)


def is_exempt(error: BaseException) -> bool:
    """Whether ``error`` is not an error of any request: Ctrl-C raised it, or a function in ``exemptions`` says so."""
    return isinstance(error, KeyboardInterrupt) or any(exempts(error) for exempts in exemptions)


def any_failing() -> bool:
    """Whether a request in progress has an error. Its response is about to be written, or was just written."""
    return any(request.error is not None for request in list(_in_progress.values()))


class Request:
    """One request to a watched server. Made by ``begin``."""

    # Values of the class, because most requests change none of them.
    error: BaseException | None = None
    failed_at = 0.0  # seconds since the epoch
    framework: str | None = None
    handled: BaseException | None = None  # an exception that a handler of the program answers
    status: int | None = None  # of the response, once it is known; see ``want_status``
    costs: Observer | None = None  # receives what the request costs
    server_answers = False  # whether the server itself is making the response to the error
    _exempted: BaseException | None = None
    _answered = False

    def __init__(self, handler: Any, caller: Any, environ: dict[str, Any], listeners: Listeners) -> None:
        """See ``begin``."""
        self._handler = handler
        self._listeners = listeners
        self._outer = _current.get()  # the request in whose thread this one is handled, or None
        # The exception that was already being handled: a program may call app.run() inside an except block.
        self._handled_before = sys.exc_info()[1]
        self._identity = environ.get("wsgi.input", environ.get("headers"))
        self._body = body_of(handler, environ)
        self.caller = caller
        self.called_with = environ
        _in_progress[id(self._identity)] = self
        _current.set(self)
        if listeners[Event.BEGUN]:
            self._emit(Event.BEGUN)

    def exception(self) -> BaseException | None:
        """Return the exception that is being handled now and was raised since the request began, or None."""
        error = sys.exc_info()[1]
        return None if error is self._handled_before else error

    def owns(self, environ: Mapping[str, Any]) -> bool:
        """Whether ``environ`` is this request's, or a copy of it."""
        mine = self.called_with
        return environ is mine or any(
            environ.get(key) is mine[key] for key in _IDENTIFYING if mine.get(key) is not None
        )

    @property
    def environ(self) -> dict[str, Any]:
        """The WSGI environ."""
        make = getattr(self._handler, "wsgi_environ", None)
        return self.called_with if make is None else make()

    @property
    def connection(self) -> Any:
        """The client's socket."""
        return self._handler.connection

    @property
    def writer(self) -> Any:
        """The file that the response is written to. None if a program's own handler has none."""
        return getattr(self._handler, "wfile", None)

    @property
    def method(self) -> str:
        """The method, with percent-encoding for characters that a URL can't contain."""
        return _printable(getattr(self._handler, "command", None) or self.environ.get("REQUEST_METHOD", "?"))

    @property
    def url(self) -> str:
        """The absolute URL, with percent-encoding for characters that a URL can't contain."""
        environ = self.environ
        path = getattr(self._handler, "path", None) or environ.get("PATH_INFO") or "/"
        if not path.startswith("/"):
            return _printable(path)  # An absolute URL, as clients send it to a proxy.
        name = str(environ.get("SERVER_NAME"))
        name = f"[{name}]" if ":" in name else name
        host = environ.get("HTTP_HOST") or f"{name}:{environ.get('SERVER_PORT')}"
        return f"{environ.get('wsgi.url_scheme', 'http')}://{_printable(host)}{_printable(path)}"

    @property
    def title(self) -> str:
        """The method and the URL."""
        return f"{self.method} {self.url}"

    def note(self, error: BaseException, framework: str | None = None) -> None:
        """Record ``error`` as this request's error, if it is the first one and counts. Never raises.

        A hang-up of the client and Ctrl-C do not count. A SystemExit of the application counts. ``framework`` is the
        framework that reported the error, or None if the server did.
        """
        if self.error is None and not self.is_exempt(error):
            self.failed_at = time.time()
            self.framework = framework or next(iter(frameworks), None)
            self.error = error
            self._emit(Event.FAILED)

    def note_handled(self, error: BaseException, framework: str, status: int) -> None:
        """Record that a handler of the program turned ``error`` into a response with ``status``. Never raises."""
        if status >= _SERVER_ERROR and self.error is None and not self.is_exempt(error):
            self.handled, self.framework = error, framework
            self._emit(Event.HANDLED)

    def exempt(self, error: BaseException) -> None:
        """Record that the application raised ``error`` on purpose, as a response. It does not count as an error."""
        self._exempted = error

    def is_exempt(self, error: BaseException) -> bool:
        """Whether ``error`` is not this request's error: the client caused it, or it was raised to send a response.

        Never raises.
        """
        try:
            if isinstance(error, SystemExit):
                return False
            return (
                error is self._exempted
                or is_exempt(error)
                or client_caused(self.connection, error)
                or (self._body is not None and self._body.client_caused(error))
            )
        except Exception:
            return False

    def note_written(self) -> None:
        """Record that the last byte of the response was written."""
        if self._listeners[Event.WRITTEN]:
            self._emit(Event.WRITTEN)
        if self._body is not None:
            self._body.answered()
        if self.error is not None and not self._answered:
            self._answered = True
            self._emit(Event.ANSWERED)

    def note_logged(self) -> None:
        """Record that the response was written, and that the server has printed its line of the log."""
        if self._listeners[Event.LOGGED]:
            self._emit(Event.LOGGED)

    def note_reads_before_answer(self) -> None:
        """Record that the server reads the client's bytes to their end before it answers the error."""
        if self.error is not None:
            self._emit(Event.READS_BEFORE_ANSWER)

    def waits_for_body(self) -> bool:
        """Whether a part of the request's body has not arrived yet."""
        return self._body is not None and not self._body.is_complete()

    def note_only_reads(self) -> None:
        """Record that the server only reads what the client still sends."""
        self._emit(Event.ONLY_READS)

    def end(self) -> None:
        """Record that the server has finished with the request. A second call does nothing."""
        self.note_logged()  # A response that was cut short has no line of its own.
        if self.error is not None:
            self.note_written()
            self._emit(Event.ENDED)
            self.error = None  # Its traceback may refer to this object.
        if self._body is not None:
            self._body.close()
        if _current.get() is self:
            _current.set(self._outer)
        if _in_progress.get(id(self._identity)) is self:
            del _in_progress[id(self._identity)]

    def has_listeners(self, event: str) -> bool:
        """Whether somebody listens to ``event``."""
        return bool(self._listeners[event])

    def _emit(self, event: str) -> None:
        for listener in self._listeners[event]:
            try:
                listener(self)
            except Exception as failure:
                say(f"could not act on {self.title}: {type(failure).__name__}: {failure}")


def _printable(text: str) -> str:
    return quote(text, safe="/:?#[]@!$&'()*+,;=%~-._")
