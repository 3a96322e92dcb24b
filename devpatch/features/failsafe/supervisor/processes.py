"""Start the processes of a session, and collect them in process 1 of a container."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ....lifecycle.standbys import Instructions

# Process 1 inherits orphaned processes, so it collects all in one place. These are the ids of those that somebody
# waits for, and their exit statuses.
_children: set[int] = set()
_ended: dict[int, int] = {}


@dataclass(frozen=True)
class Start:
    """How a worker's process starts.

    ``waits``: it is a standby, which runs none of the user's code until ``WorkerHandle.go``. ``wrapt``: the file of
    wrapt that a standby may import. ``is_alone``: it gets no input, no terminal and none of this process's sockets.
    """

    waits: bool = False
    wrapt: str | None = None
    instructions: Instructions | None = None
    is_alone: bool = False

    def run(self, command: Sequence[str], environ: dict[str, str], wakeup: int) -> subprocess.Popen[bytes]:
        """Run ``command``. ``wakeup`` is a descriptor that the process needs. Raises OSError."""
        with _interrupts_blocked(self.waits):
            process = self._open(command, environ, wakeup)
        _children.add(process.pid)
        return process

    def _open(self, command: Sequence[str], environ: dict[str, str], wakeup: int) -> subprocess.Popen[bytes]:
        if not self.is_alone:
            return subprocess.Popen(command, env=environ, close_fds=False)
        nothing = subprocess.DEVNULL
        options: dict[str, Any] = {"stdin": nothing, "stdout": nothing, "stderr": nothing}
        if os.name == "posix":
            options["pass_fds"] = [wakeup]
        else:  # Inheriting some sockets and not others is not possible there.
            options["close_fds"] = False
        return subprocess.Popen(command, env=environ, **options)


@contextmanager
def _interrupts_blocked(wanted: bool) -> Iterator[None]:
    """If ``wanted``, block SIGINT in a process that is started here. ``process.begin`` unblocks it there.

    An interpreter that Ctrl-C interrupts while it starts prints a traceback. So the signal has to wait.
    """
    if not (wanted and hasattr(signal, "pthread_sigmask")):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def reap() -> None:
    """Collect the children that ended. Only process 1 of a container needs it.

    It inherits orphaned processes, which would stay zombies.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        if pid in _children:
            _children.discard(pid)
            _ended[pid] = os.waitstatus_to_exitcode(status)


def status_of(pid: int) -> int | None:
    """Return the exit status of a process that ``Start.run`` has started, once, or None. Only for process 1."""
    reap()
    return _ended.pop(pid, None)
