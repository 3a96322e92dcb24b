"""The supervisor: the reloader's parent, which owns the listening socket and outlives every broken worker.

    start a worker ──► it serves ──► a file changes: it reloads ──► start the next
         ▲                └──► it dies of the code ──┐
         │                                           ▼
         └──── a file changes, or Enter ◄── answer with the failure

While no worker accepts connections they wait in the socket's backlog, so that none is refused.
"""

from __future__ import annotations

import atexit
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from ... import console, loads
from ...supervision import Session
from ...worker import Report
from .answering import BACKLOG, Answering
from .holding import Holding
from .watching import SESSION_FOLDER, Picture, Watcher, project_folders
from .workers import INTERRUPT_LIMIT, Verdict, Worker, script_of

_TICK = 0.1  # seconds between two looks at a worker that loads
# A worker that has reported its failure, or a change, ends by itself within these seconds, or is ended.
_GRACE = 4.0
# One that reloads may have handlers that take their time, and clients wait for the next one meanwhile.
_RELOAD_LIMIT = 10.0
# When a worker has begun to serve, its reloader takes so many seconds to see a change that came before.
_HANDOVER = 2.5


def run(session: Session) -> int:
    """Run ``session`` to its end and return the exit status of its last worker."""
    return Supervisor(session).run()


class Supervisor:
    """One session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        script = script_of(session.command)
        self._watcher = Watcher(
            folders=project_folders(script, os.getcwd()),
            paths=[path for path in sys.path if path],
            files=session.extra_files,
            exclude_patterns=session.exclude_patterns,
        )
        self._holding = Holding(self._watcher)
        self._home = Path(tempfile.mkdtemp(prefix=SESSION_FOLDER))
        atexit.register(shutil.rmtree, self._home, ignore_errors=True)
        self._before: Picture = {}
        self._successor: Worker | None = None  # starts while the one before it ends
        self._listen()

    def _listen(self) -> None:
        session = self._session
        try:
            self._listener = session.listen(session.address)
        except Exception:
            # No edit of code will mend that. The worker finds it out as well, and says it as it does today.
            self._holding.answering = None
            self._descriptor = None
            return
        self._listener.listen(BACKLOG)
        self._holding.answering = Answering(self._listener, session.tls)
        self._descriptor = None
        if session.address is not None:
            self._listener.set_inheritable(True)
            self._descriptor = self._listener.fileno()

    def run(self) -> int:
        """See ``run``."""
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, _hang_up)
        try:
            while True:
                worker, verdict = self._run_worker()
                is_ours = self._holding.answering is not None
                if verdict is not Verdict.RELOAD:
                    self._dismiss()
                if verdict is Verdict.ENDED or (verdict is Verdict.BROKEN and not is_ours):
                    worker.forget()
                    return worker.status
                if verdict is Verdict.MOVED:
                    self._move(worker.reports()[Report.MOVED]["address"])
                elif verdict is Verdict.BROKEN:
                    self._hold(worker)
                worker.forget()
        except _HungUp:
            shutil.rmtree(self._home, ignore_errors=True)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGHUP)  # It ends as if this had never been handled.
            raise
        finally:
            self._dismiss()
            self._holding.end()
            shutil.rmtree(self._home, ignore_errors=True)

    def _run_worker(self) -> tuple[Worker, Verdict]:
        self._before = self._watcher.look()
        self._holding.restraint.begin_start()
        self._session.before_start()
        worker = self._start()
        try:
            verdict = self._attend(worker)
            if verdict is Verdict.INTERRUPTED:
                time.sleep(INTERRUPT_LIMIT)  # Ctrl-C comes here as well; what the code raised does not.
                verdict = Verdict.BROKEN
        except KeyboardInterrupt:
            worker.wait(INTERRUPT_LIMIT)
            worker.stop()
            worker.forget()
            raise
        finally:
            worker.stop()
            self._holding.terminal.restore()
        return worker, verdict

    def _start(self) -> Worker:
        successor, self._successor = self._successor, None
        if successor is not None:
            if successor.go():
                return successor
            successor.forget()
        return Worker(self._session, self._descriptor, self._home)

    def _dismiss(self) -> None:
        """Do without the successor, if there is one."""
        if self._successor is not None:
            self._successor.stop()
            self._successor.forget()
            self._successor = None

    def _attend(self, worker: Worker) -> Verdict:
        """Wait until ``worker`` has ended, or end it where it can't go on; return what that means."""
        failed_at: float | None = None
        looked_at = time.monotonic()
        while not worker.has_ended():
            worker.listen(_TICK)
            reports = worker.reports()
            if Report.SERVING in reports:
                return self._hand_over(worker)
            if reports:  # It is about to end, unless another thread holds it.
                failed_at = failed_at or time.monotonic()
                if time.monotonic() - failed_at > _GRACE:
                    return _end(worker)
            elif time.monotonic() - looked_at > self._watcher.interval:
                if changes := self._changes_in_start(self._watcher.look()):
                    self._holding.tell_change(changes)
                    worker.stop()
                    return Verdict.RELOAD
                looked_at = time.monotonic()
        return worker.verdict()

    def _hand_over(self, worker: Worker) -> Verdict:
        """Leave the watching to the worker's own reloader; see to what changed before that watched."""
        self._holding.notify("recovered", is_last=True)
        self._holding.restraint.forget()
        if not self._ends(worker, _HANDOVER):
            imported = worker.reports()[Report.SERVING]["modules"]
            self._watcher.include(imported, (), self._before, worker.started_at)
            changes = self._changes_in_start(self._watcher.look())
            missed = [name for name in changes if name in imported]
            if missed and not self._ends(worker, _HANDOVER):
                self._holding.tell_change(missed)
                worker.relieve()
                return Verdict.RELOAD
            self._ends(worker)
        return worker.verdict()

    def _ends(self, worker: Worker, seconds: float = math.inf) -> bool:
        """Whether ``worker`` ended within ``seconds``; its successor starts as soon as it begins to reload."""
        deadline = time.monotonic() + seconds
        while not worker.has_ended():
            left = deadline - time.monotonic()
            if left <= 0 and self._successor is None:
                return False
            if left <= 0:
                console.say(
                    "fail-safe: the worker does not end by itself to reload, so it is ended; has it a thread?"
                )
                worker.stop()
                return True
            worker.listen(left)
            if self._successor is None and Report.RELOADING in worker.reports():
                self._successor = Worker(self._session, self._descriptor, self._home, before=worker)
                deadline = time.monotonic() + _RELOAD_LIMIT
        return True

    def _changes_in_start(self, picture: Picture, has_ended: bool = False) -> list[str]:
        return self._holding.restraint.in_start(self._before, picture, has_ended=has_ended)

    def _move(self, address: list[object]) -> None:
        if self._holding.answering is not None:
            self._listener.close()
        self._session.address = address
        self._listen()

    def _hold(self, worker: Worker) -> None:
        """Wait for a mend, unless a file has changed since the worker began to start."""
        failure = worker.failure()
        self._watcher.include(failure.files, failure.paths, self._before, worker.started_at)
        if not failure.was_printed:
            fault = worker.fault()
            console.write(f"{fault}\n" if fault else "")
            console.say(f"fail-safe: {failure.summary}")
            loads.tell_end(worker.end())
        picture = self._watcher.look()
        if changes := self._changes_in_start(picture, has_ended=True):
            self._holding.tell_change(changes)
        else:
            self._holding.wait(failure, picture)


class _HungUp(BaseException):
    """The terminal is gone."""


def _hang_up(*_: object) -> None:
    raise _HungUp


def _end(worker: Worker) -> Verdict:
    worker.stop()
    return worker.verdict()
