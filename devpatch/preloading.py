"""What a worker that waits for its turn imports meanwhile: wrapt and what of devpatch it will need in any case.

Only where the user's code can't tell that from an import in its turn. It could where a file of its own has
the name of a module of the standard library, which has then been imported from there; where it brings a
wrapt of its own; and where gevent or eventlet wants to be before what it patches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder

_WANT_TO_BE_FIRST = ("gevent", "eventlet")


def found() -> str | None:
    """Return where this worker's code finds wrapt, for the next one; None where that is to import nothing early."""
    if any(name in sys.modules for name in _WANT_TO_BE_FIRST):
        return None
    # Searched for anew: this worker may have imported early what the code would now find elsewhere.
    spec = PathFinder.find_spec("wrapt")
    return spec.origin if spec is not None else None


def is_hidden(folders: Iterable[str]) -> bool:
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


def preload(wrapt: str) -> None:
    """Import early, where that gets the ``wrapt`` that ``found`` returned. Never raises."""
    try:
        spec = PathFinder.find_spec("wrapt")
        if spec is not None and spec.origin == wrapt:
            from . import draining, failures, integrations, serving  # noqa: F401
    except Exception:
        pass  # What is wrong with it is told in its turn.
