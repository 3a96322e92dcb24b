"""django.core.management.commands.runserver: the command, in the reloader's parent as in the worker.

``execute`` is reached by every subclass (staticfiles', daphne's, a project's own) before anything else
happens, so this is where a runserver that serves in a way of its own is found out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from .. import serving
from ..patching import Capability, Wrap

_MODULE = "django.core.management.commands.runserver"
# The methods that lead from the command to the server. An override may do more, but must come back.
_WAY_TO_SERVER = ("run", "inner_run")


def _observe_execute(wrapped: Callable[..., Any], command: Any, args: Any, options: dict[str, Any]) -> Any:
    # Only testserver passes a shutdown message; it always serves without the reloader.
    name = "testserver" if options.get("shutdown_message") else "runserver"
    serving.starting(name, reloads=bool(options.get("use_reloader")), obstacle=_obstacle(command, options))
    return wrapped(*args, **options)


def _obstacle(command: Any, options: dict[str, Any]) -> str | None:
    """Return in what ``command`` is not Django's runserver, as far as serving goes; None if it is."""
    core = sys.modules[_MODULE]
    kind = type(command)
    origin = f"{kind.__module__}.{kind.__qualname__}"
    if not options.get("use_asgi", True):  # daphne's and channels' --noasgi goes back to Django's server.
        return None
    server_class = getattr(command, "server_cls", None)
    if not (isinstance(server_class, type) and issubclass(server_class, core.WSGIServer)):
        return f"{origin} replaces Django's server by {getattr(server_class, '__module__', server_class)}"
    for name in _WAY_TO_SERVER:
        for ancestor in kind.__mro__:
            if ancestor is core.Command:
                break
            override = vars(ancestor).get(name)
            code = getattr(override, "__code__", None)
            if code is not None and not any(
                known in _names_in(code) for known in (*_WAY_TO_SERVER, "execute")
            ):
                return f"{ancestor.__module__}.{ancestor.__qualname__}.{name} replaces Django's"
    return None


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


ENTRY_PATCHES = (Wrap(_MODULE, "Command.execute", Capability.START, _observe_execute, ("command",)),)
