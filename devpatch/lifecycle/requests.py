"""A request to a watched server, as an object from its begin to its end.

An integration begins it around the call of the application. A context variable holds it meanwhile, so code
that runs for the request finds it, also in the threads of asgiref and Flask, which get a copy of the context.
It is not in the environ, because Django's debug page shows all of that.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from ..console import say
from .connections import Channel


class Event(enum.Enum):
    """What features can listen to. Listeners run in the request's thread."""

    BEGUN = "begun"  # the application is about to be called
    WRITTEN = "written"  # the framework wrote the last byte of the body; it may come more than once
    ONLY_READS = "only reads"  # from now on the server only reads what the client may still send
    # Only for a request with an error, and once:
    READS_BEFORE_ANSWER = "reads before the answer"  # the server reads the client's bytes to their end first
    ANSWERED = "answered"  # the last byte of the response was written
    ENDED = "ended"  # the server has finished with the request


Listener = Callable[["Request"], None]
Listeners = dict[Event, list[Listener]]

_listeners: Listeners = {event: [] for event in Event}
# The listeners of each watched server, by the server's id: a server may have no hash.
_watched: dict[int, Listeners] = {}
_current: ContextVar[Request | None] = ContextVar("devpatch_request", default=None)
# By the id of its input stream: an application may run in a thread that has no copy of the context.
_by_input: dict[int, Request] = {}
# Rules of frameworks, for example: exceptions that they answer with a 4xx response.
dismissals: list[Callable[[BaseException], bool]] = []
# The names of the frameworks that are loaded.
frameworks: list[str] = []


def listen(event: Event, listener: Listener) -> Callable[[], None]:
    """Have ``listener`` called at ``event``. Return a function that undoes it."""
    _listeners[event].append(listener)
    return lambda: _listeners[event].remove(listener)


def watch(server: Any, listeners: Listeners | None = None) -> Callable[[], object]:
    """Have the requests of ``server`` known, and ``listeners`` called for them. Return a function that undoes it.

    Without ``listeners`` they are those of ``listen``.
    """
    _watched[id(server)] = _listeners if listeners is None else listeners
    return lambda: _watched.pop(id(server), None)


def is_watched(server: Any) -> bool:
    """Whether the requests of ``server`` are known."""
    return id(server) in _watched


def begin(handler: Any, caller: Any) -> Request | None:
    """Begin a request on the connection of ``handler``, or return None if its server is not watched.

    ``handler`` is the ``BaseHTTPRequestHandler`` of the connection, or has the same attributes. ``caller`` is the
    object that calls the application, which may be the same. The integration calls ``Request.end``.
    """
    listeners = _watched.get(id(handler.server))
    return None if listeners is None else Request(handler, caller, listeners)


def current(caller: Any = None) -> Request | None:
    """Return the request that this context works on, or None. With a ``caller``: only if that one began it."""
    request = _current.get()
    return request if caller is None or request is None or request.caller is caller else None


def of(environ: Any) -> Request | None:
    """Return the request that ``environ`` belongs to: as itself, or as a copy that a middleware made.

    The environ of a test client that a view uses belongs to none.
    """
    if not isinstance(environ, Mapping):
        return None
    request = _current.get()
    if request is not None and request.owns(environ):
        return request
    return _by_input.get(id(environ.get("wsgi.input")))


def is_dismissed(error: BaseException) -> bool:
    """Whether a framework raises ``error`` to make a response, or the keyboard raised it."""
    return isinstance(error, KeyboardInterrupt) or any(dismisses(error) for dismisses in dismissals)


def have_failed() -> bool:
    """Whether a request in progress has an error, so that its response is not written yet, or just now."""
    return any(request.error is not None for request in list(_by_input.values()))


class Request:
    """One request to a watched server. Made by ``begin``."""

    def __init__(self, handler: Any, caller: Any, listeners: Listeners) -> None:
        """See ``begin``."""
        self._handler = handler
        self._listeners = listeners
        self._outer = _current.get()
        self._input: Any = None
        self._dismissed: BaseException | None = None
        self._answered = False
        self.caller = caller
        self.channel = Channel(handler)
        self.environ: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.failed_at = 0.0  # seconds since the epoch
        self.framework: str | None = None
        self.status: int | None = None  # of the response, once it is known
        _current.set(self)

    def call(self, environ: dict[str, Any]) -> None:
        """Record that the application is about to be called with ``environ``."""
        self.environ = environ
        self._input = environ.get("wsgi.input")
        _by_input[id(self._input)] = self
        self.channel.expect_body(environ)
        self._emit(Event.BEGUN)

    def owns(self, environ: Mapping[str, Any]) -> bool:
        """Whether ``environ`` is this request's, or a copy of it.

        A middleware may replace the input in a copy. The protocol is a string that the server made for this
        request alone.
        """
        mine = self.environ
        return environ is mine or any(
            environ.get(key) is mine[key] for key in ("wsgi.input", "SERVER_PROTOCOL") if key in mine
        )

    @property
    def connection(self) -> Any:
        """The client's socket."""
        return self._handler.connection

    @property
    def writer(self) -> Any:
        """The file that the response is written to. None where a program's own handler has none."""
        return getattr(self._handler, "wfile", None)

    @property
    def method(self) -> str:
        """The method, with all control characters quoted."""
        return _printable(getattr(self._handler, "command", None) or self.environ.get("REQUEST_METHOD", "?"))

    @property
    def url(self) -> str:
        """The whole URL, with all control characters quoted."""
        environ = self.environ
        path = getattr(self._handler, "path", None) or environ.get("PATH_INFO") or "/"
        if not path.startswith("/"):
            return _printable(path)  # A whole URL, as clients send it to a proxy.
        name = str(environ.get("SERVER_NAME"))
        name = f"[{name}]" if ":" in name else name
        host = environ.get("HTTP_HOST") or f"{name}:{environ.get('SERVER_PORT')}"
        return f"{environ.get('wsgi.url_scheme', 'http')}://{_printable(host)}{_printable(path)}"

    @property
    def title(self) -> str:
        """The method and the URL."""
        return f"{self.method} {self.url}"

    def note(self, error: BaseException, framework: str | None = None) -> None:
        """Take ``error`` as this request's error if it is the first one. Never raises.

        A hang-up of the client and an interrupt from the keyboard are not errors. An exit that the application
        asked for is one. ``framework`` is the framework that reported it, None where the server did.
        """
        was_called = bool(self.environ)  # Else the head of the request was malformed.
        if was_called and self.error is None and not self.excuses(error):
            self.failed_at = time.time()
            self.framework = framework or next(iter(frameworks), None)
            self.error = error

    def dismiss(self, error: BaseException) -> None:
        """Take ``error`` as a response that the application raises on purpose, so as no error."""
        self._dismissed = error

    def excuses(self, error: BaseException) -> bool:
        """Whether ``error`` is not the application's: the client hung up, or it stands for a response."""
        try:
            if isinstance(error, SystemExit):
                return False
            return error is self._dismissed or is_dismissed(error) or self.channel.explains(error)
        except Exception:
            return False

    def written(self) -> None:
        """Record that the last byte of the response was written."""
        self._emit(Event.WRITTEN)
        self.channel.answered()
        if self.error is not None and not self._answered:
            self._answered = True
            self._emit(Event.ANSWERED)

    def reads_before_answer(self) -> None:
        """Record that the server reads the client's bytes to their end before it answers the error."""
        if self.error is not None:
            self._emit(Event.READS_BEFORE_ANSWER)

    def only_reads(self) -> None:
        """Record that the server only reads what the client still sends."""
        self._emit(Event.ONLY_READS)

    def end(self) -> None:
        """Record that the server has finished with the request. A second call does nothing."""
        if self.error is not None:
            self.written()
            self._emit(Event.ENDED)
            self.error = None  # Its traceback may hold this object.
        self.channel.close()
        if _current.get() is self:
            _current.set(self._outer)
        if _by_input.get(id(self._input)) is self:
            del _by_input[id(self._input)]

    def _emit(self, event: Event) -> None:
        for listener in tuple(self._listeners[event]):
            try:
                listener(self)
            except Exception as failure:
                say(f"could not act on an error in {self.title}: {type(failure).__name__}: {failure}")


def _printable(text: str) -> str:
    return quote(text, safe="/:?#[]@!$&'()*+,;=%~-._")
