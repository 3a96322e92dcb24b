"""django.core.management.commands.runserver: the command, in the reloader's parent as in the worker.

``execute`` is reached by every subclass (staticfiles', daphne's, a project's own) before anything else
happens, so this is where a runserver that serves in a way of its own is found out.
"""

from __future__ import annotations

import dis
import socketserver
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .. import serving
from ..patching import Capability, Wrap

_MODULE = "django.core.management.commands.runserver"
# The methods that lead from the command to the server. An override may do more, but must come back.
_WAY_TO_SERVER = ("handle", "run", "inner_run")

command: Any = None  # the one that runs in this process


def _observe_execute(wrapped: Callable[..., Any], instance: Any, args: Any, options: dict[str, Any]) -> Any:
    global command
    command = instance
    # Only testserver passes a shutdown message; it always serves without the reloader.
    name = "testserver" if options.get("shutdown_message") else "runserver"
    threads = bool(options.get("use_threading"))
    serving.starting(
        name,
        reloads=bool(options.get("use_reloader")),
        threads=threads,
        # testserver asks for threads wherever its database can take them.
        one_by_one=None if name == "runserver" or threads else "its database takes one connection",
        obstacle=_obstacle(instance, options),
    )
    return wrapped(*args, **options)


def _obstacle(command: Any, options: dict[str, Any]) -> str | None:
    """Return in what ``command`` is not Django's runserver, as far as serving goes; None if it seems to be.

    Code is read, not run: an override that comes back in one branch and serves by itself in another passes.
    """
    core = sys.modules[_MODULE]
    kind = type(command)
    origin = f"{kind.__module__}.{kind.__qualname__}"
    server_class = getattr(command, "server_cls", None)
    # With --noasgi, daphne's and channels' go back to Django's server, and only then change this attribute.
    if options.get("use_asgi", True) and not _is_class_of(server_class, core.WSGIServer):
        return f"{origin} replaces Django's server by {getattr(server_class, '__module__', server_class)}"
    if hasattr(socketserver, "ForkingMixIn") and _is_class_of(server_class, socketserver.ForkingMixIn):
        return f"{origin} forks for each request"
    for ancestor in kind.__mro__[: kind.__mro__.index(core.Command)]:
        for name in _WAY_TO_SERVER:
            override = vars(ancestor).get(name)
            if isinstance(override, FunctionType) and not _leads_back(override, kind):
                return f"{ancestor.__module__}.{ancestor.__qualname__}.{name} replaces Django's"
    return None


def _is_class_of(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _leads_back(override: FunctionType, kind: type) -> bool:
    """Whether a method calls ``super()``, or one of the way's methods on itself or on a class that it inherits."""
    if any(name == "super" for name in override.__code__.co_names):
        return True
    before: Any = None
    for instruction in dis.get_instructions(override):
        if instruction.argval in _WAY_TO_SERVER and before is not None:
            owner = override.__globals__.get(before) if isinstance(before, str) else None
            if before in override.__code__.co_varnames[:1] or owner in kind.__mro__:
                return True
        # Python 3.13 and later load two variables by one instruction.
        names = instruction.argval
        before = names[-1] if isinstance(names, tuple) and names else names
    return False


ENTRY_PATCHES = (Wrap(_MODULE, "Command.execute", Capability.START, _observe_execute, ("command",)),)
