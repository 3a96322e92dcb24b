"""django_extensions.management.commands.runserver_plus: an application that could not be loaded.

The command prints the exception in one line, and serves a stand-in that raises it for each request.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..console import write
from ..lifecycle import sessions
from ..patching import Capability, Wrap


def _observe_get_error_handler(wrapped: Callable[..., Any], command: Any, args: Any, kwargs: Any) -> Any:
    error = args[0] if args else kwargs.get("exc")
    if isinstance(error, BaseException):
        sessions.worker.load_failed(error, lambda: write("".join(traceback.format_exception(error))))
    return wrapped(*args, **kwargs)


def prepare_check() -> None:
    """Configure Django's default settings, because the command's module reads a setting when it is imported."""
    with suppress(Exception):  # Django is missing or broken. The check reports that.
        from django.conf import settings

        if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
            settings.configure()


ENTRY_PATCHES = (
    Wrap(
        "django_extensions.management.commands.runserver_plus",
        "Command.get_error_handler",
        Capability.WORKERS,
        _observe_get_error_handler,
        ("command", "exc"),
    ),
)
