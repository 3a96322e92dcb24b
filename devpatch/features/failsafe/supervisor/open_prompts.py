"""Say that a reload waits while a prompt or a debugger has stopped the worker.

The worker's reloader can't always say it: it does not run before the code is loaded, and a debugger may stop its
thread too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from .... import console
from .watching import Snapshot, Watcher, differences
from .worker_handle import WorkerHandle


class OpenPrompts:
    """Looks for changes while a prompt of one worker is open, and prints one line for each prompt."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._before: Snapshot | None = None  # taken when the prompt opened; None if none is open
        self._looked_at = 0.0
        self._has_said = False

    def look(self, worker: WorkerHandle, imported: Iterable[str]) -> None:
        """Print the line if a prompt is open and one of the ``imported`` files has changed since it opened."""
        if not worker.prompts():
            self._before = None
            self._has_said = False
        elif worker.reload_waits():
            self.say()
        elif not self._has_said:
            self._look_for_change(set(imported))

    def _look_for_change(self, imported: set[str]) -> None:
        if self._before is not None and time.monotonic() - self._looked_at < self._watcher.interval:
            return
        snapshot = self._watcher.look()
        self._looked_at = time.monotonic()
        if self._before is None:
            self._before = snapshot
        elif not imported.isdisjoint(differences(self._before, snapshot)):
            self.say()

    def say(self) -> None:
        """Print that a reload waits, once for each prompt."""
        if not self._has_said:
            self._has_said = True
            console.say(
                "fail-safe: a file changed; the reload waits until the prompt or the debugger goes on"
            )
