"""A worker process, seen from its supervisor: its start, its reports, its end, and what that end means."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import draining, loads, preloading, worker
from ...supervision import Session
from ...worker import Report

# A worker has so many seconds to end when it is asked to; stock, it is killed at once.
STOP_LIMIT = 0.7
# After Ctrl-C, which the whole terminal's process group gets, it ends by itself.
INTERRUPT_LIMIT = 0.6
# A bell that a process of the worker's holds does not tell of its end, so that is looked for as well.
_LOOK = 0.2  # seconds
_LAST_LOOKS = 0.002  # the same, once the bell is gone: it ends now
_STDERR_LINES = 50
_OUR_FRAME = f'  File "{Path(worker.__file__).parent}{os.sep}'


class Verdict(enum.Enum):
    """What the end of a worker means for the session."""

    RELOAD = "reload"  # the next one is due
    MOVED = "moved"  # the next one is due, at another address
    ENDED = "ended"  # the session ends with it
    INTERRUPTED = "interrupted"  # by Ctrl-C, or by an exception of that kind
    BROKEN = "broken"  # it ended because of the code


# Who sends one of these wants an end; no edit of code has to do with it.
_ENDING_SIGNALS = frozenset(
    -getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
_WINDOWS_INTERRUPT = 0xC000013A  # STATUS_CONTROL_C_EXIT


@dataclass(frozen=True)
class Failure:
    """Why a worker is broken: ``text`` is its traceback, or what is known where there is none."""

    summary: str
    text: str
    chain: tuple[
        dict[str, Any], ...
    ] = ()  # as ``devpatch.failures`` describes it; empty where there is no exception
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    was_printed: bool = True  # whether the terminal has seen it


class Worker:
    """One worker, from its start to its end."""

    def __init__(
        self, session: Session, listener_descriptor: int | None, home: Path, before: Worker | None = None
    ) -> None:
        """Start it. ``home`` is where it gets its folder. Raises OSError.

        With a worker ``before`` it, it runs no code of the user's before ``go``: its interpreter starts while
        that other one comes to its end.
        """
        self.folder = Path(tempfile.mkdtemp(dir=home))
        self._script = script_of(session.command)
        self.started_at = time.time()  # seconds since the epoch, to be compared with those of files
        self._bell, its_end = socket.socketpair()
        with its_end:
            its_end.set_inheritable(True)
            facts = worker.describe(
                folder=str(self.folder),
                listener=listener_descriptor,
                address=session.address if listener_descriptor else None,
                bell=its_end.fileno(),
                waits=before is not None,
                wrapt=None if before is None else before.wrapt(),
            )
            with _interrupts_blocked(before is not None):
                self._process = subprocess.Popen(
                    session.command, env={**session.environ, worker.VARIABLE: facts}, close_fds=False
                )
        self._bell.setblocking(False)
        self._bell_is_there = True
        self._bell_left_at = 0.0
        self._read = 0
        self._reports: dict[Report, dict[str, Any]] = {}

    def go(self) -> bool:
        """Let one that waits go on; False where it had ended before."""
        self.started_at = time.time()
        # Not asked afterwards: it may have run the code to its end by then, on a busy machine.
        if self.has_ended():
            return False
        try:
            self._bell.send(b"!")
        except OSError:
            return False
        return True

    @property
    def status(self) -> int:
        """Its exit status, once it ended; minus the number of the signal that ended it."""
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
        """Return once it has told something, or ends, or as much as ``seconds`` later, maybe before."""
        if self._bell_is_there:
            if select.select([self._bell], [], [], min(seconds, _LOOK))[0]:
                try:
                    self._bell_is_there = bool(self._bell.recv(4096))
                except OSError:
                    self._bell_is_there = False
                self._bell_left_at = time.monotonic()
        else:
            ends_now = time.monotonic() - self._bell_left_at < _LOOK
            time.sleep(min(seconds, _LAST_LOOKS if ends_now else _LOOK))

    def has_ended(self) -> bool:
        """Whether it ended."""
        if os.getpid() != 1:
            return self._process.poll() is not None
        for pid, status in reap():
            if pid == self._process.pid:
                self._process.returncode = status
        return self._process.returncode is not None

    def stop(self) -> None:
        """Have it end, as SIGTERM does or else for good."""
        if self._process.returncode is None:
            self._process.terminate()
            if not self.wait(STOP_LIMIT):
                self._process.kill()
                while not self.wait(_LOOK):
                    pass

    def relieve(self) -> None:
        """Have it end for the next one, its requests answered, where the system has a signal for that."""
        (self.folder / worker.RELIEVED).touch()
        self._process.terminate()
        self.wait(draining.LIMIT)
        self.stop()

    def reports(self) -> dict[Report, dict[str, Any]]:
        """Return what it has told so far."""
        try:
            with open(self.folder / worker.REPORTS, "rb") as file:
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
        """Return the file of wrapt that the worker after this one may import before its turn, if any."""
        found: str | None = self.reports().get(Report.SERVING, {}).get("wrapt")
        return None if preloading.is_hidden(sys.path) else found

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
        told = self.reports().get(Report.FAILED)
        if told is not None:
            files = (*told["files"], *told["modules"])
            return Failure(told["summary"], told["text"], tuple(told["chain"]), files, tuple(told["paths"]))
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
        """Return the C-level traceback of a crash; empty where it left none."""
        lines = self._text(worker.FAULT).splitlines()
        return "\n".join(line for line in lines if not line.startswith(_OUR_FRAME))

    def _last_lines(self) -> str:
        lines = self._text(worker.STDERR).splitlines()
        parts = ["The last lines that it wrote to stderr:", "", *lines[-_STDERR_LINES:], ""] if lines else []
        return "\n".join([*parts, "What other than Python code wrote stands in the terminal."])

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_bytes().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def forget(self) -> None:
        """Remove what it left on the disk."""
        self._bell.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def _interrupts_blocked(wanted: bool) -> Iterator[None]:
    """Have a process that is started here not hear of Ctrl-C, before ``worker.begin`` unblocks that.

    An interpreter that is interrupted while it starts says so at length. Here the signal comes afterwards.
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
    """Return the script that a command of an interpreter runs; None for a module."""
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
    """As process 1 of a container, take note of children that ended, who else would stay as zombies."""
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
