"""django.core.management: the command line, which an application may leave by ``sys.exit`` while it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import serving
from ..connections import frames
from ..patching import Capability, Wrap

_OWN_EXITS = ("django", "django_extensions", "argparse", "werkzeug", "devpatch")


def _observe_execute(wrapped: Callable[..., Any], utility: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    except SystemExit as error:
        *_outer, innermost = frames(error.__traceback__)
        # Else it is what Django says of a command that is wrong.
        if str(innermost.f_globals.get("__name__")).partition(".")[0] not in _OWN_EXITS:
            serving.command_line_left(error)
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
