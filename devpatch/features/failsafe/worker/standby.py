"""This process as a standby: it waits until the supervisor wakes it.

A thread waits for the supervisor's message, so that the standby can do something else meanwhile. It ends before any of
the user's code runs. If the supervisor ends, or at Ctrl-C, the standby ends silently.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
from pathlib import Path

_STOPPED = 0  # the exit status of a standby that is not needed


class Standby:
    """Begins to wait when it is created."""

    def __init__(self, wakeup: socket.socket) -> None:
        """Take the worker's end of the socket pair."""
        self._handler = signal.getsignal(signal.SIGINT)
        if self._handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        self._wakeup = wakeup
        self._waiting = _thread.allocate_lock()
        self._waiting.acquire()
        _thread.start_new_thread(self._wait, ())

    def _wait(self) -> None:
        try:
            received = self._wakeup.recv(1)
        except OSError:
            received = b""
        if not received:
            os._exit(_STOPPED)
        self._waiting.release()

    def is_due(self) -> bool:
        """Whether the supervisor has woken this process."""
        return not self._waiting.locked()

    def wait(self) -> None:
        """Wait until the supervisor wakes this process."""
        self._waiting.acquire()
        self._waiting.release()
        if self._handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handler)


def memory_size() -> int:
    """Return the bytes of memory that this process uses, or 0 if that is not known (elsewhere than on Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
