"""When the worker's reloader looks at its files.

The first look comes after the first answer, because the interpreter runs one thread at a time: a look of 40 ms would
delay the load of the code by as much. The supervisor watches the files until then. The next looks come as soon as the
supervisor sends a message, or after a long time.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

from ....lifecycle import file_changes, sessions
from ....lifecycle.endings import ending
from ....lifecycle.requests import Request

NET = 10.0  # seconds between two looks that nobody asked for, at least
# A look at 10,000 files takes 0.1 s. So after a look that took long, the next one comes later.
_LOOKS_PER_NET = 1000
_LONGEST_NET = 60.0  # seconds
_LOAD_LIMIT = 10.0  # seconds; a program may never serve
_ANSWER_LIMIT = 0.3  # seconds from the end of the load; nobody may send a request
_STEP = 0.02  # seconds


class Pauses(file_changes.Pauses):
    """Until the supervisor's first message, the reloader sleeps as it always did."""

    def __init__(self) -> None:
        self._is_notified = False
        self._has_answered = False
        self._is_look_due = False  # because a message came before the first look
        self._reported: object = None
        # Seconds of the processor that this thread had used when it last woke up. It has slept first, then it looks.
        self._busy_until = math.inf

    def note_answer(self, request: Request) -> None:
        """Record that a request is answered."""
        self._has_answered = True

    def before_first_look(self) -> None:
        """See file_changes.Pauses."""
        self._wait(lambda: sessions.worker.is_serving, _LOAD_LIMIT)
        self._wait(lambda: self._has_answered, _ANSWER_LIMIT)

    def _wait(self, is_over: Callable[[], bool], limit: float) -> None:
        deadline = time.monotonic() + limit
        while not is_over() and time.monotonic() < deadline and not ending.requested:
            if sessions.worker.wait_for_message(_STEP):
                self._is_notified = self._is_look_due = True

    def sleep(self, seconds: float) -> None:
        """See file_changes.Pauses."""
        self._report()
        if self._is_look_due:
            self._is_look_due = False
            return
        look = time.thread_time() - self._busy_until
        net = min(max(NET, look * _LOOKS_PER_NET), _LONGEST_NET)
        # Django lists the files of the modules when modules were imported since its last look, and a file that is
        # gone just then stays off its list. So it looks as soon as it always did after an import.
        modules = len(sys.modules)
        deadline = time.monotonic() + (net if self._is_notified else seconds)
        while len(sys.modules) == modules and not ending.requested:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if sessions.worker.wait_for_message(min(left, seconds)):
                self._is_notified = True
                break
        self._busy_until = time.thread_time()

    def _report(self) -> None:
        """Report to the supervisor what the reloader watches, if that is new."""
        watched = file_changes.watched()
        described = (frozenset(watched.files), frozenset(watched.folders))
        if described != self._reported:
            self._reported = described
            sessions.worker.reports_watched(watched)
