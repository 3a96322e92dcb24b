"""Switches for the development server that you already run.

This file is the gate. If a DEVPATCH_ variable is set, the start-up file calls ``start`` when Python starts. The
gate then waits, at almost no cost, until a development server is imported. The gate is one file, because each
further module would slow down the start of Python by about 150 µs.

Limits: this file imports only modules that every interpreter has loaded already, and ``start`` never raises.
Importing wrapt takes about 50 ms, so it is imported only when the gate opens.
"""

import os
import sys

TYPE_CHECKING = False  # Importing the one in typing would take time.
if TYPE_CHECKING:
    from collections.abc import Callable

    from .features.on_error.event import ErrorEvent as ErrorEvent

__version__ = "0.1.0"

# When a program imports one of these modules, it may be about to start a development server. Modules that
# every program of a framework imports (django.core.signals, for example) must not be listed here: even
# `manage.py migrate` would then import wrapt. Integrations patch such modules when a server starts.
SERVER_MODULES = frozenset(
    {
        "daphne.management.commands.runserver",
        "django.core.management.commands.runserver",
        "django.core.servers.basehttp",
        "django_extensions.management.commands.runserver_plus",
        "werkzeug.serving",
        "wsgiref.simple_server",
    }
)

# The modules of applications. The gate waits for these too if DEVPATCH_EXC_INFO is set.
APPLICATION_MODULES = frozenset({"django.core.handlers.wsgi", "flask.wrappers"})

# Servers for production, by a module that each of them imports only when it is about to serve. No switch but
# DEVPATCH_EXC_INFO acts on them, and one line says so. waitress has none that `waitress.serve` imports.
PRODUCTION_MODULES = {
    "daphne.cli": "daphne",  # its runserver does not import it
    "gunicorn.arbiter": "gunicorn",
    "hypercorn.run": "hypercorn",
    "mod_wsgi.server": "mod_wsgi",
    "uvicorn.lifespan.off": "uvicorn",
    "uvicorn.lifespan.on": "uvicorn",
    "waitress.runner": "waitress",
}

# The modules of command lines. The gate waits for these only with fail-safe, which fast reload turns on, and only
# if the command line contains one of the subcommands.
COMMAND_LINE_MODULES = frozenset({"django.core.management", "flask.cli"})
_SUBCOMMANDS = {"runserver", "runserver_plus", "run"}
# Python itself imports these when it starts. They do not count as the program's first import.
_CUSTOMIZATION_MODULES = ("sitecustomize", "usercustomize")

started = False
# The working directory and a copy of the environment, as they were before any code of the program ran.
# None if no switch needs them.
launch: "tuple[str | None, dict[str, str]] | None" = None


class Gate:
    """A finder on ``sys.meta_path``. When an awaited module is imported, it removes itself and arms devpatch."""

    awaited = SERVER_MODULES
    at_first_import: "Callable[[], None] | None" = None  # called at the program's first import

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Return the real spec of an awaited module, with devpatch's hooks in it. Return None for other modules."""
        if self.at_first_import is not None and name not in _CUSTOMIZATION_MODULES:
            act, self.at_first_import = self.at_first_import, None
            act()
        if name in PRODUCTION_MODULES:
            _call_safely("begin_production_server", PRODUCTION_MODULES[name])
        if name not in self.awaited:
            return None
        try:
            sys.meta_path.remove(self)
        except ValueError:  # Another thread has removed it.
            return None
        _call_safely("arm", launch)
        # The loop over sys.meta_path that called this method has missed the finders that were added in front.
        # So the search starts again.
        from importlib.util import find_spec

        return find_spec(name)


def _call_safely(function: str, argument: object) -> None:
    """Call a function of the assembly while a module is imported."""
    held = _release_import_lock()
    try:
        _call_assembly(function, argument)
    except Exception as error:
        _say(f"could not start, so no switch has an effect: {type(error).__name__}: {error}")
    finally:
        _acquire_import_lock(held)


def _release_import_lock() -> int:
    """Release the global import lock, which Python holds while it calls a finder. Return how often it was held.

    Another thread may hold the lock of a module that is imported here, and wait for the global lock. Both threads
    would wait for ever.
    """
    import _imp

    held = 0
    try:
        while True:
            _imp.release_lock()
            held += 1
    except (RuntimeError, AttributeError):  # The lock is no longer held, or this Python has none.
        return held


def _acquire_import_lock(held: int) -> None:
    import _imp

    for _ in range(held):
        _imp.acquire_lock()


def _call_assembly(function: str, *arguments: object) -> object:
    """Call a function of the assembly, and import it by name: the gate may not depend on other modules."""
    from importlib import import_module

    return getattr(import_module("devpatch.assembly"), function)(*arguments)


def start() -> None:
    """Install the gate, once per interpreter. Never raises.

    In a venv the start-up file runs twice (cpython#75723).
    """
    global started
    if started or sys.flags.ignore_environment:
        return
    started = True
    if os.environ.get("DEVPATCH_DISABLE", "").strip().lower() in ("1", "true", "yes", "on"):
        return
    gate = Gate()
    sys.meta_path.insert(0, gate)
    if os.environ.get("DEVPATCH_EXC_INFO"):
        gate.awaited |= APPLICATION_MODULES
    # Removed from the environment, so that no child process mistakes itself for the worker.
    worker = os.environ.pop("_DEVPATCH_WORKER", None)
    try:
        failsafe = os.environ.get("DEVPATCH_FAILSAFE") or os.environ.get("DEVPATCH_FASTRELOAD")
        is_logging = os.environ.get("DEVPATCH_ERROR_LOG") or os.environ.get("DEVPATCH_SUMMARY_LOG")
        if worker is not None or is_logging or failsafe or "_DEVPATCH_EXAMINED" in os.environ:
            _remember_launch()
        if worker is not None:
            # The code may call sys.exit while a command line, which runs before the server, loads it.
            gate.awaited |= COMMAND_LINE_MODULES
            _call_assembly("begin_worker", launch, worker)
        elif failsafe and not _is_reloader_worker():
            _watch_first_start(gate)
    except Exception as error:
        _say(f"fail-safe can't see how this process ends: {type(error).__name__}: {error}")


def _remember_launch() -> None:
    global launch
    try:
        folder = os.getcwd()
    except OSError:  # The folder was deleted.
        folder = None
    launch = (folder, dict(os.environ))


def _is_reloader_worker() -> bool:
    return "RUN_MAIN" in os.environ or "WERKZEUG_RUN_MAIN" in os.environ


def _watch_first_start(gate: Gate) -> None:
    """When an exception ends this program, ask the assembly: fail-safe may hold a server's first start."""
    if launch is None or launch[0] is None:
        return
    from _thread import get_ident

    main_thread = get_ident()
    show = sys.excepthook

    def show_and_ask(kind, error, traceback):  # type: ignore[no-untyped-def]
        # Programs call this hook too, in other threads. An import there could deadlock with another import.
        is_last = get_ident() == main_thread and _last_error() is error
        tracebacks = sys.modules.get("devpatch.lifecycle.tracebacks")
        if is_last and tracebacks is not None:
            tracebacks.hide_own_frames(error)
            traceback = error.__traceback__
        show(kind, error, traceback)
        if is_last:
            _call_assembly("hold_first_start", launch, error)

    def ask_at_exit() -> None:
        # The program may have replaced the hook above.
        error = _last_error()
        if error is not None:
            try:
                _call_assembly("hold_first_start", launch, error)
            except SystemExit as end:
                # An exit handler can't set the exit status. This handler is the last one.
                os._exit(end.code if isinstance(end.code, int) else 1)

    def register_exit_handler() -> None:
        import atexit  # Not earlier: Python does not import it when it starts.

        atexit.register(ask_at_exit)

    sys.excepthook = show_and_ask
    if any(word.endswith(".py") for word in sys.orig_argv):
        register_exit_handler()  # A script may fail before it imports anything.
    else:
        gate.at_first_import = register_exit_handler
    if not _SUBCOMMANDS.isdisjoint(sys.orig_argv):
        gate.awaited |= COMMAND_LINE_MODULES


def _last_error() -> "BaseException | None":
    """Return the exception that ended the main thread, or None."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def __getattr__(name: str) -> object:
    if name != "ErrorEvent":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("devpatch.features.on_error.event").ErrorEvent


def _say(message: str) -> None:
    try:
        sys.stderr.write(f"devpatch: {message}\n")  # print() would use stdout if stderr is None.
    except Exception:
        pass  # stderr is closed.
