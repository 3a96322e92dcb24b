"""The one place that knows both sides: the table of servers with their integrations, and the list of features.

The gate calls ``arm``, ``begin_worker`` and ``hold_first_start``. ``devpatch.starting`` checks a server that
is about to start, with the tables of this module.

Limits: importing this module imports next to nothing. Wrapt may be missing, and a worker calls ``begin_worker``
before the user's code, which may have modules with the names of the standard library's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from .lifecycle import loads

if TYPE_CHECKING:
    from .features import Feature
    from .patching import Patch
    from .switches import Settings

Launch = tuple[
    "str | None", dict[str, str]
]  # the working directory and the environment at the start of Python


class Server(NamedTuple):
    """A way to start a development server: its name, the distributions it comes with, and its integrations."""

    name: str
    distributions: tuple[str, ...]
    integrations: tuple[ModuleType, ...]
    reloads: bool = True


@cache
def servers() -> tuple[Server, ...]:
    """Return the table of servers. A new server is one file in integrations/ and one row here."""
    from .integrations import (
        django_autoreload,
        django_basehttp,
        django_extensions_command,
        django_handlers,
        django_management,
        django_runserver,
        django_views_debug,
        flask_cli,
        flask_signals,
        socketserver_threads,
        werkzeug_debug,
        werkzeug_reloader,
        werkzeug_serving,
        wsgiref_handlers,
        wsgiref_server,
    )

    wsgiref = (socketserver_threads, wsgiref_server, wsgiref_handlers)
    commands = (django_management, django_handlers)
    django = (*wsgiref, django_basehttp, *commands, django_runserver, django_autoreload)
    werkzeug = (socketserver_threads, werkzeug_serving, werkzeug_debug, werkzeug_reloader)
    plus = (*werkzeug, *commands, django_extensions_command, django_views_debug)
    return (
        Server("runserver", ("django",), django),
        Server("testserver", ("django",), django, reloads=False),
        Server("runserver_plus", ("django", "django-extensions", "werkzeug"), plus),
        Server("run_simple", ("werkzeug",), werkzeug),
        Server("app.run", ("flask",), (*werkzeug, flask_signals)),
        Server("flask run", ("flask",), (*werkzeug, flask_cli, flask_signals)),
        Server("wsgiref", (), wsgiref, reloads=False),
    )


@cache
def _applications() -> tuple[ModuleType, ...]:
    """Return the integrations of applications: any server may serve any of them. Some are never imported."""
    from .integrations import (
        django_db,
        django_handlers,
        django_wsgi,
        flask_signals,
        flask_wrappers,
        werkzeug_debug,
    )

    return (django_handlers, django_db, django_wsgi, werkzeug_debug, flask_signals, flask_wrappers)


@cache
def features() -> tuple[Feature, ...]:
    """Return all the features. Those that report an error come before the one that ends the process for it."""
    from .features.error_log.feature import ErrorLog
    from .features.exc_info import ExcInfo
    from .features.failfast import FailFast
    from .features.failsafe.feature import FailSafe
    from .features.on_error.feature import OnError
    from .features.threaded.feature import Threaded

    return (ErrorLog(), OnError(), ExcInfo(), FailFast(), Threaded(), FailSafe())


def _integrations_of(server: str) -> Iterator[ModuleType]:
    named = next((row.integrations for row in servers() if row.name == server), ())
    yield from dict.fromkeys((*named, *_applications()))


def entry_patches() -> tuple[Patch, ...]:
    """Return the patches to make as soon as a server's module is imported, since others bind its functions by name."""
    modules = dict.fromkeys(module for row in servers() for module in row.integrations)
    return tuple(patch for module in modules for patch in getattr(module, "ENTRY_PATCHES", ()))


def serving_patches(server: str) -> tuple[Patch, ...]:
    """Return the patches to make when ``server`` starts. A process that serves nothing keeps its framework as it is."""
    return tuple(patch for module in _integrations_of(server) for patch in getattr(module, "PATCHES", ()))


def application_patches() -> tuple[Patch, ...]:
    """Return the patches to make on applications, whatever serves them, if a switch asks for that."""
    return tuple(patch for module in _applications() for patch in getattr(module, "APPLICATION_PATCHES", ()))


def patches_for(server: str) -> tuple[Patch, ...]:
    """Return all the patches that matter to ``server``."""
    entries = tuple(p for module in _integrations_of(server) for p in getattr(module, "ENTRY_PATCHES", ()))
    return entries + serving_patches(server) + application_patches()


def prepare_checks() -> None:
    """Prepare what some modules need before they can be imported and their patches checked by ``dry_run``."""
    for module in dict.fromkeys(module for row in servers() for module in row.integrations):
        getattr(module, "prepare_check", lambda: None)()


# Called by the gate.


def arm(launch: Launch | None) -> None:
    """Register the hooks of all the integrations, or the refusals where wrapt can't be imported."""
    from . import refusals, switches

    settings = switches.read(os.environ)
    is_any_on = any(settings[switch] for switch in switches.FEATURES)
    if settings.disabled or not (settings.problems or settings.unknown or is_any_on):
        return
    _remember(launch)
    try:
        from .patching import ledger
        from .starting import Starter

        Starter(serving_patches, patches_for, features).listen(launch[0] if launch else None)
        if _is_supervised:
            from .features.failsafe.worker.supervised import SupervisedWorker

            SupervisedWorker().listen()
        applications = application_patches() if settings[switches.EXC_INFO] else ()
        for patch in (*entry_patches(), *applications):
            ledger.await_module(patch)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A broken wrapt may raise anything.
        refusals.hook_without_wrapt(f"wrapt could not be used ({type(error).__name__}: {error})")


def begin_worker(launch: Launch | None, described: str) -> None:
    """Begin a worker of a fail-safe session. ``described`` is what its supervisor wrote. Raises OSError, ValueError."""
    global _is_supervised
    _remember(launch)
    from .features.failsafe.worker import process

    process.begin(described, _import_ahead)
    _is_supervised = True


def _import_ahead() -> None:
    from . import starting  # noqa: F401
    from .features.failsafe.worker import supervised  # noqa: F401

    features()
    servers()


def hold_first_start(launch: Launch, error: BaseException, *, from_command_line: bool = False) -> None:
    """If ``error`` ended a development server's first start, wait for a change and start it again.

    ``from_command_line``: a framework's command line ran, so a ``sys.exit`` of the code counts too. Without wrapt
    it does nothing. Raises SystemExit once somebody ended the wait.
    """
    global _was_held
    folder, environ = launch
    if _was_held or folder is None:
        return
    _was_held = True
    try:
        from .features.failsafe.supervisor import first_start
    except Exception:
        return
    first_start.hold_if_server(folder, environ, error, from_command_line)


_launch: Launch | None = None
_is_supervised = False
_was_held = False  # whether the end of this process was looked at


def _remember(launch: Launch | None) -> None:
    global _launch
    _launch = launch


# Called back by the lifecycle: code that could not be loaded.


class _LoadListener(loads.Listener):
    def load_failed(self, error: BaseException) -> None:
        for feature in _reporting():
            feature.load_failed(error)

    def worker_ended(self, end: loads.End) -> None:
        for feature in _reporting():
            feature.worker_ended(end)

    def exited(self, error: BaseException) -> None:
        if _launch is not None and not _is_supervised:
            hold_first_start(_launch, error, from_command_line=True)


loads.listener = _LoadListener()


def _reporting() -> list[Feature]:
    """Return the features that report a failed load."""
    from . import switches

    # Read again: the code may be broken before any server, and so any feature, began.
    settings = switches.read(os.environ)
    if settings.disabled or settings.problems:
        return []
    if not (settings[switches.ON_ERROR] or settings[switches.ERROR_LOG]):
        return []  # The others do not report it, and their import takes time.
    return wanted(settings)


def wanted(settings: Settings) -> list[Feature]:
    """Return the features that are switched on."""
    return [feature for feature in features() if settings[feature.switch]]
