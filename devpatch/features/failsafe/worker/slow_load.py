"""Report what a worker that takes long to load is importing.

Limits: the names come from an attribute of module specs that importlib sets while a module is executed. It is not
documented. Without it, the report names no module.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable

LIMIT = 5.0  # seconds after which a load counts as slow


class SlowLoad:
    """Reports a slow load, unless ``done`` is called in time.

    The thread is not one of ``threading``: gevent and others replace that module while the code is loaded.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        """Call ``report`` with the name of the module that is being imported, or an empty string, in a thread."""
        self._report = report
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _thread.start_new_thread(self._wait, ())

    def done(self) -> None:
        """Report nothing from now on. A second call does nothing."""
        if self._done.locked():
            self._done.release()

    def _wait(self) -> None:
        if not self._done.acquire(timeout=LIMIT):
            self._report(_module_in_progress())


def _module_in_progress() -> str:
    """Return the name of the module whose import began last and is not finished, or an empty string."""
    for name, module in reversed(list(sys.modules.items())):
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            return name
    return ""
