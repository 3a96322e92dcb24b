"""Calls of a WSGI application, whatever server makes them: its server is told of the exception behind a response.

PEP 3333 has ``start_response(status, headers, exc_info)`` for that. Django and Flask answer exceptions
themselves and never use it (https://code.djangoproject.com/ticket/16674).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import requests


class _Call:
    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self.error: BaseException | None = None

    def start_response(self, status: str, headers: Any, *rest: Any, **named: Any) -> Any:
        error = self.error
        if error is not None and not rest and not named and not _is_test_client(self._start_response):
            rest = ((type(error), error, error.__traceback__),)
        return self._start_response(status, headers, *rest, **named)


def telling(start_response: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """Return what to call instead of ``start_response``, so that it gets ``error`` too."""
    call = _Call(start_response)
    call.error = error
    return call.start_response


def _is_test_client(start_response: Callable[..., Any]) -> bool:
    """Whether Werkzeug's test client asks, Flask's too: it would raise the exception, and tests expect the page."""
    return getattr(start_response, "__module__", None) == "werkzeug.test"


_calls: dict[int, _Call] = {}  # those under way, by the id of their environ


def call(application: Callable[..., Any], environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Call ``application``; if it starts the response to an error that was noted, the server gets that too."""
    __traceback_hide__ = True
    key = id(environ)
    outer = _calls.get(key)  # of an application that hands its environ on to another one
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
    """Take ``error`` as the first that the application has not handled in the call with ``environ``. Never raises."""
    this = _calls.get(id(environ))
    if this is not None and this.error is None and not is_excused(environ, error):
        this.error = error


def is_excused(environ: Any, error: BaseException) -> bool:
    """Whether ``error`` is none of the application's, as for a development server's request. Never raises."""
    try:
        request = requests.of(environ)
        return requests.is_dismissed(error) if request is None else request.excuses(error)
    except Exception:
        return False
