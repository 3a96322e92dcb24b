"""flask.cli: an application that ``flask run`` could not load.

A reloader's worker prints the traceback and serves a stand-in. The call that prints it is watched, because a
wrapper around the loading would add devpatch's frames to that traceback. At the first start, the command ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..lifecycle import failures, loads, places, sessions
from ..patching import Capability, Decorate, Register, Replace, Wrap, module_proxy


def _make_traceback(traceback: ModuleType) -> ModuleType:
    def print_exc(*args: Any, **kwargs: Any) -> None:
        traceback.print_exc(*args, **kwargs)
        error = sys.exc_info()[1]
        if error is not None:
            sessions.worker.load_failed(error)

    return module_proxy(traceback, print_exc=print_exc)


# The one usage error that an edit may repair. click shows it and then exits.
_missing_app: list[BaseException] = []


def _watch_show(show: Callable[..., Any]) -> Callable[..., Any]:
    def watched(error: BaseException, file: Any = None) -> None:
        show(error, file)
        _missing_app.append(error)

    return watched


def _unwrapper(kind: type) -> Callable[[BaseException], BaseException | None]:
    def unwrap(error: BaseException) -> BaseException | None:
        # Its message is the traceback of the ImportError.
        inner = error.__context__
        return inner if isinstance(error, kind) and isinstance(inner, ImportError) else None

    return unwrap


_PACKAGES = ("flask", "click", "werkzeug", "devpatch")


def _observe_main(wrapped: Callable[..., Any], group: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    except SystemExit as error:
        if _missing_app:
            loads.listener.exited(_missing_app[0])
        else:
            sessions.command_exited(error, _PACKAGES)
        raise


# run_command loads the application before a start is reported, so these patches are made at the import.
ENTRY_PATCHES = (
    Register("flask.cli", "NoAppException", Capability.CHECKS, _unwrapper, failures.unwrappers),
    Register("flask.cli", "NoAppException", Capability.PLACES, lambda _: "FLASK_APP", places.variables),
    Replace("flask.cli", "traceback", Capability.WORKERS, _make_traceback, ("print_exc",)),
    Decorate("flask.cli", "NoAppException.show", Capability.FIRST_START, _watch_show),
    Wrap("flask.cli", "FlaskGroup.main", Capability.FIRST_START, _observe_main, ("group",)),
)
