"""A worker process, seen from its supervisor: its start, its reports, its end, and what that end means."""

from __future__ import annotations

import enum
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import draining, worker
from ...supervision import Session
from ...worker import Report

# A worker has so many seconds to end when it is asked to; stock, it is killed at once.
STOP_LIMIT = 0.7
# After Ctrl-C, which the whole terminal's process group gets, it ends by itself.
INTERRUPT_LIMIT = 0.6
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

    def __init__(self, session: Session, listener_descriptor: int | None, home: Path) -> None:
        """Start it. ``home`` is where it gets its folder. Raises OSError."""
        self.folder = Path(tempfile.mkdtemp(dir=home))
        self._script = script_of(session.command)
        facts = worker.describe(
            str(self.folder), listener_descriptor, session.address if listener_descriptor else None
        )
        self.started_at = time.time()  # seconds since the epoch, to be compared with those of files
        self._process = subprocess.Popen(
            session.command, env={**session.environ, worker.VARIABLE: facts}, close_fds=False
        )
        self._read = 0
        self._reports: dict[Report, dict[str, Any]] = {}

    @property
    def status(self) -> int:
        """Its exit status, once it ended; minus the number of the signal that ended it."""
        return self._process.returncode

    def wait(self, seconds: float | None) -> bool:
        """Whether it ended within ``seconds`` (None: however long it takes)."""
        if os.getpid() == 1:
            return self._wait_as_init(seconds)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _wait_as_init(self, seconds: float | None) -> bool:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._process.returncode is None:
            for pid, status in reap():
                if pid == self._process.pid:
                    self._process.returncode = status
            if self._process.returncode is None:
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                time.sleep(0.02 if seconds is not None else 0.1)
        return True

    def stop(self) -> None:
        """Have it end, as SIGTERM does or else for good."""
        if self._process.returncode is None:
            self._process.terminate()
            if not self.wait(STOP_LIMIT):
                self._process.kill()
                self.wait(None)

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

    def fault(self) -> str:
        """Return the C-level traceback of a crash; empty where it left none."""
        lines = self._text(worker.FAULT).splitlines()
        return "\n".join(line for line in lines if not line.startswith(_OUR_FRAME))

    def _last_lines(self) -> str:
        lines = self._text(worker.STDERR).splitlines()
        if not lines:
            return ""
        return "\n".join(["The last lines that it wrote to stderr:", "", *lines[-_STDERR_LINES:]])

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_bytes().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def forget(self) -> None:
        """Remove what it left on the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


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
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"the worker was ended by {name}"


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
