"""Switches for the development server that you already run.

This file is what the start-up file calls: it waits, at next to no cost, until a development server is
imported. It stands here, and not in a module of its own, because a second module would cost each start of
Python about 150 µs more.

Limits: standard library only, no import beyond ``sys`` and ``os``, and nothing is raised, for this
runs at every start of somebody's Python. Importing wrapt costs about 50 ms, so it waits for the gate.
"""

import os
import sys

TYPE_CHECKING = False  # typing's own would have to be imported.
if TYPE_CHECKING:
    from .events import ErrorEvent as ErrorEvent

__version__ = "0.1.0"

# Modules whose import says that a development server may be about to start. Modules that are
# imported by every program of a framework (django.core.signals, say) must not stand here, or
# `manage.py migrate` would pay for wrapt; integrations reach those once a server starts.
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

started = False
folder: str | None = None  # the working directory at the start of Python, where a path is relative to it


class Gate:
    """A finder that finds nothing: it hears of the first server module's import, arms devpatch and leaves."""

    awaited = SERVER_MODULES

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Return the module's real spec, with devpatch's hooks in it, if it is an awaited one."""
        if name not in self.awaited:
            return None
        try:
            sys.meta_path.remove(self)
        except ValueError:  # Another thread came first.
            return None
        held = _release_import_lock()
        try:
            from devpatch import arming

            arming.arm()
        except Exception as error:
            _say(f"could not start, so no switch has an effect: {type(error).__name__}: {error}")
        finally:
            _acquire_import_lock(held)
        # A finder that arm() put in front was missed by the loop over sys.meta_path that called
        # this method, so the search has to begin anew.
        from importlib.util import find_spec

        return find_spec(name)


def _release_import_lock() -> int:
    """Release the lock that Python holds while it asks a finder; return how often it was held.

    With it, an import here would wait for ever for a module that another thread is importing, for that
    thread needs the lock to go on.
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


def start() -> None:
    """Open the gate, once per interpreter; the start-up file runs twice in a venv (cpython#75723)."""
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
    if os.environ.get("DEVPATCH_ERROR_LOG"):
        _remember_folder()
    # Taken out of the environment, so that no process which this one starts takes itself for the worker.
    worker_of = os.environ.pop("_DEVPATCH_WORKER", None)
    if worker_of is not None or os.environ.get("DEVPATCH_FAILSAFE"):
        _begin_fail_safe(gate, worker_of)


def _remember_folder() -> None:
    global folder
    try:
        folder = os.getcwd()
    except OSError:
        pass  # It is gone.


def _begin_fail_safe(gate: Gate, worker_of: str | None) -> None:
    try:
        if worker_of is not None:
            from devpatch import worker

            worker.begin(worker_of)
        else:
            from devpatch import first_start

            if first_start.begin():
                gate.awaited |= first_start.COMMAND_LINES
    except Exception as error:
        _say(f"fail-safe can't see how this process ends: {type(error).__name__}: {error}")


def __getattr__(name: str) -> object:
    if name != "ErrorEvent":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .events import ErrorEvent

    return ErrorEvent


def _say(message: str) -> None:
    try:
        sys.stderr.write(f"devpatch: {message}\n")  # print() would fall back to stdout where stderr is None
    except Exception:
        pass  # stderr is closed or gone: there is nobody to tell.
