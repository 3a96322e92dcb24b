"""Calls of a WSGI application, whatever server makes them: the server gets the exception behind a response.

PEP 3333 has ``start_response(status, headers, exc_info)`` for that. Django and Flask answer exceptions
themselves and never use it (https://code.djangoproject.com/ticket/16674).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import requests


class _Call:
    """A ``start_response`` that adds the error that was noted before it is called."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self.error: BaseException | None = None

    def start_response(self, status: str, headers: Any, *rest: Any, **named: Any) -> Any:
        error = self.error
        if error is not None and not rest and not named and not _is_test_client(self._start_response):
            rest = ((type(error), error, error.__traceback__),)
        return self._start_response(status, headers, *rest, **named)


def _is_test_client(start_response: Callable[..., Any]) -> bool:
    """Whether Werkzeug's or Flask's test client is the server. It would raise the exception; tests expect the page."""
    return getattr(start_response, "__module__", None) == "werkzeug.test"


# An application whose calls go through ``call``.

_calls: dict[int, _Call] = {}  # those in progress, by the id of their environ


def call(application: Callable[..., Any], environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Call ``application``. If it starts the response to an error that was noted, the server gets the error too."""
    __traceback_hide__ = True
    key = id(environ)
    outer = _calls.get(key)  # of an application that passes its environ to another one
    this = _calls[key] = _Call(start_response)
    try:
        return application(environ, this.start_response)
    finally:
        this.error = None  # Its traceback holds this frame.
        if outer is None:
            del _calls[key]
        else:
            _calls[key] = outer


def note(environ: Any, error: BaseException) -> None:
    """Take ``error`` as the first one that the call with ``environ`` did not handle. Never raises."""
    this = _calls.get(id(environ))
    if this is not None and this.error is None and not _is_excused(environ, error):
        this.error = error


# An application of which only the start of each response is known.

# The first error of each request whose response has not begun, by the id of its environ. The environ
# stands beside it, so that no other one can get the same id.
_errors: dict[int, tuple[Any, BaseException]] = {}
_MOST = 50  # of them; where the page for an error fails as well, no response removes the entry


def note_before_response(environ: Any, error: BaseException) -> None:
    """Take ``error`` as the first one before the response to ``environ`` begins. Never raises."""
    if id(environ) not in _errors and not _is_excused(environ, error):
        while len(_errors) >= _MOST:
            _errors.pop(next(iter(_errors)), None)
        _errors[id(environ)] = (environ, error)


def begin_response(environ: Any, start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Return what to call instead of ``start_response``, so that it gets an error that was noted."""
    noted = _errors.pop(id(environ), None) if _errors else None
    if noted is None:
        return start_response
    this = _Call(start_response)
    this.error = noted[1]
    return this.start_response


def _is_excused(environ: Any, error: BaseException) -> bool:
    """Whether ``error`` is not the application's, as for a request of a development server. Never raises."""
    try:
        request = requests.of(environ)
        return requests.is_dismissed(error) if request is None else request.excuses(error)
    except Exception:
        return False
