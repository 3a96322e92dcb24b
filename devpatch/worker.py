"""A worker of a fail-safe session: what it tells its supervisor, and the listening socket that it got from it.

The supervisor names a folder, and the socket's descriptor, in the worker's environment. The reports are
lines of JSON in a file there, which works on every platform and outlives the worker; a byte through a pair
of sockets, the bell, tells that there is one. What the worker writes to stderr is kept there too, its end
at least, and the C-level traceback of a crash.

Limits: it begins when Python reads its start-up files, so nothing but the standard library is imported, and
that late. Text that is written to the descriptor of stderr and not through ``sys.stderr`` is not seen.
"""

from __future__ import annotations

import atexit
import enum
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

VARIABLE = "_DEVPATCH_WORKER"
REPORTS, STDERR, FAULT = "reports", "stderr", "fault"
RELIEVED = "relieved"  # the supervisor's own word: there when it ends the worker to start the next one
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends.
_TAIL = 64 * 1024  # bytes of stderr kept at least
_LONGEST_TELLING = 10.0  # seconds; DEVPATCH_ON_ERROR's function is the program's, and may never return


class Report(enum.Enum):
    """What a worker tells its supervisor."""

    SERVING = "serving"  # the code is loaded, the reloader watches, the server accepts connections
    FAILED = "failed"  # the code could not be loaded
    RELOADING = "reloading"  # a file changed, and the worker ends for it
    ENDED = "ended"  # it ends on purpose: the session is to end too
    MOVED = "moved"  # the code now wants another address than the supervisor's socket has


class _Self:
    """This worker."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.folder = Path(facts["folder"])
        self.listener: int | None = facts["listener"]
        self.address: list[Any] | None = facts["address"]
        self.bell = socket.socket(fileno=facts["bell"])
        self.verdict: Report | None = None  # why it ends; the first one counts
        self.lock = threading.Lock()
        self.telling = threading.RLock()  # held by the thread that tells of a failed load
        self.last_words: str | None = None  # of the sys.exit that was reported


_self: _Self | None = None


def begin(described: str) -> None:
    """Begin to report; ``described`` is the text that ``describe`` made. Raises OSError, ValueError."""
    global _self
    import json

    facts = json.loads(described)
    me = _Self(facts)
    # A program that the code starts must not hold the port, nor hide the end of this process.
    me.bell.set_inheritable(False)
    if me.listener is not None:
        os.set_inheritable(me.listener, False)
    if facts["waits"]:
        _await_turn(me.bell, facts["wrapt"])
    me.bell.setblocking(False)
    _self = me
    # The end of the process closes it, and a socket object would be told of as one that was never closed.
    atexit.register(me.bell.detach)
    _keep_stderr(_self.folder / STDERR)
    _catch_faults(_self.folder / FAULT)
    _report_uncaught()


def describe(
    *,
    folder: str,
    listener: int | None,
    address: list[Any] | None,
    bell: int,
    waits: bool = False,
    wrapt: str | None = None,
) -> str:
    """Return what a worker has to know.

    ``listener`` is the descriptor of the listening socket that the worker is to adopt, and ``address`` the
    address that it was asked to listen at; both None where the framework hands the socket over by itself.
    ``bell`` is the descriptor of its end of the bell. A worker that ``waits`` runs none of the user's code
    before the bell rings; where it is told of the file of ``wrapt``, it imports that meanwhile.
    """
    facts = dict(locals())
    import json

    return json.dumps(facts)


def _await_turn(bell: socket.socket, wrapt: str | None) -> None:
    """Wait until the supervisor rings; end without a word where it is gone, or at Ctrl-C."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if wrapt is not None:
        from . import preloading

        preloading.preload(wrapt)
    if not bell.recv(1):
        from .process import ExitStatus

        os._exit(ExitStatus.STOPPED)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)


def is_supervised() -> bool:
    """Whether this process is a worker of a fail-safe session."""
    return _self is not None


def report(what: Report, **details: Any) -> bool:
    """Tell the supervisor, if there is one; False where the worker said before why it ends. Never raises."""
    me = _self
    if me is None:
        return False
    with me.lock:
        if what is not Report.SERVING:
            if me.verdict is not None:
                return False
            me.verdict = what
    try:
        import json

        line = json.dumps({"report": what.value, **details}) + "\n"
        with open(me.folder / REPORTS, "ab", buffering=0) as file:
            file.write(line.encode())
        me.bell.send(b"!")
    except Exception:
        pass  # The supervisor is gone, and its folder with it.
    return True


def serves() -> None:
    """Report that the code is loaded, the reloader watches and the server accepts connections."""
    if _self is not None:
        from . import failures, preloading

        report(Report.SERVING, modules=sorted(failures.own_modules()), wrapt=preloading.found())


def failed(error: BaseException, show: Callable[[], object] = lambda: None) -> bool:
    """Report that ``error`` kept the code from being loaded, then ``show`` it; False as for ``report``.

    Django imports the URLconf in two threads. Who comes second may end the process at once, so it waits
    until the first one has told all.
    """
    if _self is None:
        return False
    is_mine = _self.telling.acquire(timeout=_LONGEST_TELLING)
    try:
        return _tell(_self, error, show)
    finally:
        if is_mine:
            _self.telling.release()


def _tell(me: _Self, error: BaseException, show: Callable[[], object]) -> bool:
    if me.verdict is not None:
        return False
    from . import failures

    try:
        details = failures.describe(error)
    except Exception:
        return False  # The supervisor will tell what it knows without it.
    if not report(Report.FAILED, **details):
        return False
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        me.last_words = error.code
    try:
        show()
    finally:
        from . import loads

        loads.tell(error)
    return True


def told_of(error: SystemExit) -> bool:
    """Whether this worker has reported an exit with the same text: two of its threads may run the same code."""
    return _self is not None and isinstance(error.code, str) and error.code == _self.last_words


def is_relieved() -> bool:
    """Whether the supervisor ends this worker to start the next one."""
    return _self is not None and (_self.folder / RELIEVED).exists()


def has_failed() -> bool:
    """Whether this worker has reported that its code could not be loaded."""
    return _self is not None and _self.verdict is Report.FAILED


def moves_from(address: list[Any]) -> bool:
    """Whether the code wants another ``address`` than the one that the supervisor listens at."""
    return _self is not None and _self.listener is not None and _self.address != address


def adopt() -> socket.socket | None:
    """Return the supervisor's listening socket, once; None where there is none.

    It is bound and listens, so ``bind`` and ``listen`` do nothing: Django's server would cut the backlog to 10.
    """
    if _self is None or _self.listener is None:
        return None
    descriptor, _self.listener = _self.listener, None
    return _Adopted(fileno=descriptor)


class _Adopted(socket.socket):
    def bind(self, address: Any) -> None:
        """See ``adopt``."""

    def listen(self, backlog: int = 0) -> None:
        """See ``adopt``."""


def _keep_stderr(path: Path) -> None:
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
        pass  # A stream of a kind that can't be watched.


def _catch_faults(path: Path) -> None:
    import faulthandler

    # Also where it is on already (PYTHONFAULTHANDLER): the supervisor shows in the terminal what stands in the file.
    # A descriptor, for a file object would be told of as one that was never closed.
    faulthandler.enable(os.open(path, os.O_WRONLY | os.O_CREAT | _BINARY))


_OUTERMOST = ("<module>", "_run_module_as_main")  # of a main thread that runs code


def _ends_interpreter(error: BaseException) -> bool:
    """Whether the interpreter itself calls its hook for ``error``; programs do it too, and consoles."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if getattr(sys, "last_exc", None) is not error and getattr(sys, "last_value", None) is not error:
        return False
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_name not in _OUTERMOST


def _report_uncaught() -> None:
    """Report the exception that ends the main thread, a SyntaxError of the main script among them."""
    show = sys.excepthook

    def show_and_report(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not _ends_interpreter(error):  # Nothing is imported then, for other threads may be importing.
            show(kind, error, traceback)
            return
        try:
            from .requests import without_our_frames

            without_our_frames(error)
            show(kind, error, error.__traceback__)
        finally:
            failed(error)

    def report_last() -> None:
        # The program may have put another hook in place; and other threads may outlive the main one.
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if error is not None:
            failed(error)

    sys.excepthook = show_and_report
    atexit.register(report_last)
