"""Refuse to start a development server, also if wrapt can't be imported.

Without wrapt nothing can be patched. Then the few functions that start servers are replaced by plain assignment.
So a server that should be guarded refuses to start, instead of running unguarded.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from . import switches
from .console import ERROR, WARNING, say
from .lifecycle import examination, sessions
from .lifecycle.endings import ExitStatus, ending

# The functions of each server module that start a server.
ENTRIES = {
    "daphne.management.commands.runserver": ("Command.inner_run",),
    "django.core.management.commands.runserver": ("Command.execute",),
    "django.core.servers.basehttp": ("run",),
    "werkzeug.serving": ("run_simple",),
    "wsgiref.simple_server": ("WSGIServer.serve_forever", "WSGIServer.handle_request"),
}
# Metrics exporters and test servers embed a wsgiref server and serve it from another thread.
_MAIN_THREAD_ONLY = "wsgiref.simple_server"


def refuse(messages: list[str]) -> None:
    """Print ``messages`` and end the process with ``ExitStatus.REFUSED``, if there are any. Raises SystemExit."""
    if not messages:
        return
    for message in messages:
        say(message, ERROR)
    if threading.current_thread() is not threading.main_thread():
        # With a reloader, Django serves from another thread. SystemExit would end only that thread.
        ending.request(ExitStatus.REFUSED, lambda: None)
        ending.release()
    sessions.worker.ends()
    raise SystemExit(int(ExitStatus.REFUSED))


def is_in_ci(environ: Mapping[str, str]) -> bool:
    """Whether ``environ`` is that of a CI service. There nobody reads a hint, so a misspelt switch is an error."""
    return environ.get("CI", "").strip().lower() not in ("", "0", "false", "no", "off")


def replace_entry(module: str, path: str, reason: str) -> None:
    """Replace a function that starts a server. It refuses because of ``reason``, or warns that no switch has an effect.

    ``path`` is "name" or "Class.name" in ``module``, which must have been imported. If the function does not exist,
    only a line says so.
    """
    *parents, name = path.split(".")
    parent: Any = sys.modules[module]
    for step in parents:
        parent = getattr(parent, step, None)
    entry: Callable[..., Any] | None = getattr(parent, name, None)
    if entry is None:
        say(f"no switch has an effect on {module}: {reason}")
        return
    main_thread_only = module == _MAIN_THREAD_ONLY

    def refuse_or_enter(*args: Any, **kwargs: Any) -> Any:
        if not main_thread_only or threading.current_thread() is threading.main_thread():
            _refuse_or_warn(reason)
        return entry(*args, **kwargs)

    setattr(parent, name, refuse_or_enter)


def about_production_server(server: str) -> None:
    """Print one line if a switch is on that acts on development servers only.

    The processes that ``server`` starts inherit a variable, so they do not repeat the line. Each of several workers
    of uvicorn prints it, because their parent does not serve.
    """
    settings = switches.read(os.environ)
    names = [s.name for s in switches.FEATURES if settings[s] and s is not switches.EXC_INFO]
    reason = f"{server} is not a development server"
    others = {switches.EXC_INFO.name: None} if settings[switches.EXC_INFO] else {}
    examination.report(server, {**dict.fromkeys(names, reason), **others})
    if settings.disabled or not names or os.environ.get(_SAID) == server:
        return
    os.environ[_SAID] = server
    say(f"{reason}, so {' and '.join(names)} {'has' if len(names) == 1 else 'have'} no effect", WARNING)


_SAID = "_DEVPATCH_SAID"  # a variable with the name of the server
_warned = False


def _refuse_or_warn(reason: str) -> None:
    global _warned
    settings = switches.read(os.environ)
    hint = "unset the DEVPATCH_ variables to run it all the same"
    if "wrapt" in reason:
        hint = f"run `pip install wrapt`, or {hint}"
    problems = settings.problems
    if not problems and settings[switches.FAILFAST]:
        problems = [f"fail-fast can't guard this server, so it does not start: {reason}; {hint}"]
    for problem in problems:
        say(problem, ERROR)
    if problems:
        raise SystemExit(int(ExitStatus.REFUSED))
    if not _warned:
        _warned = True
        say(f"no switch has an effect: {reason}; {hint}", WARNING)


def hook_without_wrapt(reason: str) -> None:
    """Replace the ``ENTRIES`` of each server module as soon as it has been imported."""
    sys.meta_path.insert(0, _PlainHooks(" ".join(reason.split())))


class _PlainHooks:
    """A finder that replaces the ``ENTRIES`` of a server module once the module has been executed."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the real spec of a server module, with a loader that replaces the ``ENTRIES``. None for others."""
        if name not in ENTRIES or self._searching:
            return None
        from importlib.util import find_spec

        self._searching = True
        try:
            spec = find_spec(name)
        finally:
            self._searching = False
        loader: Any = getattr(spec, "loader", None)
        if loader is not None:
            self._hook_loader(loader, name)
        return spec

    def _hook_loader(self, loader: Any, name: str) -> None:
        execute = loader.exec_module

        def execute_and_replace(module: Any) -> None:
            execute(module)
            try:
                for entry in ENTRIES[name]:
                    replace_entry(name, entry, self._reason)
            except Exception as error:
                say(f"{self._reason}; {type(error).__name__}: {error}", WARNING)

        with suppress(AttributeError):  # A frozen or built-in module.
            loader.exec_module = execute_and_replace
