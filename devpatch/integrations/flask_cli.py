"""flask.cli: an application that ``flask run`` could not load.

In a reloader's worker it prints the traceback and serves a stand-in, so the call that prints it is where we
hear of it: a wrapper around the loading would put frames of ours into that traceback. At the first start the
command ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import first_start, serving, worker
from ..connections import frames
from ..patching import Capability, Overlay, Surround, Wrap, overlaid


def _make_traceback(traceback: ModuleType) -> ModuleType:
    def print_exc(*args: Any, **kwargs: Any) -> None:
        traceback.print_exc(*args, **kwargs)
        error = sys.exc_info()[1]
        if error is not None:
            worker.failed(error)

    return overlaid(traceback, print_exc=print_exc)


# The one usage error that an edit may mend; click tells what it exits for by showing it.
_missing_app: list[BaseException] = []


def _watch_show(show: Callable[..., Any]) -> Callable[..., Any]:
    def watched(error: BaseException, file: Any = None) -> None:
        show(error, file)
        _missing_app.append(error)

    return watched


_OWN_EXITS = ("flask", "click", "werkzeug", "devpatch")


def _observe_main(wrapped: Callable[..., Any], group: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    except SystemExit as error:
        *_outer, innermost = frames(error.__traceback__)
        if _missing_app:
            first_start.hold(_missing_app[0], from_command_line=True)
        elif str(innermost.f_globals.get("__name__")).partition(".")[0] not in _OWN_EXITS:
            serving.command_line_left(error)
        raise


# run_command begins to run before any server is reported, so it is patched when the module is imported.
ENTRY_PATCHES = (
    Overlay("flask.cli", "traceback", Capability.WORKERS, _make_traceback, ("print_exc",)),
    Surround("flask.cli", "NoAppException.show", Capability.FIRST_START, _watch_show, ("error",)),
    Wrap("flask.cli", "FlaskGroup.main", Capability.FIRST_START, _observe_main, ("group",)),
)
