"""Pass the exception behind an error response to the WSGI server, whichever server it is.

PEP 3333 defines ``start_response(status, headers, exc_info)`` for that. Django and Flask answer exceptions
themselves and never pass ``exc_info`` (https://code.djangoproject.com/ticket/16674).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import requests

# Each function returns the name of a handler for all exceptions in an application of its framework, or None.
catch_alls: list[Callable[[Any], str | None]] = []


def catch_all_of(application: Any) -> str | None:
    """Return the name of a handler for all exceptions in ``application``, or None. Never raises."""
    try:
        return next((name for find in catch_alls if (name := find(application))), None)
    except Exception:
        return None


class _StartResponse:
    """Passes the recorded error, if there is one, to the server's ``start_response``."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self.error: BaseException | None = None

    def start_response(self, status: str, headers: Any, *rest: Any, **named: Any) -> Any:
        error = self.error
        if error is not None and not rest and not named and not _is_test_client(self._start_response):
            rest = ((type(error), error, error.__traceback__),)
        return self._start_response(status, headers, *rest, **named)


def _is_test_client(start_response: Callable[..., Any]) -> bool:
    """Whether the server is Werkzeug's or Flask's test client. It would raise the error, but tests expect the page."""
    return getattr(start_response, "__module__", None) == "werkzeug.test"


# For an application whose whole call is wrapped.

_calls: dict[int, _StartResponse] = {}  # the calls in progress, by the id of their environ


def call(application: Callable[..., Any], environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Call ``application``. If an error is recorded before the response starts, the server gets the error too."""
    __traceback_hide__ = True
    key = id(environ)
    outer = _calls.get(key)  # the call of an application that passes its environ to another application
    wrapper = _calls[key] = _StartResponse(start_response)
    try:
        return application(environ, wrapper.start_response)
    finally:
        wrapper.error = None  # Its traceback refers to this frame.
        if outer is None:
            del _calls[key]
        else:
            _calls[key] = outer


def note(environ: Any, error: BaseException) -> None:
    """Record ``error`` for the call with ``environ`` if it is the first unhandled one. Never raises."""
    wrapper = _calls.get(id(environ))
    if wrapper is not None and wrapper.error is None and not _is_exempt(environ, error):
        wrapper.error = error


# For an application of which only the start of each response is wrapped.

# The first error of each request whose response has not begun, by the id of its environ. The environ
# is kept too, so that no other object can get the same id.
_errors: dict[int, tuple[Any, BaseException]] = {}
_MAX_ERRORS = 50  # No response removes an entry if the error page fails too.


def note_before_response(environ: Any, error: BaseException) -> None:
    """Record ``error`` until the response to ``environ`` begins, if it is the first one. Never raises."""
    if id(environ) not in _errors and not _is_exempt(environ, error):
        while len(_errors) >= _MAX_ERRORS:
            _errors.pop(next(iter(_errors)), None)
        _errors[id(environ)] = (environ, error)


def begin_response(environ: Any, start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``start_response`` that passes on the recorded error, or the given one if there is no error."""
    noted = _errors.pop(id(environ), None) if _errors else None
    if noted is None:
        return start_response
    wrapper = _StartResponse(start_response)
    wrapper.error = noted[1]
    return wrapper.start_response


def _is_exempt(environ: Any, error: BaseException) -> bool:
    """Whether ``error`` does not count, by the same rules as in ``requests``. Never raises."""
    try:
        request = requests.of(environ)
        return requests.is_exempt(error) if request is None else request.is_exempt(error)
    except Exception:
        return False
