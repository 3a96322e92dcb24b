"""flask.cli: an application that ``flask run`` could not load, for which it serves a stand-in.

In a reloader's worker it prints the traceback and goes on, so the call that prints it is where we hear of it:
a wrapper around the loading would put frames of ours into that traceback.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .. import worker
from ..patching import Capability, Overlay, overlaid


def _make_traceback(traceback: ModuleType) -> ModuleType:
    def print_exc(*args: Any, **kwargs: Any) -> None:
        traceback.print_exc(*args, **kwargs)
        error = sys.exc_info()[1]
        if error is not None:
            worker.failed(error)

    return overlaid(traceback, print_exc=print_exc)


# run_command begins to run before any server is reported, so it is patched when the module is imported.
ENTRY_PATCHES = (Overlay("flask.cli", "traceback", Capability.WORKERS, _make_traceback, ("print_exc",)),)
