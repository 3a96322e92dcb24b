"""The only module that knows both integrations and features: the table of servers and the list of features.

The gate calls ``arm``, ``begin_worker`` and ``hold_first_start``. ``devpatch.activation`` uses the tables of this
module to check a server that is about to start.

Limits: this module must import little. wrapt may be missing. A worker imports this module before the user's
code, and that code may have a file with the name of a standard module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from .lifecycle import examination, loads

if TYPE_CHECKING:
    from .features import Feature
    from .lifecycle.standbys import Instructions
    from .patching import Patch

# The working directory and the environment at the start of Python.
Launch = tuple["str | None", dict[str, str]]


class Server(NamedTuple):
    """A way to start a development server: its name, the distributions that it needs, and its integrations."""

    name: str
    distributions: tuple[str, ...]
    integrations: tuple[ModuleType, ...]
    reloader: str | None  # how to turn its reloader on; None: it has none


_NOT_NORELOAD = "leave out --noreload"


def how_to_reload(server: str) -> str:
    """Return what to do for a reloader, if ``server`` runs without one."""
    found = next((row.reloader for row in servers() if row.name == server), None)
    return found or "use a server that has a reloader, such as runserver"


@cache
def servers() -> tuple[Server, ...]:
    """Return the table of servers. A new server needs one file in integrations/ and one row here."""
    from .integrations import (
        daphne_runserver,
        daphne_server,
        django_autoreload,
        django_basehttp,
        django_checks,
        django_errors,
        django_extensions_command,
        django_handlers,
        django_management,
        django_runserver,
        django_views_debug,
        flask_cli,
        flask_signals,
        prompts,
        socketserver_threads,
        werkzeug_debug,
        werkzeug_reloader,
        werkzeug_serving,
        wsgiref_handlers,
        wsgiref_server,
    )

    wsgiref = (socketserver_threads, wsgiref_server, wsgiref_handlers)
    commands = (django_management, django_checks, django_errors, django_handlers)
    runserver = (*commands, django_runserver, django_autoreload, prompts)
    django = (*wsgiref, django_basehttp, *runserver)
    daphne = (*runserver, daphne_runserver, daphne_server)
    werkzeug = (socketserver_threads, werkzeug_serving, werkzeug_debug, werkzeug_reloader, prompts)
    plus = (*werkzeug, *commands, django_extensions_command, django_views_debug)
    return (
        Server("runserver", ("django",), django, _NOT_NORELOAD),
        Server("testserver", ("django",), django, None),
        Server("daphne", ("django", "daphne"), daphne, _NOT_NORELOAD),
        Server("runserver_plus", ("django", "django-extensions", "werkzeug"), plus, _NOT_NORELOAD),
        Server("run_simple", ("werkzeug",), werkzeug, "pass use_reloader=True to run_simple()"),
        Server("app.run", ("flask",), (*werkzeug, flask_signals), "pass debug=True to app.run()"),
        Server("flask run", ("flask",), (*werkzeug, flask_cli, flask_signals), "add --debug"),
        Server("wsgiref", (), wsgiref, None),
    )


@cache
def _applications() -> tuple[ModuleType, ...]:
    """Return the integrations of applications, which any server may serve."""
    from .integrations import (
        asgiref_sync,
        django_cache,
        django_db,
        django_handlers,
        django_requests,
        django_wsgi,
        flask_caching,
        flask_handlers,
        flask_routes,
        flask_signals,
        flask_wrappers,
        rest_framework_views,
        sqlalchemy_engine,
        werkzeug_debug,
    )

    django = (django_handlers, django_db, django_cache, django_requests, django_wsgi, rest_framework_views)
    flask = (flask_signals, flask_handlers, flask_routes, flask_wrappers, flask_caching)
    return (*django, asgiref_sync, werkzeug_debug, *flask, sqlalchemy_engine)


@cache
def features() -> tuple[Feature, ...]:
    """Return all features. Those that report an error come before fail-fast, which ends the process."""
    from .features.error_log.feature import ErrorLog
    from .features.exc_info import ExcInfo
    from .features.failfast import FailFast
    from .features.failsafe.feature import FailSafe
    from .features.fastreload.feature import FastReload
    from .features.on_error.feature import OnError
    from .features.summary.feature import Summary
    from .features.threaded.feature import Threaded

    reporting = (ErrorLog(), OnError(), ExcInfo())
    return (*reporting, FailFast(), Threaded(), FailSafe(), FastReload(), Summary())


def _integrations_of(server: str) -> Iterator[ModuleType]:
    named = next((row.integrations for row in servers() if row.name == server), ())
    yield from dict.fromkeys((*named, *_applications()))


def entry_patches() -> tuple[Patch, ...]:
    """Return the patches to make when a server's module is imported: other modules bind its functions by name."""
    modules = dict.fromkeys(module for row in servers() for module in row.integrations)
    return tuple(patch for module in modules for patch in getattr(module, "ENTRY_PATCHES", ()))


def worker_patches() -> tuple[Patch, ...]:
    """Return the patches to make in the worker of a supervisor before the code is loaded."""
    modules = dict.fromkeys(module for row in servers() for module in row.integrations)
    return tuple(patch for module in modules for patch in getattr(module, "WORKER_PATCHES", ()))


def serving_patches(server: str) -> tuple[Patch, ...]:
    """Return the patches to make when ``server`` starts. A process that serves nothing does not need them."""
    return tuple(patch for module in _integrations_of(server) for patch in getattr(module, "PATCHES", ()))


def application_patches() -> tuple[Patch, ...]:
    """Return the patches of applications, which work under any WSGI server. Only DEVPATCH_EXC_INFO needs them."""
    return tuple(patch for module in _applications() for patch in getattr(module, "APPLICATION_PATCHES", ()))


def patches_for(server: str) -> tuple[Patch, ...]:
    """Return all patches that matter to ``server``, and the capabilities that it lacks."""
    own = tuple(
        patch
        for module in _integrations_of(server)
        for patch in (*getattr(module, "ENTRY_PATCHES", ()), *getattr(module, "LACKS", ()))
    )
    return own + serving_patches(server) + application_patches()


def prepare_checks() -> None:
    """Make the modules of all servers importable, so that ``dry_run`` can check their patches."""
    for module in dict.fromkeys(module for row in servers() for module in row.integrations):
        getattr(module, "prepare_check", lambda: None)()


# Called by the gate.


def arm(launch: Launch | None) -> None:
    """Register the import hooks of all integrations. Without wrapt, register hooks that refuse a start or warn.

    Do nothing if no switch is set and ``devpatch doctor`` does not ask. ``launch`` is the working directory and the
    environment at the start of Python.
    """
    from . import refusals, switches

    settings = switches.read(os.environ)
    is_any_on = any(settings[switch] for switch in switches.FEATURES) or examination.is_wanted()
    if settings.disabled or not (settings.problems or settings.unknown or settings.hints or is_any_on):
        return
    _remember(launch)
    if launch:
        examination.environ_at_start = launch[1]
    try:
        from .activation import Activation
        from .patching import ledger

        Activation(serving_patches, patches_for, features, how_to_reload).listen(
            launch[0] if launch else None
        )
        if _is_supervised:
            from .features.failsafe.worker.supervised import SupervisedWorker

            SupervisedWorker().listen()
        applications = application_patches() if settings[switches.EXC_INFO] else ()
        for patch in (*entry_patches(), *(worker_patches() if _is_supervised else ()), *applications):
            ledger.apply_when_imported(patch)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A broken wrapt may raise anything.
        refusals.hook_without_wrapt(f"wrapt could not be used ({type(error).__name__}: {error})")


def begin_production_server(server: str) -> None:
    """Say, once, that the switches for development servers have no effect on ``server``."""
    from . import refusals

    refusals.about_production_server(server)


def begin_worker(launch: Launch | None, described: str) -> None:
    """Begin a worker of a fail-safe session. ``described`` is the text of an ``ipc.WorkerSession``.

    Raises OSError, ValueError, TypeError.
    """
    global _is_supervised
    _remember(launch)
    from .features.failsafe.worker import process

    _is_supervised = process.begin(described, process.Others(_import_ahead, _follow, _before_program))


def _follow(instructions: Instructions) -> None:
    from .features.fastreload.standby import roles

    roles.begin(instructions)


def _before_program(instructions: Instructions, is_due: Callable[[], bool]) -> None:
    from .features.fastreload.standby import roles

    roles.before_program(instructions, is_due, _tripwires)


def _tripwires() -> tuple[tuple[str, str], ...]:
    """Return the modules and attributes whose use while a library is imported means that it reads settings."""
    # Not from the table of servers: a probe must not import wrapt before a standby would.
    from .integrations import django_settings

    return django_settings.TRIPWIRES


def _import_ahead() -> None:
    from . import activation  # noqa: F401
    from .features.failsafe.worker import supervised  # noqa: F401

    features()
    servers()
    _applications()


def hold_first_start(launch: Launch, error: BaseException, *, from_command_line: bool = False) -> None:
    """If ``error`` ended a development server's first start, wait for a change and start the server again.

    ``from_command_line``: a framework's command line ran, so a ``sys.exit`` of the code counts too. A second call
    does nothing. Raises SystemExit if Ctrl-C or SIGTERM ends the wait.
    """
    global _first_start_checked
    folder, environ = launch
    if _first_start_checked or folder is None or examination.VARIABLE in environ:
        return
    _first_start_checked = True
    try:
        from . import patching  # noqa: F401
        from .features.failsafe.supervisor import first_start
    except Exception:
        return  # Without wrapt, fail-safe has no effect after the first start either.
    first_start.hold_if_server(folder, environ, error, from_command_line)


_launch: Launch | None = None
_is_supervised = False
_first_start_checked = False  # whether hold_first_start has been called


def _remember(launch: Launch | None) -> None:
    global _launch
    _launch = launch


# The lifecycle calls these for code that could not be loaded.


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
    """Return the features that report a failed load and are switched on."""
    from . import switches

    # Read here, because the code may fail before a server starts and activates its features.
    settings = switches.read(os.environ)
    if settings.disabled or settings.problems:
        return []
    if not (settings[switches.ON_ERROR] or settings[switches.ERROR_LOG]):
        return []  # No other feature reports a failed load, and importing them takes time.
    return [feature for feature in features() if settings[feature.switch]]
