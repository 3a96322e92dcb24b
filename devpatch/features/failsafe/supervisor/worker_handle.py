"""A worker process as its supervisor sees it: its start, its reports, its end, and what that end means."""

from __future__ import annotations

import enum
import json
import os
import re
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

from ....console import shown_path
from ....lifecycle import loads
from ....lifecycle.failures import is_own
from ....lifecycle.sessions import Session
from .. import ipc
from ..failure import Failure
from ..ipc import Report
from ..worker import draining, preloading
from .command_lines import script_of

# Seconds for a worker to end after SIGTERM. The frameworks' own reloaders kill it immediately.
STOP_LIMIT = 0.7
# Seconds for a worker to end after Ctrl-C, which reaches the terminal's whole process group.
INTERRUPT_LIMIT = 0.6
# A child of the worker may keep the wake-up socket open, so the end of the worker is polled as well.
_POLL_INTERVAL = 0.2  # seconds
_LAST_POLL_INTERVAL = 0.002  # the same just after the socket was closed: the worker is about to end
_STDERR_LINES = 50
# A line of faulthandler's tracebacks, which begin with the innermost frame.
_FRAME = re.compile(r'  File "(.+)", line (\d+) in (.+)')
_OUR_FRAME = f'  File "{Path(__file__).parents[3]}{os.sep}'


class Verdict(enum.Enum):
    """What the end of a worker means for the session."""

    RELOAD = "reload"  # the next worker is due
    MOVED = "moved"  # the next worker is due, at another address
    ENDED = "ended"  # the session ends with it
    INTERRUPTED = "interrupted"  # by Ctrl-C, or by a KeyboardInterrupt of the code
    BROKEN = "broken"  # it ended because of the code


# The exit statuses for signals that somebody sends to end the session. The code is not the reason.
_ENDING_SIGNALS = frozenset(
    -getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
_WINDOWS_INTERRUPT = 0xC000013A  # STATUS_CONTROL_C_EXIT


class WorkerHandle:
    """One worker, from its start to its end."""

    def __init__(
        self,
        session: Session,
        listener_descriptor: int | None,
        parent_folder: Path,
        before: WorkerHandle | None = None,
    ) -> None:
        """Start the process. It gets its own folder in ``parent_folder``. Raises OSError.

        ``listener_descriptor`` is the listening socket to adopt, or None. If ``before`` is given, the new worker is
        a standby: its interpreter starts while the worker ``before`` ends, and runs none of the user's code until
        ``go``.
        """
        self.folder = Path(tempfile.mkdtemp(dir=parent_folder))
        self._script = script_of(session.command)
        self.started_at = time.time()  # seconds since the epoch, compared with the times of files
        self._wakeup, worker_end = socket.socketpair()
        with worker_end:
            worker_end.set_inheritable(True)
            worker_session = ipc.WorkerSession(
                folder=str(self.folder),
                listener=listener_descriptor,
                address=session.address if listener_descriptor else None,
                wakeup=worker_end.fileno(),
                waits=before is not None,
                wrapt=None if before is None else before.wrapt(),
            )
            environ = {**session.environ, ipc.VARIABLE: worker_session.to_text()}
            with _interrupts_blocked(before is not None):
                self._process = subprocess.Popen(session.command, env=environ, close_fds=False)
        self._wakeup.setblocking(False)
        self._wakeup_is_open = True
        self._closed_at = 0.0
        self._read = 0
        self._reports: dict[Report, dict[str, Any]] = {}

    def go(self) -> bool:
        """Let a standby run the user's code. Return False if it has ended."""
        self.started_at = time.time()
        # Checked before it is woken: after that, the code may already have ended it, on a busy machine.
        if self.has_ended():
            return False
        try:
            self._wakeup.send(b"!")
        except OSError:
            return False
        return True

    @property
    def status(self) -> int:
        """The exit status, or minus the number of the signal that ended the worker. Valid once it has ended."""
        return self._process.returncode

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the worker to end. Return whether it has ended."""
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.listen(left)
        return True

    def listen(self, seconds: float) -> None:
        """Wait for a report or the end of the worker, at most ``seconds``. May return earlier."""
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
        """Whether the worker has ended."""
        if os.getpid() != 1:
            return self._process.poll() is not None
        for pid, status in reap():
            if pid == self._process.pid:
                self._process.returncode = status
        return self._process.returncode is not None

    def stop(self) -> None:
        """Terminate the worker. Kill it if it has not ended after ``STOP_LIMIT`` s."""
        if self._process.returncode is None:
            self._process.terminate()
            if not self.wait(STOP_LIMIT):
                self._process.kill()
                while not self.wait(_POLL_INTERVAL):
                    pass

    def replace(self) -> None:
        """End the worker, so that the next one can start. On POSIX systems, it drains its requests first."""
        (self.folder / ipc.REPLACED).touch()
        self._process.terminate()
        self.wait(draining.LIMIT)
        self.stop()

    def reports(self) -> dict[Report, dict[str, Any]]:
        """Return what the worker has reported so far."""
        try:
            with open(self.folder / ipc.REPORTS, "rb") as file:
                file.seek(self._read)
                lines = file.read().splitlines(keepends=True)
        except OSError:
            return self._reports
        for line in lines:
            if line.endswith(b"\n"):  # Otherwise the line is still being written.
                self._read += len(line)
                details = json.loads(line)
                self._reports[Report(details.pop("report"))] = details
        return self._reports

    def has_reported_end(self) -> bool:
        """Whether the worker has reported why it ends."""
        return not {Report.FAILED, Report.RELOADING, Report.ENDED, Report.MOVED}.isdisjoint(self.reports())

    def prompts(self) -> bool:
        """Whether a prompt or a debugger has stopped the worker. It must not be ended then."""
        return bool(self.reports().get(Report.PROMPT, {}).get("open"))

    def reload_waits(self) -> bool:
        """Whether the worker's reloader has seen a change, and waits for a prompt or a debugger."""
        return bool(self.reports().get(Report.PROMPT, {}).get("reload_waits"))

    def wrapt(self) -> str | None:
        """Return the file of wrapt that the next worker may import while it is a standby, or None."""
        found: str | None = self.reports().get(Report.SERVING, {}).get("wrapt")
        return None if preloading.hides_standard_library(sys.path) else found

    def verdict(self) -> Verdict:
        """Return what the end of the worker means."""
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
        """Return why the worker is broken."""
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
        """Return how the worker ended."""
        what = describe_end(self.status)
        if self.status >= 0:
            return loads.End(what, self.status, None)
        return loads.End(what, None, _name_of_signal(-self.status))

    def fault(self) -> str:
        """Return the C-level traceback of a crash, or an empty string."""
        lines = [line for line in self._text(ipc.FAULT).splitlines() if not line.startswith(_OUR_FRAME)]
        threads = "\n".join(lines).split("\n\n")
        # devpatch's own threads have no frame left.
        return "\n\n".join(thread for thread in threads if not thread.endswith("(most recent call first):"))

    def holders(self) -> list[str]:
        """Return the places, as ``file:line in function``, where the threads of a worker that does not end run."""
        places = []
        for thread in self._text(ipc.HOLDERS).split("\n\n"):
            frames = [found.groups() for line in thread.splitlines() if (found := _FRAME.match(line))]
            own = [frame for frame in frames if is_own(frame[0])]
            if own:
                file, line, function = own[0]
                places.append(f"{shown_path(file)}:{line} in {function}")
        return list(dict.fromkeys(places))

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
        """Close the wake-up socket and remove the worker's folder."""
        self._wakeup.close()
        shutil.rmtree(self.folder, ignore_errors=True)


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


def describe_end(status: int) -> str:
    """Return in words how a worker ended."""
    if status >= 0:
        return f"the server process ended with exit status {status}"
    return f"the server process was ended by {_name_of_signal(-status)}"


def _name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reap() -> list[tuple[int, int]]:
    """Collect the children that ended, and return their ids and exit statuses. Only process 1 of a container needs it.

    It inherits orphaned processes, which would stay zombies.
    """
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
