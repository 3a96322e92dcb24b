"""The integrations, one file per patched target, and the table of servers that they make up.

Integrations know frameworks and no features: they report what happens to devpatch.requests and
devpatch.serving. *Entry* patches are made when a server's module is imported, for others bind its
functions by name. All the other patches wait until a server starts, so that a process that serves
nothing, or serves with gunicorn, keeps its framework as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from ..patching import Patch
from . import (
    django_autoreload,
    django_basehttp,
    django_db,
    django_extensions_command,
    django_extensions_response,
    django_handlers,
    django_management,
    django_runserver,
    django_wsgi,
    flask_cli,
    flask_signals,
    flask_wrappers,
    socketserver_threads,
    werkzeug_debug,
    werkzeug_reloader,
    werkzeug_serving,
    wsgiref_handlers,
    wsgiref_server,
)


@dataclass(frozen=True)
class Server:
    """A way to start a development server: its name, the distributions it comes with, and its integrations."""

    name: str
    distributions: tuple[str, ...]
    integrations: tuple[ModuleType, ...]
    reloads: bool = True


_DJANGO = (
    socketserver_threads,
    wsgiref_server,
    wsgiref_handlers,
    django_basehttp,
    django_management,
    django_runserver,
    django_autoreload,
    django_handlers,
)
_WERKZEUG = (socketserver_threads, werkzeug_serving, werkzeug_debug, werkzeug_reloader)
# Whatever serves, the application may be any framework's. Their modules may never be imported.
_APPLICATIONS = (django_handlers, django_db, django_wsgi, werkzeug_debug, flask_signals, flask_wrappers)

SERVERS = (
    Server("runserver", ("django",), _DJANGO),
    Server("testserver", ("django",), _DJANGO, reloads=False),
    Server(
        "runserver_plus",
        ("django", "django-extensions", "werkzeug"),
        (
            *_WERKZEUG,
            django_management,
            django_handlers,
            django_extensions_command,
            django_extensions_response,
        ),
    ),
    Server("run_simple", ("werkzeug",), _WERKZEUG),
    Server("app.run", ("flask",), (*_WERKZEUG, flask_signals)),
    Server("flask run", ("flask",), (*_WERKZEUG, flask_cli, flask_signals)),
    Server("wsgiref", (), (socketserver_threads, wsgiref_server, wsgiref_handlers), reloads=False),
)


def _integrations_of(server: str) -> Iterator[ModuleType]:
    named = next((row.integrations for row in SERVERS if row.name == server), ())
    yield from dict.fromkeys((*named, *_APPLICATIONS))


def entry_patches() -> tuple[Patch, ...]:
    """Return the patches to make as soon as a server's module is imported."""
    modules = dict.fromkeys(module for row in SERVERS for module in row.integrations)
    return tuple(patch for module in modules for patch in getattr(module, "ENTRY_PATCHES", ()))


def serving_patches(server: str) -> tuple[Patch, ...]:
    """Return the patches to make when ``server`` starts."""
    return tuple(patch for module in _integrations_of(server) for patch in getattr(module, "PATCHES", ()))


def application_patches() -> tuple[Patch, ...]:
    """Return the patches to make on applications, whatever serves them, where that is wanted."""
    return tuple(patch for module in _APPLICATIONS for patch in getattr(module, "APPLICATION_PATCHES", ()))


def patches_for(server: str) -> tuple[Patch, ...]:
    """Return all the patches that matter to ``server``."""
    entries = tuple(p for module in _integrations_of(server) for p in getattr(module, "ENTRY_PATCHES", ()))
    return entries + serving_patches(server) + application_patches()


def prepare_checks() -> None:
    """Let modules be imported that need more than an import, before their patches are checked by ``dry_run``."""
    for module in dict.fromkeys(module for row in SERVERS for module in row.integrations):
        getattr(module, "prepare_check", lambda: None)()
