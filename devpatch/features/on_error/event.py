"""The argument of DEVPATCH_ON_ERROR's callables: ``from devpatch import ErrorEvent``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class ErrorEvent:
    """An error that nothing handled.

    ``kind`` is "request", or "load" if the code could not be loaded. ``exception`` has its traceback. ``time`` is
    the time of the error in UTC. ``server`` is the name of the development server ("runserver", "flask run", …).
    ``framework`` is "django" or "flask". Both are None if the load failed before they were known. ``framework`` is
    also None for a bare WSGI application. ``method``, ``url`` and ``environ`` are those of the request, and None for
    a load. ``environ`` is the WSGI environ, which contains cookies and other secrets. Under daphne it is made of the
    ASGI scope, which is its item "asgi.scope"; it has no body.
    """

    kind: Literal["request", "load"]
    exception: BaseException
    time: datetime
    method: str | None = None
    url: str | None = None
    server: str | None = None
    framework: str | None = None
    environ: dict[str, Any] | None = None
