"""The standby: the process that will be the next worker, and runs none of the user's code until then.

It starts when the worker before it begins to end. If a feature prepares standbys, it starts earlier, and gets ready.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ....lifecycle import standbys
from ....lifecycle.standbys import Instructions, Process
from .processes import Start
from .worker_handle import WorkerHandle

# Seconds after which a standby starts though the worker has not answered a request yet.
_SERVING_LIMIT = 1.0
_CHECK_INTERVAL = 2.0  # seconds between two checks of a standby that waits
# Seconds for which a look at the files stays valid that was taken while the last worker ended.
EARLY_LIMIT = 0.5


class Standby:
    """The standby of a session, if there is one."""

    def __init__(self, start: Callable[[Start], WorkerHandle]) -> None:
        """``start`` starts a process of the session."""
        self._start = start
        self._handle: WorkerHandle | None = None
        self._worker: WorkerHandle | None = None  # the worker before it, and since when that serves
        self._since = 0.0
        self._checked_at = 0.0
        self._files_checked_at = -math.inf
        self._is_unwanted = False  # the machine is short of memory

    def get_ready(self, worker: WorkerHandle) -> str | None:
        """Prepare the standby while ``worker`` serves. Called again and again; returns soon.

        Return why ``worker`` itself must be replaced by one that starts cold, or None.
        """
        preparation = standbys.preparation
        if worker is not self._worker:
            self._worker, self._since = worker, time.monotonic()
        facts = worker.facts()
        if facts is not None:
            self._since = 0.0
            preparation.learn(facts, self._launch)
            if facts["refusal"] is not None:
                self.end()
                return facts["refusal"] if worker.was_ready else None
        preparation.step()
        if self._handle is not None:
            self._check(self._handle)
        elif time.monotonic() - self._since > _SERVING_LIMIT:
            self.prepare()
        return None

    def prepare(self) -> None:
        """Start a standby that gets ready, if there is none and it can."""
        if self._handle is None and not self._is_unwanted:
            instructions = standbys.preparation.for_standby()
            if instructions is not None:
                wrapt = self._worker.wrapt() if self._worker is not None else None
                self._handle = self._start(Start(waits=True, wrapt=wrapt, instructions=instructions))
                self._checked_at = 0.0

    def _launch(self, instructions: Instructions) -> Process:
        wrapt = self._worker.wrapt() if self._worker is not None else None
        return self._start(Start(waits=True, wrapt=wrapt, instructions=instructions, is_alone=True))

    def _check(self, handle: WorkerHandle) -> None:
        """End a standby that is no use, or that the machine has no memory for."""
        if handle.has_ended():
            standbys.preparation.failed()
            self.end()
            return
        size = handle.size()
        if size is None or time.monotonic() - self._checked_at < _CHECK_INTERVAL:
            return
        if self._checked_at == 0:
            standbys.preparation.is_ready(size)
        self._checked_at = time.monotonic()
        if not standbys.preparation.may_wait(size):
            self._is_unwanted = True
            self.end()

    def start_late(self, worker: WorkerHandle) -> None:
        """Start the standby now, because ``worker`` ends, unless there is one."""
        if self._handle is None:
            self.prepare()
        if self._handle is None:
            self._handle = self._start(Start(waits=True, wrapt=worker.wrapt()))

    def check_files(self) -> None:
        """Replace a standby that has imported files which have changed since. Remember the result for ``go``."""
        if self._is_current():
            self._files_checked_at = time.monotonic()
        elif self._worker is not None:
            self.end()
            self.start_late(self._worker)

    def _is_current(self) -> bool:
        handle = self._handle
        if handle is None or handle.instructions is None:
            return True
        return standbys.preparation.is_current(handle.instructions)

    def go(self) -> WorkerHandle | None:
        """Let the standby run the user's code, and return it. None: there is none that can."""
        is_current = time.monotonic() - self._files_checked_at < EARLY_LIMIT or self._is_current()
        handle, self._handle = self._handle, None
        if handle is None:
            return None
        if is_current and handle.go():
            return handle
        if is_current and handle.instructions is not None:
            standbys.preparation.failed()
        handle.stop()
        handle.forget()
        return None

    def end(self) -> None:
        """End the standby, if there is one."""
        if self._handle is not None:
            self._handle.stop()
            self._handle.forget()
            self._handle = None
