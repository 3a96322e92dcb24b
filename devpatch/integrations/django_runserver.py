"""django.core.management.commands.runserver: the command, in the reloader's parent and in the worker.

``execute`` runs first, also in every subclass (staticfiles', daphne's, a project's own). So a subclass that starts
another server is recognised here.
"""

from __future__ import annotations

import ast
import inspect
import socket
import socketserver
import sys
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..lifecycle import sessions, starts, threads
from ..lifecycle.proof import prove_wsgiref
from ..patching import Capability, Wrap

_MODULE = "django.core.management.commands.runserver"
# The methods between the command and its server. An override may do more, but must call Django's method.
_SERVING_METHODS = ("handle", "run", "inner_run")


def _observe_execute(wrapped: Callable[..., Any], instance: Any, args: Any, options: dict[str, Any]) -> Any:
    sessions.endpoint.address = lambda: [instance.addr, int(instance.port), bool(instance.use_ipv6)]
    sessions.endpoint.listen = lambda address: _listen(address, instance)
    base = _base_of(instance, options)
    concurrent = bool(options.get("use_threading"))
    starts.starting(
        base.server,
        reloads=bool(options.get("use_reloader")),
        concurrent=concurrent,
        # testserver uses threads unless its database allows only one connection.
        one_at_a_time=None
        if base.server != "testserver" or concurrent
        else "its database takes one connection",
        obstacle=_obstacle(instance, base, options),
        proof=base.proof,
    )
    return wrapped(*args, **options)


def _base_of(command: Any, options: dict[str, Any]) -> starts.Command:
    """Return the framework's command that ``command`` is, or is derived from."""
    # With --noasgi, daphne's command uses Django's server.
    if options.get("use_asgi", True):
        for known in starts.commands:
            if isinstance(command, known.command):
                return known
    # Only testserver passes a shutdown message. It always serves without the reloader.
    name = "testserver" if options.get("shutdown_message") else "runserver"
    core = sys.modules[_MODULE]
    handlers = sys.modules["django.core.servers.basehttp"].WSGIRequestHandler
    return starts.Command(name, core.Command, core.WSGIServer, lambda: prove_wsgiref(handlers))


def _listen(address: sessions.Address | None, command: Any) -> socket.socket:
    assert address is not None
    host, port, ipv6 = address

    class Listener(socketserver.TCPServer):
        address_family = socket.AF_INET6 if ipv6 else socket.AF_INET
        allow_reuse_address = True  # as Django's server
        allow_reuse_port = getattr(command.server_cls, "allow_reuse_port", False)

    return Listener((host, port), socketserver.BaseRequestHandler).socket


def _obstacle(command: Any, base: starts.Command, options: dict[str, Any]) -> str | None:
    """Return how ``command`` replaces the way in which ``base`` serves, or None.

    Its source is read and not run. So an override passes if it calls Django's method in only one of its branches.
    """
    kind = type(command)
    origin = f"{kind.__module__}.{kind.__qualname__}"
    server_class = getattr(command, "server_cls", None)
    # With --noasgi, the commands of daphne and channels 3 use Django's server, but they set this attribute later.
    if options.get("use_asgi", True) and not _is_class_of(server_class, base.server_class):
        return f"{origin} replaces Django's server by {getattr(server_class, '__module__', server_class)}"
    if threads.forks(server_class):
        return f"{origin} forks for each request"
    for ancestor in kind.__mro__[: kind.__mro__.index(base.command)]:
        for name in _SERVING_METHODS:
            override = vars(ancestor).get(name)
            if isinstance(override, FunctionType) and not _calls_django(override, kind):
                return f"{ancestor.__module__}.{ancestor.__qualname__}.{name} replaces Django's"
    return None


def _is_class_of(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _calls_django(override: FunctionType, kind: type) -> bool:
    """Whether the source of ``override`` names ``super``, or a serving method of its object or of a base class.

    False if there is no source.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(override)))
    except (OSError, SyntaxError, TypeError):
        return False
    classes = {id(base) for base in kind.__mro__}
    owners = {name for name, value in override.__globals__.items() if id(value) in classes}
    owners.update(list(inspect.signature(override).parameters)[:1])
    return any(
        (isinstance(node, ast.Name) and node.id == "super")
        or (
            isinstance(node, ast.Attribute)
            and node.attr in _SERVING_METHODS
            and isinstance(node.value, ast.Name)
            and node.value.id in owners
        )
        for node in ast.walk(tree)
    )


ENTRY_PATCHES = (Wrap(_MODULE, "Command.execute", Capability.START, _observe_execute, ("command",)),)
