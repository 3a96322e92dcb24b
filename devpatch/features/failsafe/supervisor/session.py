"""The supervisor: the reloader's parent, which owns the listening socket and outlives every broken worker.

    start a worker ──► it serves ──► a file changes: it reloads ──► start the next
         ▲                └──► the code breaks it ──┐
         │                                          ▼
         └──── a file changes, or Enter ◄── answer with the failure

While no worker accepts connections, they wait in the backlog of the socket. No connection is refused.
"""

from __future__ import annotations

import atexit
import math
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from .... import console
from ....lifecycle import file_changes, loads, standbys
from ....lifecycle.file_changes import Watched
from ....lifecycle.file_names import is_source
from ....lifecycle.sessions import Session
from ..ipc import Report
from ..page.server import BACKLOG, PageServer
from .command_lines import script_of
from .open_prompts import OpenPrompts
from .processes import Start
from .standby import EARLY_LIMIT, Standby
from .waiting import Waiting
from .watching import SESSION_FOLDER, Snapshot, Watcher, project_folders
from .worker_handle import END_POLL_INTERVAL, INTERRUPT_LIMIT, Verdict, WorkerHandle

_POLL_INTERVAL = 0.1  # seconds between two checks of a worker that loads
# Seconds for a worker to end by itself after it has reported why it ends. Then it is terminated.
_FAILURE_LIMIT = 4.0
# The same for a worker that reloads. Two of them are for its requests, the others for its exit handlers.
_RELOAD_LIMIT = 4.0
# Seconds for the reloader of a worker that serves to report that it watches. Django's Watchman reloader never does.
_HANDOVER_LIMIT = 2.5
# Seconds within which a reloader acts on a message.
_REACTION_LIMIT = 2.0


def run(session: Session) -> int:
    """Run ``session`` to its end and return the exit status of its last worker."""
    return Supervisor(session).run()


class Supervisor:
    """One session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._script = script_of(session.command)  # Later its folder may have been deleted.
        self._watcher = Watcher(
            folders=project_folders(self._script, os.getcwd()),
            files=session.extra_files,
            exclude_patterns=session.exclude_patterns,
        )
        self._waiting = Waiting(self._watcher)
        self._folder = Path(tempfile.mkdtemp(prefix=SESSION_FOLDER))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        standbys.preparation.begin(self._folder)
        self._snapshot_before: Snapshot = {}
        self._early_snapshot: tuple[float, Snapshot] = (-math.inf, {})  # with its time
        self._standby = Standby(self._start_process)
        self._notified_at = -math.inf  # when the worker's reloader was last notified
        self._open_listener()

    def _open_listener(self) -> None:
        session = self._session
        self._waiting.page_server = self._descriptor = None
        try:
            self._listener = session.listen(session.address)
        except Exception:
            # An edit of the code can't repair this. The worker fails in the same way and prints its usual message.
            return
        self._listener.listen(BACKLOG)
        self._waiting.page_server = PageServer(self._listener, session.tls)
        if session.address is not None:
            self._listener.set_inheritable(True)
            self._descriptor = self._listener.fileno()

    def run(self) -> int:
        """See ``run``."""
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, _close_terminal)
        file_changes.observer.watch(
            Watched((), self._watcher.folders), ()
        )  # The first worker will report more.
        try:
            while True:
                worker, verdict = self._run_worker()
                is_ours = self._waiting.page_server is not None
                if verdict in (Verdict.ENDED, Verdict.MOVED):
                    self._standby.end()  # It has the old socket.
                if verdict is Verdict.ENDED or (verdict is Verdict.BROKEN and not is_ours):
                    worker.forget()
                    return worker.status
                if verdict is Verdict.MOVED:
                    self._move(worker.reports()[Report.MOVED]["address"])
                elif verdict is Verdict.BROKEN:
                    self._hold(worker)
                worker.forget()
        except _TerminalClosed:
            shutil.rmtree(self._folder, ignore_errors=True)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGHUP)  # This process ends as if the signal had not been handled.
            raise
        finally:
            self._standby.end()
            standbys.preparation.end()
            file_changes.observer.close()
            self._waiting.end()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run_worker(self) -> tuple[WorkerHandle, Verdict]:
        self._snapshot_before = self._snapshot_for_start()
        self._waiting.change_filter.begin_start()
        self._session.before_start()
        worker = self._start()
        try:
            verdict = self._supervise(worker)
            if verdict is Verdict.INTERRUPTED:
                # Ctrl-C reaches this process too. A KeyboardInterrupt that the code raised itself does not.
                time.sleep(INTERRUPT_LIMIT)
                verdict = Verdict.BROKEN
            elif verdict is Verdict.BROKEN:
                verdict = self._judge(worker)
        except KeyboardInterrupt:
            worker.wait(INTERRUPT_LIMIT)
            worker.stop()
            worker.forget()
            raise
        finally:
            worker.stop()
            self._waiting.terminal.restore()
        return worker, verdict

    def _prepare_start(self) -> None:
        """Do what can be done for the next worker while the last one ends, on another core."""
        self._early_snapshot = (time.monotonic(), self._watcher.look())
        self._standby.check_files()

    def _snapshot_for_start(self) -> Snapshot:
        taken_at, snapshot = self._early_snapshot
        self._early_snapshot = (-math.inf, {})  # Only for one start: later ones would find old changes again.
        return snapshot if time.monotonic() - taken_at < EARLY_LIMIT else self._watcher.look()

    def _judge(self, worker: WorkerHandle) -> Verdict:
        """Return what the end of a worker means whose code seems to be broken: a standby may be the reason."""
        if worker.could_not_get_ready():
            standbys.preparation.failed()
            return Verdict.RELOAD
        if (reason := worker.objection()) is not None:
            self._start_cold(reason)
            return Verdict.RELOAD
        return Verdict.BROKEN

    def _start_cold(self, reason: str) -> None:
        """See to it that the next worker is not prepared."""
        standbys.preparation.refuse(reason)
        self._standby.end()

    def _start(self) -> WorkerHandle:
        return self._standby.go() or self._start_process(
            Start(instructions=standbys.preparation.for_worker())
        )

    def _start_process(self, start: Start) -> WorkerHandle:
        descriptor = None if start.is_alone else self._descriptor
        return WorkerHandle(self._session, self._script, descriptor, self._folder, start)

    def _supervise(self, worker: WorkerHandle) -> Verdict:
        """Wait until ``worker`` has ended, or end it because a file changed or it hangs. Return what its end means."""
        self._open_prompts = OpenPrompts(self._watcher)
        failed_at: float | None = None
        looked_at = time.monotonic()
        while not worker.has_ended():
            is_notified = worker.listen(_POLL_INTERVAL, file_changes.observer.fileno())
            is_source_changed = is_notified and any(map(is_source, file_changes.observer.take()))
            reports = worker.reports()
            if Report.SERVING in reports:
                return self._hand_over_or_replace(worker)
            if Report.LOADING in reports:
                module = reports.pop(Report.LOADING)["module"]
                if not worker.prompts():
                    self._waiting.announce_slow_load(module)
            if (
                worker.has_reported_end()
            ):  # The worker is about to end, unless one of its threads keeps it alive.
                failed_at = failed_at or time.monotonic()
                if time.monotonic() - failed_at > _FAILURE_LIMIT:
                    return _end(worker)
            elif is_source_changed or time.monotonic() - looked_at > self._watcher.interval_in_start:
                changes = self._changes_in_start(self._watcher.look())
                if changes and worker.prompts():
                    self._open_prompts.say()
                elif changes:
                    self._waiting.announce_change(changes, is_loading=True)
                    worker.replace()  # It may just have begun to serve.
                    return Verdict.RELOAD
                looked_at = time.monotonic()
        return worker.verdict()

    def _hand_over_or_replace(self, worker: WorkerHandle) -> Verdict:
        try:
            return self._hand_over(worker)
        except _MustStartCold as error:
            self._start_cold(str(error))
            if self._wait_for_prompts(worker):
                worker.replace()
            return Verdict.RELOAD

    def _hand_over(self, worker: WorkerHandle) -> Verdict:
        """Let the worker's own reloader watch the files. Handle the changes that it can't have seen."""
        self._waiting.notify("recovered", is_last=True)
        self._waiting.change_filter.forget()
        if (reason := worker.objection()) is not None:
            self._start_cold(reason)
            worker.replace()
            return Verdict.RELOAD
        if file_changes.observer.is_active:
            self._notify(worker)  # From then on, its reloader relies on messages.
        deadline = time.monotonic() + _HANDOVER_LIMIT
        while not self._wait_for_end(worker, deadline - time.monotonic(), Report.WATCHING):
            is_watching = Report.WATCHING in worker.reports() or time.monotonic() >= deadline
            imported = worker.reports()[Report.SERVING]["modules"]
            self._watcher.include(imported, (), self._snapshot_before, worker.started_at)
            changes = self._changes_in_start(self._watcher.look())
            missed = [name for name in changes if name in imported]
            is_ending = Report.RELOADING in worker.reports()
            if missed and not is_ending and self._wait_for_prompts(worker):
                self._waiting.announce_change(missed)
                self._standby.start_late(worker)
                worker.replace()
                return Verdict.RELOAD
            if is_watching or is_ending:
                self._wait_for_end(worker)
                break
        return worker.verdict()

    def _wait_for_prompts(self, worker: WorkerHandle) -> bool:
        """Wait until no prompt has stopped ``worker``. Return False if it has ended, or begun to, meanwhile."""
        while worker.prompts() and not worker.has_ended():
            self._open_prompts.say()
            worker.listen(_POLL_INTERVAL)
        return not (worker.has_ended() or worker.has_reported_end())

    def _wait_for_end(
        self, worker: WorkerHandle, seconds: float = math.inf, until: Report | None = None
    ) -> bool:
        """Wait at most ``seconds``, or until the report ``until``, for ``worker`` to end. Return whether it has ended.

        With ``until``, a changed source ends the wait too: the reloader may never see that change.
        When it begins to reload, start the standby, and give the worker ``_RELOAD_LIMIT`` s before it is terminated.
        """
        deadline = time.monotonic() + seconds
        reloads = False
        while not worker.has_ended():
            left = deadline - time.monotonic()
            if not reloads and (left <= 0 or until in worker.reports()):
                return False
            if reloads and worker.prompts():
                deadline = max(deadline, time.monotonic() + _RELOAD_LIMIT)
            elif left <= 0:
                _end_late(worker)
                return True
            limit = END_POLL_INTERVAL if reloads else math.inf
            if worker.listen(min(max(left, 0.0), limit), file_changes.observer.fileno()):
                is_source_changed = any(map(is_source, file_changes.observer.take()))
                self._notify(worker)
                if until is not None and is_source_changed and not reloads:
                    return False
            self._open_prompts.look(worker, worker.reports().get(Report.SERVING, {}).get("modules", ()))
            if not reloads and self._begins_to_reload(worker):
                reloads, deadline = True, time.monotonic() + _RELOAD_LIMIT
                self._prepare_start()
        return True

    def _begins_to_reload(self, worker: WorkerHandle) -> bool:
        """Act on what ``worker`` has reported. Return whether it reloads. Raises _MustStartCold."""
        reports = worker.reports()
        if Report.WATCHED in reports:
            self._watch(reports.pop(Report.WATCHED))
        if Report.RELOADING in reports:
            self._standby.start_late(worker)
            if time.monotonic() - self._notified_at > _REACTION_LIMIT:
                file_changes.observer.missed()
            return True
        if (reason := self._standby.get_ready(worker)) is not None:
            raise _MustStartCold(reason)
        return False

    def _watch(self, reported: dict[str, Any]) -> None:
        """Watch for the changes that concern the worker's reloader, or this session."""
        folders = {*reported["folders"], *self._watcher.folders}
        file_changes.observer.watch(Watched(reported["files"], sorted(folders)), reported["file_folders"])

    def _notify(self, worker: WorkerHandle) -> None:
        self._notified_at = time.monotonic()
        worker.look()

    def _changes_in_start(self, snapshot: Snapshot, has_ended: bool = False) -> list[str]:
        return self._waiting.change_filter.in_start(self._snapshot_before, snapshot, has_ended=has_ended)

    def _move(self, address: list[object]) -> None:
        if self._waiting.page_server is not None:
            self._listener.close()
        self._session.address = address
        self._open_listener()

    def _hold(self, worker: WorkerHandle) -> None:
        """Wait for a change, unless a file has changed since the worker began to start."""
        failure = worker.failure()
        self._watcher.include(failure.files, failure.paths, self._snapshot_before, worker.started_at)
        if not failure.was_printed:
            fault = worker.fault()
            console.write(f"{fault}\n" if fault else "")
            loads.report_end(worker.end())
        snapshot = self._watcher.look()
        if changes := self._changes_in_start(snapshot, has_ended=True):
            self._waiting.announce_change(changes)
        else:
            self._standby.prepare()
            self._waiting.wait(failure, snapshot)


class _MustStartCold(Exception):
    """A worker that was a standby must be replaced. The message says why."""


class _TerminalClosed(BaseException):
    """The terminal was closed."""


def _close_terminal(*_: object) -> None:
    raise _TerminalClosed


def _end_late(worker: WorkerHandle) -> None:
    holders = ", ".join(worker.holders()) or "something"
    console.say(
        f"fail-safe: the server process did not end for the reload, so it was ended: {holders} was running",
        console.WARNING,
    )
    worker.stop()


def _end(worker: WorkerHandle) -> Verdict:
    worker.stop()
    return worker.verdict()
