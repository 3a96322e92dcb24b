"""This worker process: wait as a standby, report to the supervisor, and notice every way in which it may end.

Limits: it begins when Python reads its start-up files, before the user's code. So it imports little, and as late as
possible. Text that is written to the descriptor of stderr, and not through ``sys.stderr``, is not kept.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

from ....lifecycle.standbys import NOT_READY, Instructions
from .. import ipc
from ..ipc import Report
from . import before_program
from .slow_load import SlowLoad
from .standby import Standby, memory_size

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends.
_TAIL = 64 * 1024  # bytes; at least this much of the end of stderr is kept
_REPORT_LIMIT = 10.0  # seconds; a callable of DEVPATCH_ON_ERROR may never return
HOLDERS_LIMIT = (
    1.0  # seconds that a worker may take to end after its last request; then it is asked what holds it
)
# The reports that say nothing about how far the worker is.
_ASIDE = (Report.LOADING, Report.PROMPT, Report.WATCHING, Report.WATCHED, Report.ANSWERED, Report.READY)


class WorkerProcess:
    """This process. ``verdict`` is the first report of why it ends."""

    def __init__(self, session: ipc.WorkerSession, wakeup: socket.socket) -> None:
        """Take the session that the supervisor has described, and the socket that wakes the supervisor."""
        self.folder = Path(session.folder)
        self.listener = session.listener
        self.address = session.address
        self.verdict: Report | None = None
        self.exit_text: str | None = None  # of the sys.exit that was reported
        self.wakeup = wakeup
        self._lock = threading.Lock()
        self._reporting = threading.RLock()  # held by the thread that reports a failed load
        self._slow_load: SlowLoad | None = None

    def load_starts(self) -> None:
        """Begin the part in which the user's code runs: report it if it takes long."""
        self.wakeup.setblocking(False)
        self._slow_load = SlowLoad(lambda module: self.report(Report.LOADING, module=module))

    def report(self, what: Report, **details: Any) -> bool:
        """Report to the supervisor. Return False if this process has already reported why it ends. Never raises."""
        with self._lock:
            if what not in _ASIDE and self._slow_load is not None:
                self._slow_load.done()  # Under the lock, because two threads may report concurrently.
            if what is not Report.SERVING and what not in _ASIDE:
                if self.verdict is not None:
                    return False
                self.verdict = what
        try:
            line = json.dumps({"report": what.value, **details}) + "\n"
            with open(self.folder / ipc.REPORTS, "ab", buffering=0) as file:
                file.write(line.encode())
            self.wakeup.send(ipc.WAKE)
        except Exception:
            pass  # The supervisor has ended and removed its folder.
        return True

    def dump_holders(self) -> None:
        """Write the tracebacks of all threads in ``HOLDERS_LIMIT`` s, unless this process has ended by then."""
        import faulthandler

        try:
            file = os.open(self.folder / ipc.HOLDERS, os.O_WRONLY | os.O_CREAT | _BINARY)
            faulthandler.dump_traceback_later(HOLDERS_LIMIT, file=file)
        except (OSError, RuntimeError):
            pass  # The supervisor has removed its folder.

    def load_failed(self, error: BaseException, show: Callable[[], object] = lambda: None) -> bool:
        """Report that ``error`` prevented the code from being loaded, then call ``show``.

        Return False if that is not reported: it can't be described, or this process has already reported why it ends.
        Django imports the URLconf in two threads. The second one may end the process, so it waits until the first
        one has reported everything.
        """
        is_first = self._reporting.acquire(timeout=_REPORT_LIMIT)
        try:
            return self._report_failure(error, show)
        finally:
            if is_first:
                self._reporting.release()

    def _report_failure(self, error: BaseException, show: Callable[[], object]) -> bool:
        if self.verdict is not None:
            return False
        from ....lifecycle import failures, loads, standbys

        try:
            details = failures.describe(error)
        except Exception:
            return False  # The supervisor then shows what it knows.
        if not self.report(Report.FAILED, **details, objection=standbys.objection()):
            return False
        if isinstance(error, SystemExit) and isinstance(error.code, str):
            self.exit_text = error.code
        try:
            show()
        finally:
            loads.report_failure(error)
        return True


this: WorkerProcess | None = None


class Others(NamedTuple):
    """What other parts of devpatch do in this process, while it gets ready."""

    import_ahead: Callable[[], object]  # imports the modules that every worker needs
    begin: Callable[[Instructions], object]  # follows instructions when the interpreter starts
    before_program: Callable[[Instructions, Callable[[], bool]], object]  # and before the user's program


def begin(described: str, others: Others) -> bool:
    """Begin to report, in a standby only after it is woken. ``described`` is the text of an ``ipc.WorkerSession``.

    Return False if this process is not the worker, but a child of it. Raises OSError, ValueError, TypeError.
    """
    global this
    session = ipc.WorkerSession.from_text(described)
    if session.pid not in (None, os.getpid()):
        return False
    wakeup = socket.socket(fileno=session.wakeup)
    # A program that the code starts must not keep the port open, nor hide the end of this process.
    wakeup.set_inheritable(False)
    if session.listener is not None:
        os.set_inheritable(session.listener, False)
    standby = Standby(wakeup) if session.waits else None
    if standby is not None and session.instructions is None:
        _preload(session, others)
        standby.wait()
    this = WorkerProcess(session, wakeup)
    # The end of the process closes the descriptor. An open socket object would cause a ResourceWarning.
    atexit.register(wakeup.detach)
    _keep_stderr(this.folder / ipc.STDERR)
    _catch_faults(this.folder / ipc.FAULT)
    _report_uncaught(this)
    _stay_worker_across_exec(session)
    if session.instructions is not None:
        _follow(session, this, standby, others)
    else:
        this.load_starts()
    return True


def _follow(
    session: ipc.WorkerSession, process: WorkerProcess, standby: Standby | None, others: Others
) -> None:
    """Follow the session's instructions, now and just before the user's program."""
    instructions = session.instructions
    assert instructions is not None
    others.begin(instructions)

    def wait_ready() -> None:
        assert standby is not None
        _preload(session, others)
        try:
            others.before_program(instructions, standby.is_due)
        except Exception:
            os._exit(NOT_READY)  # The supervisor starts a worker that is not prepared.
        process.report(Report.READY, size=memory_size())
        standby.wait()
        process.load_starts()

    if standby is None:
        process.load_starts()
        before_program.call(lambda: others.before_program(instructions, lambda: True))
    elif not before_program.call(wait_ready):
        wait_ready()  # Where that is not possible, it must not run the user's program either.


def _preload(session: ipc.WorkerSession, others: Others) -> None:
    if session.wrapt is not None:
        from . import preloading

        preloading.preload(session.wrapt, others.import_ahead)


def _stay_worker_across_exec(session: ipc.WorkerSession) -> None:
    """Make ``os.execv`` and its relatives pass the session on: the new program is this worker from then on."""
    if os.name != "posix":
        return  # Elsewhere, the new program is another process.
    execute = os.execve
    described = session._replace(pid=os.getpid(), waits=False).to_text()
    descriptors = [number for number in (session.wakeup, session.listener) if number is not None]

    def execute_as_worker(path: Any, arguments: Any, environ: Any = None) -> NoReturn:
        environ = os.environ if environ is None else environ
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        try:
            execute(path, arguments, {**environ, ipc.VARIABLE: described})
        finally:  # It could not be executed.
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)

    functions: Any = os
    functions.execv = functions.execve = execute_as_worker


def _keep_stderr(path: Path) -> None:
    """Tee ``sys.stderr`` to a file, and keep only the end of that file."""
    stream: Any = sys.stderr
    if stream is None:
        return
    write = stream.write
    file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY)
    lock = threading.Lock()

    def keep(text: str) -> None:
        with lock:
            os.write(file, text[-_TAIL:].encode("utf-8", "backslashreplace"))
            end = os.lseek(file, 0, os.SEEK_CUR)
            if end > 2 * _TAIL:
                os.lseek(file, end - _TAIL, os.SEEK_SET)
                tail = os.read(file, _TAIL)
                os.ftruncate(file, 0)
                os.lseek(file, 0, os.SEEK_SET)
                os.write(file, tail)

    def write_and_keep(text: str) -> Any:
        try:
            keep(text)
        except Exception:
            pass
        return write(text)

    try:
        stream.write = write_and_keep
    except AttributeError:
        pass  # This stream can't be watched.


def _catch_faults(path: Path) -> None:
    import faulthandler

    # Also if it is enabled already (PYTHONFAULTHANDLER): the supervisor prints the content of the file.
    # A descriptor, because a file object would cause a ResourceWarning.
    faulthandler.enable(os.open(path, os.O_WRONLY | os.O_CREAT | _BINARY))


def _last_error() -> BaseException | None:
    """Return the exception that ended the main thread, or None."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def _report_uncaught(process: WorkerProcess) -> None:
    """Report the exception that ends the main thread, for example a SyntaxError of the main script."""
    show = sys.excepthook

    def show_and_report(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        # Programs call this hook too, in other threads. An import there could deadlock with another import.
        if threading.current_thread() is not threading.main_thread() or _last_error() is not error:
            show(kind, error, traceback)
            return
        from ....lifecycle.tracebacks import hide_own_frames, is_from_console

        try:
            hide_own_frames(error)
            show(kind, error, error.__traceback__)
        finally:
            if not is_from_console(error):
                process.load_failed(error)

    def report_last() -> None:
        # The program may have replaced the hook, and other threads may outlive the main thread.
        error = _last_error()
        if error is not None:
            process.load_failed(error)

    sys.excepthook = show_and_report
    atexit.register(report_last)
