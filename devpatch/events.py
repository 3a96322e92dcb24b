"""What DEVPATCH_ON_ERROR's callables get: ``from devpatch import ErrorEvent``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class ErrorEvent:
    """An error that nothing handled.

    ``kind`` is "request", or "load" where the code could not be loaded. ``exception`` has its traceback.
    ``time`` is when it came up, in UTC. ``server`` is the development server's name ("runserver", "flask
    run", …) and ``framework`` "django" or "flask"; both are None where the load failed before that was
    known, and ``framework`` also for a bare WSGI application. ``method``, ``url`` and ``environ`` (the WSGI
    environ, which holds cookies and other secrets) are a request's, and None for a load.
    """

    kind: Literal["request", "load"]
    exception: BaseException
    time: datetime
    method: str | None = None
    url: str | None = None
    server: str | None = None
    framework: str | None = None
    environ: dict[str, Any] | None = None
