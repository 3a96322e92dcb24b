"""Wait, in the reloader's thread, for a message from the supervisor.

Limits: on Windows, Ctrl-C does not interrupt ``select``. So the wait is divided into short parts there.
"""

from __future__ import annotations

import atexit
import math
import os
import select
import socket
import time

from ....lifecycle.endings import ending

_INTERVAL_ALONE = 1.0  # seconds of a wait after the supervisor has ended
_LONGEST_PART = 0.5 if os.name == "nt" else math.inf  # seconds


class Messages:
    """The bytes that the supervisor sends over the wake-up socket while the worker serves."""

    def __init__(self, wakeup: socket.socket) -> None:
        """Take the worker's end of the socket pair."""
        self._wakeup = wakeup
        self._is_open = True
        # The request of the process's end, by another thread, must end the wait too.
        self._nudged, self._nudge = socket.socketpair()
        for end in (self._nudged, self._nudge):
            end.setblocking(False)
            # The end of the process closes it. An open socket object would cause a ResourceWarning.
            atexit.register(end.detach)
        ending.on_request(self._wake)

    def _wake(self) -> None:
        try:
            self._nudge.send(b"!")
        except OSError:
            pass  # The process ends.

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for a message, and return whether there was one. See sessions.Worker."""
        deadline = time.monotonic() + seconds
        while self._is_open and not ending.requested:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            ready = select.select([self._wakeup, self._nudged], [], [], min(left, _LONGEST_PART))[0]
            if self._wakeup in ready:
                return self._take()
        ending.sleep(max(0.0, min(deadline - time.monotonic(), _INTERVAL_ALONE)))
        return False

    def _take(self) -> bool:
        try:
            received = self._wakeup.recv(4096)
        except OSError:
            received = b""
        self._is_open = bool(received)  # Otherwise the supervisor has ended.
        return self._is_open
