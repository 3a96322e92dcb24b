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
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ....console import shown_path
from ....lifecycle import loads, standbys
from ....lifecycle.failures import is_own
from ....lifecycle.sessions import Session
from ....lifecycle.standbys import Facts
from .. import ipc
from ..failure import Failure
from ..ipc import Report
from ..worker import draining, preloading
from . import processes
from .processes import Start

# Seconds for a worker to end after SIGTERM. The frameworks' own reloaders kill it immediately.
STOP_LIMIT = 0.7
# Seconds for a worker to end after Ctrl-C, which reaches the terminal's whole process group.
INTERRUPT_LIMIT = 0.6
# A child of the worker may keep the wake-up socket open, so the end of the worker is polled as well.
_POLL_INTERVAL = 0.5  # seconds; it keeps the processor from sleeping, so it is long
END_POLL_INTERVAL = 0.05  # seconds; the same for a worker that is about to end
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
        script: str | None,
        listener_descriptor: int | None,
        parent_folder: Path,
        start: Start = Start(),  # noqa: B008, it can't be changed
    ) -> None:
        """Start the process. It gets its own folder in ``parent_folder``. Raises OSError.

        ``script`` is the path of the script that the command runs, or None. ``listener_descriptor`` is the listening
        socket to adopt, or None.
        """
        self.instructions, self._waited = start.instructions, start.waits
        self.folder = Path(tempfile.mkdtemp(dir=parent_folder))
        self._script = script
        self.started_at = time.time()  # seconds since the epoch, compared with the times of files
        self._wakeup, worker_end = socket.socketpair()
        with worker_end:
            worker_end.set_inheritable(True)
            worker_session = ipc.WorkerSession(
                folder=str(self.folder),
                listener=listener_descriptor,
                address=session.address if listener_descriptor else None,
                wakeup=worker_end.fileno(),
                waits=start.waits,
                wrapt=start.wrapt,
                instructions=start.instructions,
            )
            environ = {**session.environ, ipc.VARIABLE: worker_session.to_text()}
            self._process = start.run(session.command, environ, worker_end.fileno())
        self._wakeup.setblocking(False)
        self._wakeup_is_open = True
        self._closed_at = 0.0
        self._reports_file = str(self.folder / ipc.REPORTS)
        self._read = 0  # bytes
        self._reports: dict[Report, dict[str, Any]] = {}

    def go(self) -> bool:
        """Let a standby run the user's code. Return False if it has ended."""
        self.started_at = time.time()
        # Checked before it is woken: after that, the code may already have ended it, on a busy machine.
        if self.has_ended():
            return False
        try:
            self._wakeup.send(ipc.WAKE)
        except OSError:
            return False
        return True

    def look(self) -> None:
        """Let the worker's reloader look at its files now."""
        try:
            self._wakeup.send(ipc.LOOK)
        except OSError:
            pass  # It has ended, or many such messages wait already.

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
            self.listen(min(left, END_POLL_INTERVAL))
        return True

    def listen(self, seconds: float, observer: int | None = None) -> bool:
        """Wait for a report or the end of the worker, at most ``seconds``. May return earlier.

        Also return as soon as the descriptor ``observer`` can be read, and return whether it can.
        """
        descriptors: list[Any] = [] if observer is None else [observer]
        ready: list[Any] = []
        if self._wakeup_is_open:
            ready = select.select([self._wakeup, *descriptors], [], [], min(seconds, _POLL_INTERVAL))[0]
            if self._wakeup in ready:
                try:
                    self._wakeup_is_open = bool(self._wakeup.recv(4096))
                except OSError:
                    self._wakeup_is_open = False
                self._closed_at = time.monotonic()
        else:
            ends_now = time.monotonic() - self._closed_at < _POLL_INTERVAL
            time.sleep(min(seconds, _LAST_POLL_INTERVAL if ends_now else END_POLL_INTERVAL))
        return observer in ready

    def has_ended(self) -> bool:
        """Whether the worker has ended."""
        if os.getpid() != 1:
            return self._process.poll() is not None
        if self._process.returncode is None:
            self._process.returncode = processes.status_of(self._process.pid)
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
        if (
            not self.has_reported_end()
        ):  # Otherwise it ends by itself. A signal would disturb its exit handlers.
            self._process.terminate()
        self.wait(draining.LIMIT)
        self.stop()

    def reports(self) -> dict[Report, dict[str, Any]]:
        """Return what the worker has reported so far."""
        try:
            if os.stat(self._reports_file).st_size == self._read:
                return self._reports  # This is called often, also while the worker is idle.
            with open(self._reports_file, "rb") as file:
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

    @property
    def was_ready(self) -> bool:
        """Whether this worker was a standby that another feature had prepared."""
        return self.instructions is not None and self._waited

    def could_not_get_ready(self) -> bool:
        """Whether it has ended as a standby, before it ran any of the user's code."""
        return self.was_ready and self.size() is None and self.status == standbys.NOT_READY

    def objection(self) -> str | None:
        """Return why this worker, a former standby, must be replaced by one that starts cold, or None."""
        reports = self.reports()
        last = reports.get(Report.FAILED) or reports.get(Report.SERVING) or {}
        found: str | None = last.get("objection")
        return found

    def facts(self) -> Facts | None:
        """Return what the worker reports about itself after its first answer. None: nothing new."""
        if self.reports().pop(Report.ANSWERED, None) is None:
            return None
        facts: Facts = json.loads((self.folder / ipc.FACTS).read_text(encoding="utf-8"))
        return facts

    def size(self) -> int | None:
        """Return the bytes of memory of a standby that is ready, or None if it is not."""
        found: int | None = self.reports().get(Report.READY, {}).get("size")
        return found

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
