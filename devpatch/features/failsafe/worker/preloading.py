"""The imports of a standby while it waits: wrapt, and the parts of devpatch that every worker needs.

A standby imports them only if the user's code can't notice. There are three cases in which the code could notice: a
file of the project has the name of a standard module, the project has its own wrapt, or gevent or eventlet must be
imported before the modules that they patch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import PathFinder

_MUST_BE_FIRST = ("gevent", "eventlet")


def origin_of_wrapt() -> str | None:
    """Return the file of wrapt that this worker's code finds. None if the next worker must not import it early."""
    if any(name in sys.modules for name in _MUST_BE_FIRST):
        return None
    # Searched again: this worker may have imported wrapt early, and the code may now find another one.
    spec = PathFinder.find_spec("wrapt")
    return spec.origin if spec is not None else None


def hides_standard_library(folders: Iterable[str]) -> bool:
    """Whether a file in one of ``folders`` of sys.path has the name of a standard module."""
    library = os.path.dirname(os.__file__)
    for folder in folders:
        if os.path.realpath(folder or ".").startswith(os.path.realpath(library)):
            continue  # The library itself, and site-packages in it, which is searched later.
        try:
            names = {name.partition(".")[0] for name in os.listdir(folder or ".")}
        except OSError:
            continue
        if not names.isdisjoint(sys.stdlib_module_names):
            return True
    return False


def preload(wrapt: str, import_ahead: Callable[[], object]) -> None:
    """Call ``import_ahead`` if this process finds wrapt in the file ``wrapt``. Never raises.

    ``wrapt`` is what ``origin_of_wrapt`` returned in the last worker.
    """
    try:
        spec = PathFinder.find_spec("wrapt")
        if spec is not None and spec.origin == wrapt:
            import_ahead()
    except Exception:
        pass  # The worker reports the error when it imports the module again.
