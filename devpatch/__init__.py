"""Switches for the development server that you already run.

This file is the gate. The start-up file calls ``start`` at every start of Python. The gate then waits, at next
to no cost, until a development server is imported. All of that is in one file, because each further
module would cost every start of Python about 150 µs.

Limits: standard library only, no import beyond what every interpreter has loaded, and nothing is raised.
Importing wrapt costs about 50 ms, so that waits until the gate opens.
"""

import os
import sys

TYPE_CHECKING = False  # The one in typing would have to be imported.
if TYPE_CHECKING:
    from collections.abc import Callable

    from .features.on_error.event import ErrorEvent as ErrorEvent

__version__ = "0.1.0"

# The import of one of these modules says that a development server may be about to start. Modules that
# every program of a framework imports (django.core.signals, for example) must not be listed here, or
# `manage.py migrate` would pay for wrapt. Integrations patch those when a server starts.
SERVER_MODULES = frozenset(
    {
        "django.core.management.commands.runserver",
        "django.core.servers.basehttp",
        "django_extensions.management.commands.runserver_plus",
        "werkzeug.serving",
        "wsgiref.simple_server",
    }
)

# Modules of an application, whatever serves it.
APPLICATION_MODULES = frozenset({"django.core.handlers.wsgi", "flask.wrappers"})

# Modules of command lines. They are awaited only where the command names one of the subcommands.
COMMAND_LINE_MODULES = frozenset({"django.core.management", "flask.cli"})
_SUBCOMMANDS = {"runserver", "runserver_plus", "run"}
# Python's own start asks for these. They are not the program's first import.
_CUSTOMIZATION_MODULES = ("sitecustomize", "usercustomize")

started = False
# The working directory and a copy of the environment, as they were before any code of the program ran.
launch: "tuple[str | None, dict[str, str]] | None" = None


class Gate:
    """A finder that finds nothing. At the first import of an awaited module it arms devpatch and removes itself."""

    awaited = SERVER_MODULES
    at_first_import: "Callable[[], None] | None" = None  # called once the program imports something

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Return the module's real spec, with devpatch's hooks in it, if the module is awaited."""
        if self.at_first_import is not None and name not in _CUSTOMIZATION_MODULES:
            act, self.at_first_import = self.at_first_import, None
            act()
        if name not in self.awaited:
            return None
        try:
            sys.meta_path.remove(self)
        except ValueError:  # Another thread was faster.
            return None
        held = _release_import_lock()
        try:
            _call_assembly("arm", launch)
        except Exception as error:
            _say(f"could not start, so no switch has an effect: {type(error).__name__}: {error}")
        finally:
            _acquire_import_lock(held)
        # The loop over sys.meta_path that called this method has missed the finders that were added in front.
        # So the search starts again.
        from importlib.util import find_spec

        return find_spec(name)


def _release_import_lock() -> int:
    """Release the lock that Python holds while it asks a finder. Return how often it was held.

    Another thread may be importing a module that is imported here. It needs the lock to go on, so both threads
    would wait for ever.
    """
    import _imp

    held = 0
    try:
        while True:
            _imp.release_lock()
            held += 1
    except (RuntimeError, AttributeError):  # It is not held any more, or this Python has no such lock.
        return held


def _acquire_import_lock(held: int) -> None:
    import _imp

    for _ in range(held):
        _imp.acquire_lock()


def _call_assembly(function: str, *arguments: object) -> object:
    """Call a function of the assembly. It is imported by name, because nothing may import it in the other direction."""
    from importlib import import_module

    return getattr(import_module("devpatch.assembly"), function)(*arguments)


def start() -> None:
    """Open the gate once per interpreter. The start-up file runs twice in a venv (cpython#75723). Never raises."""
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
    # It is removed from the environment, so that no child process takes itself for the worker.
    worker = os.environ.pop("_DEVPATCH_WORKER", None)
    try:
        if worker is not None or os.environ.get("DEVPATCH_ERROR_LOG") or os.environ.get("DEVPATCH_FAILSAFE"):
            _remember_launch()
        if worker is not None:
            _call_assembly("begin_worker", launch, worker)
        elif os.environ.get("DEVPATCH_FAILSAFE") and not _is_reloader_worker():
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
    """Have the assembly asked when an exception ends this program: fail-safe may hold a server's first start."""
    if launch is None or launch[0] is None:
        return
    from _thread import get_ident

    main_thread = get_ident()
    show = sys.excepthook

    def show_and_ask(kind, error, traceback):  # type: ignore[no-untyped-def]
        # Programs call this hook too, in threads. Imports in there could wait for those of other threads.
        is_last = get_ident() == main_thread and _last_error() is error
        exceptions = sys.modules.get("devpatch.lifecycle.exceptions")
        if is_last and exceptions is not None:
            exceptions.hide_own_frames(error)
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
            except SystemExit as end:  # It is too late for a normal exit. This handler is the last one.
                os._exit(end.code if isinstance(end.code, int) else 1)

    def register_exit_handler() -> None:
        import atexit  # Not at the start, because a bare interpreter does not import it.

        atexit.register(ask_at_exit)

    sys.excepthook = show_and_ask
    gate.at_first_import = register_exit_handler
    if not _SUBCOMMANDS.isdisjoint(sys.orig_argv):
        gate.awaited |= COMMAND_LINE_MODULES


def _last_error() -> "BaseException | None":
    """Return the exception that ended the main thread, if one did."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def __getattr__(name: str) -> object:
    if name != "ErrorEvent":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("devpatch.features.on_error.event").ErrorEvent


def _say(message: str) -> None:
    try:
        sys.stderr.write(f"devpatch: {message}\n")  # print() would use stdout where stderr is None.
    except Exception:
        pass  # stderr is closed, so nobody can be told.
