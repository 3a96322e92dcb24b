"""What a worker that waits for its turn imports meanwhile: wrapt, and what of devpatch it needs in any case.

It imports only if the user's code can't notice. It would notice if a file of its own has the name of a module of
the standard library, which was then imported from there; if it has a wrapt of its own; and if gevent or eventlet
want to be imported before what they patch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import PathFinder

_MUST_BE_FIRST = ("gevent", "eventlet")


def origin_of_wrapt() -> str | None:
    """Return where this worker's code finds wrapt, for the next one. None if that one is to import nothing early."""
    if any(name in sys.modules for name in _MUST_BE_FIRST):
        return None
    # Searched again: this worker may have imported early what the code would now find elsewhere.
    spec = PathFinder.find_spec("wrapt")
    return spec.origin if spec is not None else None


def hides_standard_library(folders: Iterable[str]) -> bool:
    """Whether a file in one of ``folders`` of sys.path has the name of a module of the standard library."""
    library = os.path.dirname(os.__file__)
    for folder in folders:
        if os.path.realpath(folder or ".").startswith(os.path.realpath(library)):
            continue  # The library itself, and what is installed, which comes after it.
        try:
            names = {name.partition(".")[0] for name in os.listdir(folder or ".")}
        except OSError:
            continue
        if not names.isdisjoint(sys.stdlib_module_names):
            return True
    return False


def preload(wrapt: str, import_ahead: Callable[[], object]) -> None:
    """Call ``import_ahead`` if that finds the ``wrapt`` that ``origin_of_wrapt`` returned. Never raises."""
    try:
        spec = PathFinder.find_spec("wrapt")
        if spec is not None and spec.origin == wrapt:
            import_ahead()
    except Exception:
        pass  # What is wrong with it is reported in its turn.
