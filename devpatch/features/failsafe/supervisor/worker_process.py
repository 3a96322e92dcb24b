"""A worker process as its supervisor sees it: its start, its reports, its end, and what that end means."""

from __future__ import annotations

import enum
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ....lifecycle import loads
from ....lifecycle.sessions import Session
from .. import ipc
from ..failure import Failure
from ..ipc import Report
from ..worker import draining, preloading

# A worker has so many seconds to end after SIGTERM. Stock, it is killed immediately.
STOP_LIMIT = 0.7
# Ctrl-C reaches the terminal's whole process group, so the worker ends by itself.
INTERRUPT_LIMIT = 0.6
# A child of the worker may hold its end of the wake-up socket, so the worker's end is polled as well.
_POLL_INTERVAL = 0.2  # seconds
_LAST_POLL_INTERVAL = 0.002  # the same once the socket is closed: the worker ends now
_STDERR_LINES = 50
_OUR_FRAME = f'  File "{Path(__file__).parents[3]}{os.sep}'


class Verdict(enum.Enum):
    """What the end of a worker means for the session."""

    RELOAD = "reload"  # the next one is due
    MOVED = "moved"  # the next one is due, at another address
    ENDED = "ended"  # the session ends with it
    INTERRUPTED = "interrupted"  # by Ctrl-C, or by an exception of that kind
    BROKEN = "broken"  # it ended because of the code


# Somebody wants the session to end by one of these. The code is not the reason.
_ENDING_SIGNALS = frozenset(
    -getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
_WINDOWS_INTERRUPT = 0xC000013A  # STATUS_CONTROL_C_EXIT


class Worker:
    """One worker, from its start to its end."""

    def __init__(
        self,
        session: Session,
        listener_descriptor: int | None,
        parent_folder: Path,
        before: Worker | None = None,
    ) -> None:
        """Start it. It gets a folder in ``parent_folder``. Raises OSError.

        With a worker ``before`` it, it is a standby: its interpreter starts while that one comes to its end, and
        it runs none of the user's code before ``go``.
        """
        self.folder = Path(tempfile.mkdtemp(dir=parent_folder))
        self._script = script_of(session.command)
        self.started_at = time.time()  # seconds since the epoch, to be compared with those of files
        self._wakeup, its_end = socket.socketpair()
        with its_end:
            its_end.set_inheritable(True)
            session_of_worker = ipc.WorkerSession(
                folder=str(self.folder),
                listener=listener_descriptor,
                address=session.address if listener_descriptor else None,
                wakeup=its_end.fileno(),
                waits=before is not None,
                wrapt=None if before is None else before.wrapt(),
            )
            environ = {**session.environ, ipc.VARIABLE: session_of_worker.to_text()}
            with _interrupts_blocked(before is not None):
                self._process = subprocess.Popen(session.command, env=environ, close_fds=False)
        self._wakeup.setblocking(False)
        self._wakeup_is_open = True
        self._closed_at = 0.0
        self._read = 0
        self._reports: dict[Report, dict[str, Any]] = {}

    def go(self) -> bool:
        """Let a standby go on. Return False if it had ended before."""
        self.started_at = time.time()
        # Not checked afterwards: on a busy machine it may have run the code to its end by then.
        if self.has_ended():
            return False
        try:
            self._wakeup.send(b"!")
        except OSError:
            return False
        return True

    @property
    def status(self) -> int:
        """Its exit status once it ended, or minus the number of the signal that ended it."""
        return self._process.returncode

    def wait(self, seconds: float) -> bool:
        """Whether it ended within ``seconds``."""
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.listen(left)
        return True

    def listen(self, seconds: float) -> None:
        """Return once it has reported something, or ends, or after ``seconds`` at most."""
        if self._wakeup_is_open:
            if select.select([self._wakeup], [], [], min(seconds, _POLL_INTERVAL))[0]:
                try:
                    self._wakeup_is_open = bool(self._wakeup.recv(4096))
                except OSError:
                    self._wakeup_is_open = False
                self._closed_at = time.monotonic()
        else:
            ends_now = time.monotonic() - self._closed_at < _POLL_INTERVAL
            time.sleep(min(seconds, _LAST_POLL_INTERVAL if ends_now else _POLL_INTERVAL))

    def has_ended(self) -> bool:
        """Whether it ended."""
        if os.getpid() != 1:
            return self._process.poll() is not None
        for pid, status in reap():
            if pid == self._process.pid:
                self._process.returncode = status
        return self._process.returncode is not None

    def stop(self) -> None:
        """End it by SIGTERM, or else by force."""
        if self._process.returncode is None:
            self._process.terminate()
            if not self.wait(STOP_LIMIT):
                self._process.kill()
                while not self.wait(_POLL_INTERVAL):
                    pass

    def replace(self) -> None:
        """End it for the next one. Its requests are answered where the system has a signal for that."""
        (self.folder / ipc.REPLACED).touch()
        self._process.terminate()
        self.wait(draining.LIMIT)
        self.stop()

    def reports(self) -> dict[Report, dict[str, Any]]:
        """Return what it has reported so far."""
        try:
            with open(self.folder / ipc.REPORTS, "rb") as file:
                file.seek(self._read)
                lines = file.read().splitlines(keepends=True)
        except OSError:
            return self._reports
        for line in lines:
            if line.endswith(b"\n"):  # Else it is being written.
                self._read += len(line)
                details = json.loads(line)
                self._reports[Report(details.pop("report"))] = details
        return self._reports

    def wrapt(self) -> str | None:
        """Return the file of wrapt that the next worker may import before its turn, or None."""
        found: str | None = self.reports().get(Report.SERVING, {}).get("wrapt")
        return None if preloading.hides_standard_library(sys.path) else found

    def verdict(self) -> Verdict:
        """Return what its end means."""
        reports = self.reports()
        if Report.MOVED in reports:
            return Verdict.MOVED
        if self.status in (-signal.SIGINT, _WINDOWS_INTERRUPT):
            return Verdict.INTERRUPTED
        if Report.FAILED in reports:
            return Verdict.BROKEN
        if Report.RELOADING in reports:
            return Verdict.RELOAD
        if Report.ENDED in reports or self.status in _ENDING_SIGNALS:
            return Verdict.ENDED
        return Verdict.BROKEN

    def failure(self) -> Failure:
        """Return why it is broken."""
        reported = self.reports().get(Report.FAILED)
        if reported is not None:
            files = (*reported["files"], *reported["modules"])
            chain, paths = tuple(reported["chain"]), tuple(reported["paths"])
            return Failure(reported["summary"], reported["text"], chain, files, paths)
        what = describe_end(self.status)
        if self._script is not None and not os.path.exists(self._script):
            what = f"{what}: {self._script} is not there"
        parts = [what, self.fault(), self._last_lines()]
        return Failure(what, "\n\n".join(part for part in parts if part) + "\n", was_printed=False)

    def end(self) -> loads.End:
        """Return how it ended."""
        what = describe_end(self.status)
        if self.status >= 0:
            return loads.End(what, self.status, None)
        return loads.End(what, None, _name_of_signal(-self.status))

    def fault(self) -> str:
        """Return the C-level traceback of a crash, or an empty string."""
        lines = self._text(ipc.FAULT).splitlines()
        return "\n".join(line for line in lines if not line.startswith(_OUR_FRAME))

    def _last_lines(self) -> str:
        lines = self._text(ipc.STDERR).splitlines()
        parts = ["The last lines that it wrote to stderr:", "", *lines[-_STDERR_LINES:], ""] if lines else []
        return "\n".join([*parts, "The terminal has what other code than Python's wrote."])

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_bytes().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def forget(self) -> None:
        """Remove what it left on the disk."""
        self._wakeup.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def _interrupts_blocked(wanted: bool) -> Iterator[None]:
    """Block Ctrl-C in a process that is started here, until ``process.begin`` unblocks it there.

    An interpreter that is interrupted while it starts prints much. Here the signal comes afterwards.
    """
    if not (wanted and hasattr(signal, "pthread_sigmask")):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def script_of(command: Any) -> str | None:
    """Return the script that an interpreter's command runs, or None for a module."""
    arguments = [str(part) for part in command[1:]]
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in ("-m", "-c"):
            return None
        if option in ("-W", "-X") and arguments:
            arguments.pop(0)
    return os.path.abspath(arguments[0]) if arguments else None


def describe_end(status: int) -> str:
    """Return how a process ended, for a person."""
    if status >= 0:
        return f"the worker ended with exit status {status}"
    return f"the worker was ended by {_name_of_signal(-status)}"


def _name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reap() -> list[tuple[int, int]]:
    """As process 1 of a container, collect children that ended. They would stay as zombies."""
    ended = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended
