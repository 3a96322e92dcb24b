"""What the gate does when a development server's module is about to be imported.

Without wrapt nothing can be patched. Then the few functions through which servers start are replaced
in a plain way, so that a server which was to be guarded refuses to start instead of running unguarded.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import SERVER_MODULES, process, switches
from .console import say

# Where a server module starts a server; "Class.method" is replaced on the class.
_ENTRIES = {
    "django.core.management.commands.runserver": ("Command.execute",),
    "django.core.servers.basehttp": ("run",),
    "werkzeug.serving": ("run_simple",),
    "wsgiref.simple_server": ("WSGIServer.serve_forever", "WSGIServer.handle_request"),
}
# Serving from another thread is how metrics exporters and test servers embed a wsgiref server.
_MAIN_THREAD_ONLY = "wsgiref.simple_server"


def arm() -> None:
    """Register the hooks of all the integrations, or the refusals where wrapt can't be imported."""
    settings = switches.read(os.environ)
    if settings.disabled or not (settings.problems or settings.unknown or _is_any_on(settings)):
        return
    try:
        from . import integrations
        from .patching import ledger

        applications = integrations.application_patches() if settings[switches.EXC_INFO] else ()
        for patch in (*integrations.entry_patches(), *applications):
            ledger.await_module(patch)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A broken wrapt may raise anything.
        _arm_without_wrapt(f"wrapt could not be used ({type(error).__name__}: {error})")


def _is_any_on(settings: switches.Settings) -> bool:
    return any(settings[switch] for switch in switches.FEATURES)


def _arm_without_wrapt(reason: str) -> None:
    sys.meta_path.insert(0, _PlainHooks(" ".join(reason.split())))


class _PlainHooks:
    """A finder that replaces a server module's entry once the module has been executed."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the real spec, its loader followed by the replacement."""
        if name not in SERVER_MODULES or self._searching:
            return None
        from importlib.util import find_spec

        self._searching = True
        try:
            spec = find_spec(name)
        finally:
            self._searching = False
        loader: Any = getattr(spec, "loader", None)
        if loader is not None:
            execute = loader.exec_module

            def execute_and_replace(module: Any) -> None:
                execute(module)
                try:
                    for entry in _ENTRIES.get(name, ()):
                        replace_entry(name, entry, self._reason)
                except Exception as error:
                    say(f"{self._reason}; {type(error).__name__}: {error}")

            try:
                loader.exec_module = execute_and_replace
            except AttributeError:
                pass  # A frozen or built-in module.
        return spec


def replace_entry(module: str, path: str, reason: str) -> None:
    """Let a function that starts a server refuse, or say that no switch has an effect, for ``reason``.

    ``path`` is "name" or "Class.name" in ``module``; where it is not there, nothing can start through it.
    """
    *parents, name = path.split(".")
    parent: Any = sys.modules[module]
    for step in parents:
        parent = getattr(parent, step, None)
    entry: Callable[..., Any] | None = getattr(parent, name, None)
    if entry is None:
        return
    main_thread_only = module == _MAIN_THREAD_ONLY

    def refuse_or_enter(*args: Any, **kwargs: Any) -> Any:
        if not main_thread_only or threading.current_thread() is threading.main_thread():
            _refuse_or_tell(reason)
        return entry(*args, **kwargs)

    setattr(parent, name, refuse_or_enter)


_told = False


def _refuse_or_tell(reason: str) -> None:
    global _told
    settings = switches.read(os.environ)
    hint = "unset the DEVPATCH_ variables to run it all the same"
    if "wrapt" in reason:
        hint = f"run `pip install wrapt`, or {hint}"
    if settings.problems:
        for problem in settings.problems:
            say(problem)
    elif settings[switches.FAILFAST]:
        say(f"fail-fast can't guard this server, so it does not start: {reason}; {hint}")
    else:
        if not _told:
            _told = True
            say(f"no switch has an effect: {reason}; {hint}")
        return
    raise SystemExit(int(process.ExitStatus.REFUSED))
