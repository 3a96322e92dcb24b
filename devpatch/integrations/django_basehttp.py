"""django.core.servers.basehttp: ``run``, which makes and starts runserver's server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import serving
from ..patching import Capability, Wrap


def _observe_run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    serving.starting("runserver")
    serving.claim()
    return wrapped(*args, **kwargs)


# runserver binds the function by name, so it is patched as soon as its module has been executed.
ENTRY_PATCHES = (
    Wrap(
        "django.core.servers.basehttp",
        "run",
        Capability.START,
        _observe_run,
        ("addr", "port", "wsgi_handler"),
    ),
)
