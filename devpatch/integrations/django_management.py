"""django.core.management: the command line. An application may call ``sys.exit`` while it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import sessions
from ..patching import Capability, Wrap

_PACKAGES = ("django", "django_extensions", "argparse", "werkzeug", "devpatch")


def _observe_execute(wrapped: Callable[..., Any], utility: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    except SystemExit as error:
        sessions.command_exited(error, _PACKAGES)
        raise


ENTRY_PATCHES = (
    Wrap(
        "django.core.management",
        "ManagementUtility.execute",
        Capability.FIRST_START,
        _observe_execute,
        ("utility",),
    ),
)
